"""``RunData`` -> ``Facts``: the numbers people ask for, each worked out in one place.

Where a run is finished its ``result.json`` is the authority; before that the newest line of ``metrics.jsonl`` is.
Bits per byte and nats per token measure the same thing in two units:
bits per byte = (nats per token / ln 2) x (tokens / bytes), with tokens and bytes of the text that was scored. What
is a token elsewhere is an image where a model learns from images, and a text where it sorts texts.
"""

import math
from dataclasses import dataclass
from typing import Any

from homespun.report.lookup import as_number, find, first_number, mapping, number, sequence, text
from homespun.report.read_run import RunData

BEST_MARGIN = 0.005  # a validation loss this share above the best one counts as a rise,
LEAST_RISE = 1e-3  # unless both are next to nothing: so many nats at least


@dataclass(frozen=True)
class Facts:
    """What is known about a run; ``None`` for what is not known yet. Losses are nats per ``target``."""

    validation_loss: float | None
    bits_per_byte: float | None
    perplexity: float | None
    training_loss: float | None
    bits_per_nat_token: float | None  # multiply nats per token of validation text by this to get bits per byte
    gzip: float | None  # bits per byte of the validation text
    xz: float | None
    unigram: float | None
    unigram_loss: float | None  # nats per token
    unigram_name: str
    parameters: float | None
    tokens_seen: float | None
    train_tokens: float | None
    validation_tokens: float | None
    epochs: float | None
    tokens_per_parameter: float | None
    bytes_per_token_train: float | None
    bytes_per_token_validation: float | None
    vocabulary_size: float | None
    steps: float | None
    seconds_training: float | None
    seconds_total: float | None
    tokens_per_second: float | None
    flops_per_token: float | None
    flops_total: float | None
    flops_per_second: float | None
    memory_bytes: float | None
    kept_step: float | None  # whose weights were kept as the best ones
    ended_early: bool
    best_validation_loss: float | None
    best_validation_tokens: float | None
    accuracy: float | None  # share of the validation's targets that the first guess hits
    most_frequent: float | None  # share of them that who always names the most frequent gets
    loss_before: float | None  # of a finetuning: what the validation loss of its base was
    exact_match: float | None  # share of short answers that are to the letter as expected
    next_sentence_accuracy: float | None  # share of pairs of texts that are told from chance ones
    unit: str  # what is counted in training
    target: str  # what a loss is told for each of

    @property
    def memorizing(self) -> bool:
        """Whether the validation loss has risen since its best: the sign of learning by heart."""
        return (
            self.validation_loss is not None
            and self.kept_step is None
            and self.best_validation_loss is not None
            and self.validation_loss > self.best_validation_loss * (1 + BEST_MARGIN)
            and self.validation_loss > self.best_validation_loss + LEAST_RISE
        )


def ratio(above: float | None, below: float | None) -> float | None:
    """``above / below``; ``None`` where either is missing or the division has no answer."""
    if above is None or below is None or below <= 0:
        return None
    quotient = above / below
    return quotient if math.isfinite(quotient) else None


def product(one: float | None, other: float | None) -> float | None:
    """``one * other``; ``None`` where either is missing."""
    return None if one is None or other is None else one * other


def positive(value: float | None) -> float | None:
    """``value`` unless it is 0 or less, which stands for "not measured"."""
    return value if value is not None and value > 0 else None


def either(*values: float | None) -> float | None:
    """The first value that is known."""
    return next((value for value in values if value is not None), None)


