"""``RunData`` -> a few lines for a terminal, and the same as a dictionary for ``--json``."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from homespun.report.facts import Facts, work_out
from homespun.report.lookup import number
from homespun.report.markup import showable
from homespun.report.overview import IMPORTED, OF_ANSWERS, STAGES, meaning
from homespun.report.read_run import RunData
from homespun.report.wording import THIN, count, decimal, duration, percent, significant, size

ONE_LINE = str.maketrans("\n\r\t", "   ")  # a name from a file must not move the cursor


def summary_lines(run: RunData) -> list[str]:
    """What a person wants to read after a run; plain text without colours, one fact to a line."""
    facts = work_out(run)
    state = "finished" if run.finished else f"not finished ({STAGES.get(run.state, run.state)})"
    state = IMPORTED if run.state == IMPORTED else state
    rows = [
        ("result", result_line(facts)),
        ("model", model_line(facts)),
        ("training", training_line(facts)),
        ("plan", plan_line(run, facts)),
        ("memory", size(facts.memory_bytes) if facts.memory_bytes is not None else ""),
    ]
    lines = [f"{run.name}: {state}"]
    if facts.bits_per_byte is not None or facts.accuracy is not None or facts.target == OF_ANSWERS:
        lines.append(meaning(facts))
    lines += [f"  {name:<10}{words}" for name, words in rows if words]
    lines += [f"  could not read {what}" for what in run.unreadable]
    return [showable(line.replace(THIN, " ")).translate(ONE_LINE) for line in lines]


def result_line(facts: Facts) -> str:
    """The validation loss in its three units; or how many targets are told rightly."""
    if facts.validation_loss is None:
        return "no validation yet"
    if facts.accuracy is not None:
        return f"accuracy {percent(facts.accuracy)}, {decimal(facts.validation_loss, 3)} nats per {facts.target}"
    bits = f"{decimal(facts.bits_per_byte, 3)} bits per byte, " if facts.bits_per_byte is not None else ""
    before = f", before it learned {decimal(facts.loss_before, 3)}" if facts.loss_before is not None else ""
    perplexity = f"perplexity {significant(facts.perplexity)}"
    return f"{bits}{decimal(facts.validation_loss, 3)} nats per {facts.target}{before}, {perplexity}"


def model_line(facts: Facts) -> str:
    """Parameters and vocabulary."""
    known = [
        f"{count(facts.parameters)} parameters" if facts.parameters is not None else "",
        f"{count(facts.vocabulary_size)} tokens in the vocabulary" if facts.vocabulary_size is not None else "",
    ]
    return ", ".join(part for part in known if part)


def training_line(facts: Facts) -> str:
    """Tokens, time and speed."""
    known = [
        f"{count(facts.tokens_seen)} {facts.unit}s" if facts.tokens_seen is not None else "",
        f"{significant(facts.epochs, 2)} epochs" if facts.epochs is not None else "",
        duration(facts.seconds_training) if facts.seconds_training is not None else "",
        f"{count(facts.tokens_per_second)} {facts.unit}s/s" if facts.tokens_per_second is not None else "",
    ]
    return ", ".join(part for part in known if part)


def plan_line(run: RunData, facts: Facts) -> str:
    """What was expected of the run."""
    expected = number(run.plan, "expected", "validation_bits_per_byte")
    if expected is None:
        return ""
    reached = f", reached {decimal(facts.bits_per_byte)}" if facts.bits_per_byte is not None else ""
    return f"expected {decimal(expected)} bits per byte{reached}"


def summary(run: RunData) -> dict[str, Any]:
    """The facts of a run as JSON can carry them; losses in nats per token, times in seconds, sizes in bytes."""
    facts = work_out(run)
    return {
        "name": showable(run.name),
        "folder": str(Path(run.folder)),
        "state": showable(run.state),
        "finished": run.finished,
        **{one.name: getattr(facts, one.name) for one in fields(facts)},
        "memorizing": facts.memorizing,
        "expected_bits_per_byte": number(run.plan, "expected", "validation_bits_per_byte"),
        "unreadable": list(run.unreadable),
    }
