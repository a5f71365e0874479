"""The chapter of a continued pretraining: what was learned of a field, and what was forgotten of everything else."""

from homespun.report.facts import Facts
from homespun.report.lookup import mapping, number
from homespun.report.markup import chapter, not_yet, paragraph, table
from homespun.report.read_run import RunData
from homespun.report.wording import MINUS, UNKNOWN, decimal, percent

PARTS = {"field": "the field's texts", "general": "general text"}


def forgetting_chapter(run: RunData, facts: Facts) -> str:
    """Bits per byte of both kinds of text, before and after."""
    lead = "Bits for each byte of text that it has never seen, of the base and of what became of it."
    found = mapping(run.result, "continued")
    if not found:
        return chapter(
            "forgetting", "Learned and forgotten", lead, not_yet("This is measured when training has ended.")
        )
    rows = []
    for name, words in PARTS.items():
        before, after = (number(found, name, when, "bits_per_byte") for when in ("before", "after"))
        if before is not None and after is not None:
            rows.append((words, decimal(before), decimal(after), change(before, after)))
    inside = table(("", "before", "after", "change"), rows, caption="bits per byte", numeric=(1, 2, 3))
    if "general" not in found:
        inside += paragraph("No general text was given (--replay), so what was forgotten is not known.", "remark")
    return chapter("forgetting", "Learned and forgotten", lead, inside)


def change(before: float, after: float) -> str:
    """``+3 %``: more bits, forgotten."""
    if before <= 0:
        return UNKNOWN
    return f"{'+' if after >= before else MINUS}{percent(abs(after - before) / before)}"
