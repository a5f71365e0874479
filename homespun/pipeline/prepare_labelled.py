"""Before a finetuning on labelled texts: the three splits, the base's weights and tokenizer, plan.

The sources of such a run are the base's run folder and then the tables, as on the command line. What is needed of the
base is copied into the run, so that the run goes on even if the base has gone.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from homespun.batches.labelled import Frame
from homespun.batches.lengths import row_length
from homespun.common.errors import UsageError
from homespun.common.progress import Reporter
from homespun.labelled.settings import LabelledConfig
from homespun.labelled.split import divide
from homespun.labelled.storage import read_manifest, read_split, write_labelled
from homespun.models.settings import ClassifierConfig
from homespun.pipeline.base import base_stage
from homespun.pipeline.configuration import Choices, Configuration
from homespun.pipeline.planning.facts_of_data import LabelledFacts
from homespun.pipeline.planning.finetuning import make_labelled_plan
from homespun.pipeline.planning.plan import Plan
from homespun.pipeline.run_folder import RunFolder
from homespun.pipeline.settled import Clock, Preparation, Ready, settle
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.dial import Dial

LONGEST = 1024  # tokens read of a text, if need be in several windows
BATCH_SIZE = 16
# By what is trained: AdamW's highest rate at a width of 128; it falls as 1 / width, to what others take at 768.
RATES = {"full": 5e-4, "last-layers": 1e-3, "lora": 2e-3, "head": 1e-2}
WIDTH = 128


def check_sources(sources: list[str], config: Configuration) -> None:
    """A base and a table at least."""
    if not sources or not (Path(sources[0]) / "run.json").exists():
        raise UsageError("a classifier begins with a trained model: homespun finetune classify BASE TABLE …")
    if len(sources) < 2:
        raise UsageError("no TABLE: name a CSV, TSV, JSON-lines or Parquet file of texts and labels")


def prepare_labelled(run: RunFolder, choices: Choices, dial: Dial | None, clock: Clock, reporter: Reporter) -> Ready:
    """Splits, base, plan."""
    base, *tables = map(Path, run.record()["sources"])
    manifest = labelled_stage(run, tables, choices.config.labelled, reporter)
    base_stage(run, base, reporter)
    choices, facts = follow_texts(choices, run, manifest)

    def make(device: torch.device) -> Plan:
        return make_labelled_plan(choices, facts, device)

    return settle(run, choices, reporter, make)


def labelled_stage(run: RunFolder, tables: list[Path], config: LabelledConfig, reporter: Reporter) -> dict[str, Any]:
    """The three splits; their manifest."""
    if not (run.labelled / "manifest.json").exists():
        write_labelled(divide(tables, config), run.labelled)
    manifest = read_manifest(run.labelled)
    reporter.say(describe_labelled(manifest))
    return manifest


def describe_labelled(manifest: dict[str, Any]) -> str:
    """One line for people."""
    train, validation, test = (manifest["splits"][split]["texts"] for split in ("train", "validation", "test"))
    left_out = [f"{count:,} {words}" for kind, words in LEFT_OUT.items() if (count := manifest["left_out"].get(kind))]
    return (
        f"labelled texts: {train:,} to train on, {validation:,} for validation, {test:,} for the test; "
        f"{len(manifest['labels']):,} classes" + (f"; left out: {', '.join(left_out)}" if left_out else "")
    )


LEFT_OUT = {
    "malformed": "malformed",
    "empty": "empty",
    "duplicates": "told twice",
    "contradictory": "with two labels",
    "surplus": "for the balance of classes",
}


def follow_texts(choices: Choices, run: RunFolder, manifest: dict[str, Any]) -> tuple[Choices, LabelledFacts]:
    """What follows from the texts, where nobody has set it: classes, lengths, and how to train."""
    config, shape = choices.config, choices.config.model
    assert isinstance(shape, ClassifierConfig)
    labels, counts = tuple(manifest["labels"]), manifest["splits"]["train"]["of_class"]
    if not choices.is_open("model.labels") and shape.labels != labels:
        raise UsageError(
            f"model.labels is {', '.join(shape.labels)}, and the table has {', '.join(labels)}; leave it out"
        )
    longest, mean = lengths(run, shape)
    batch_size = BATCH_SIZE if choices.is_open("training.batch_size") else config.training.batch_size
    epoch = max(1, -(-sum(counts) // batch_size))
    steps = max(1, round(config.labelled.epochs * epoch))
    if not choices.is_open("training.steps"):
        steps = config.training.steps
    summary = "mean" if choices.is_open("model.summary") else shape.summary
    values: dict[str, Any] = {
        "model.labels": labels,
        "model.summary": summary,
        "model.length": longest,
        # In other programs the head behind a decoder's last token has none, and a classifier like theirs can go out.
        "model.head_bias": summary == "mean" or shape.body.summarized_at == "first",
        "training.batch_size": batch_size,
        "training.steps": steps,
        "training.warmup_steps": steps // 10,
        "training.evaluate_every": epoch,
        "training.sample_every": 0,
        "training.optimizer": "adamw",
        "training.learning_rate": RATES[shape.trained] * WIDTH / max(WIDTH // 2, shape.width),
    }
    if config.labelled.balance == "weights":
        values["model.class_weights"] = tuple(sum(counts) / (len(counts) * count) for count in counts)
    chosen = {key: value for key, value in values.items() if choices.is_open(key)}
    facts = LabelledFacts(manifest["splits"]["validation"]["texts"], mean)
    # Labels and weights belong together: where one is set, the other must fit it.
    return choices.with_values(chosen | {"model.labels": labels}, "plan"), facts


def lengths(run: RunFolder, shape: ClassifierConfig) -> tuple[int, int]:
    """Tokens of the longest text in its frames, as far as it is read, and of the mean one."""
    tokenizer = Tokenizer.load(run.tokenizer)
    most = replace(shape, length=shape.length or max(LONGEST, shape.body.context))
    frame = Frame.of(most.body.summarized_at, most.window, most.windows, tokenizer)
    counted = frame.length(np.diff(tokenizer.encode_batch(read_split(run.labelled, "train").texts).starts))
    return row_length(int(counted.max()), most.window), max(1, round(float(counted.mean())))


FROM_LABELLED = Preparation(check_sources, prepare_labelled, "labelled")
