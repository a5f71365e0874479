"""Why each key of a plan has its value, in a few words."""

from homespun.pipeline.planning.choose_text import VALIDATION_BYTES
from homespun.training.dial import Dial

EXECUTION_REASONS = {
    "training.precision": "the fastest here, measured on this model's steps",
    "training.attention": "the fastest kernel here, measured",
    "training.compile": "on where it pays within this run, measured",
    "training.threads": "as many as are fastest, measured",
    "training.micro_batch_size": "what fits into memory at once",
    "training.recompute": "without it not even one row would fit into memory",
}
IMAGE_REASONS = dict.fromkeys(
    ("model.image_size", "model.channels", "model.classes", "model.labels"), "what the images are"
)
LABELLED_REASONS = {
    "model.labels": "what the table has",
    "model.class_weights": "rare classes weigh as much as frequent ones",
    "model.summary": "surer than one token, above all of long texts",
    "model.head_bias": "none behind a decoder's last token: other programs have no place for it",
    "model.length": "the longest text, if need be in several windows",
    "training.steps": "labelled.epochs times the texts to train on",
    "training.warmup_steps": "a tenth of the steps",
    "training.evaluate_every": "after each reading of the texts",
    "training.sample_every": "only at the end",
    "training.optimizer": "a finetuning's moves are small",
    "training.learning_rate": "by what of the base is trained, and its width",
    "training.batch_size": "a few texts: many small steps",
}
DIALOGUE_REASONS = LABELLED_REASONS | {
    "model.packed": "the base can keep the conversations of a row apart",
    "model.length": "the longest of them, as far as the base reads",
    "model.learned_tokens": "the base has never read these",
    "training.steps": "as often as epochs say",
    "training.evaluate_every": "twice for each reading of them",
    "training.sample_every": "twice for each reading of them",
    "training.batch_size": "a few of them: many small steps",
}
CONTINUED_REASONS = LABELLED_REASONS | {
    "training.steps": "replay.epochs times the field's texts",
    "training.evaluate_every": "six times",
    "training.sample_every": "in the middle and at the end",
}


def reasons(dial: Dial) -> dict[str, str]:
    """Why each key has its value, in a few words."""
    lowest = "lowest expected loss for the time that this takes at this machine's measured speed"
    if dial.minutes is not None:
        lowest = f"lowest expected loss in {dial.minutes:g} minutes at this machine's measured speed"
    if dial.parameters is not None:
        lowest = f"the size of the ladder next to {dial.parameters:,} parameters"
    return {
        "corpus.maximum_bytes": "what can be read in the time",
        "corpus.validation_fraction": f"about {VALIDATION_BYTES / 1000:,.0f} kB, at most a tenth",
        "model.vocabulary_size": "what the tokenizer learned",
        "model.width": lowest,
        "model.layers": lowest,
        "model.heads": "heads of 64 channels",
        "model.dropout": "against learning by heart, where the text is read many times",
        "training.batch_size": "grows with the length of the run",
        "training.steps": "what fits into the time; adjusted while the learning rate is constant",
        "training.learning_rate": "follows the width",
    } | EXECUTION_REASONS