def work_out(run: RunData) -> Facts:
    """The facts of a run, from whatever files it has so far."""
    result, training, validation = run.result, run.training, run.validation
    loss = either(number(result, "validation_loss"), validation.last("loss"))
    bits = either(number(result, "bits_per_byte"), validation.last("bits_per_byte"))
    data, counted = counted_data(run)
    train, held_out = mapping(data, "splits", "train"), mapping(data, "splits", "validation")
    bytes_per_token_validation = ratio(number(held_out, "bytes"), number(held_out, counted))
    tokens_per_byte = ratio(1.0, bytes_per_token_validation)
    factor = either(ratio(bits, loss), product(tokens_per_byte, 1 / math.log(2)))
    if find(run.model, "spells_text") is False:
        factor = None
    compression = mapping(run.corpus, "compression")
    unigram_loss = validation.last("unigram_loss")
    tokens_seen = either(number(result, "tokens_seen"), training.last("tokens"), validation.last("tokens"))
    seconds = either(number(result, "seconds_training"), training.last("seconds"), validation.last("seconds"))
    parameters = either(number(result, "parameters"), number(run.model, "parameters"))
    flops_per_token = number(run.model, "flops_per_token_training")
    flops = product(flops_per_token, tokens_seen)
    best, best_tokens = best_validation(run)
    return Facts(
        validation_loss=loss,
        bits_per_byte=either(bits, product(loss, factor)),
        perplexity=None if loss is None or loss > 200 else math.exp(loss),
        training_loss=training.last("loss"),
        bits_per_nat_token=factor,
        gzip=number(compression, "gzip_bits_per_byte"),
        xz=number(compression, "xz_bits_per_byte"),
        unigram=either(product(unigram_loss, factor), number(compression, "unigram_bits_per_byte")),
        unigram_loss=either(unigram_loss, ratio(number(compression, "unigram_bits_per_byte"), factor)),
        unigram_name="token frequencies" if unigram_loss is not None else "byte frequencies",
        parameters=parameters,
        tokens_seen=tokens_seen,
        train_tokens=number(train, counted),
        validation_tokens=number(held_out, counted),
        epochs=either(number(result, "epochs"), ratio(tokens_seen, number(train, counted))),
        tokens_per_parameter=ratio(tokens_seen, parameters),
        bytes_per_token_train=ratio(number(train, "bytes"), number(train, counted)),
        bytes_per_token_validation=bytes_per_token_validation,
        vocabulary_size=number(run.tokens, "vocabulary_size"),
        steps=either(training.last("step"), validation.last("step")),
        seconds_training=seconds,
        seconds_total=either(positive(number(result, "seconds_total")), positive(number(run.run, "seconds_total"))),
        tokens_per_second=either(
            number(result, "tokens_per_second"), ratio(tokens_seen, seconds), training.last("tokens_per_second")
        ),
        flops_per_token=flops_per_token,
        flops_total=flops,
        flops_per_second=ratio(flops, seconds),
        memory_bytes=either(
            positive(first_number(result, "peak_memory_bytes", "memory_bytes")),
            positive(first_number(run.run, "peak_memory_bytes", "memory_bytes")),
        ),
        kept_step=number(result, "kept", "step") if text(result, "kept", "why") == "best" else None,
        ended_early=find(result, "kept", "ended_early") is True,
        best_validation_loss=best,
        best_validation_tokens=best_tokens,
        accuracy=either(
            accuracy_on_test(run, "model"), number(result, "validation_accuracy"), validation.last("accuracy")
        ),
        most_frequent=either(
            accuracy_on_test(run, "most frequent class"),
            ratio(max(map(as_counted, sequence(held_out, "of_class")), default=None), number(held_out, counted)),
            validation.last("unigram_accuracy"),
        ),
        loss_before=number(result, "before", "loss"),
        exact_match=number(result, "answers", "exact_match", "value"),
        next_sentence_accuracy=either(
            number(result, "validation_next_sentence_accuracy"), validation.last("next_sentence_accuracy")
        ),
        unit=counted.removesuffix("s"),
        target=text(run.model, "target") or counted.removesuffix("s"),
    )


def counted_data(run: RunData) -> tuple[dict[str, Any], str]:
    """The manifest of what the model learns from, and what is counted in it."""
    if run.of_images:
        return run.images, "images"
    return (run.labelled, "texts") if run.labelled else (run.rows or run.tokens, "tokens")


def accuracy_on_test(run: RunData, way: str) -> float | None:
    """On a test that nobody has looked at, where there is one."""
    return number(run.result, "test", "ways", way, "figures", "accuracy", "value")


def as_counted(value: object) -> float:
    """A count of a list; 0 for what is none."""
    return as_number(value) or 0.0


def best_validation(run: RunData) -> tuple[float | None, float | None]:
    """The lowest validation loss of the run and the number of tokens seen by then."""
    losses, tokens = run.validation["loss"], run.validation["tokens"]
    places = [place for place, loss in enumerate(losses) if not math.isnan(loss)]
    if not places:
        return None, None
    best = min(places, key=lambda place: losses[place])
    return losses[best], None if math.isnan(tokens[best]) else tokens[best]
