"""The chapters of a run that learns to answer, or which answers are preferred: what it learned from, and how it did."""

from homespun.report.facts import Facts
from homespun.report.figure_words import figure_in_words
from homespun.report.lookup import mapping, number, numbers, sequence, text
from homespun.report.markup import chapter, element, escape, not_yet, paragraph, table
from homespun.report.read_run import RunData
from homespun.report.wording import UNKNOWN, count, whole

SPLITS = {"train": "to train on", "validation": "for validation"}
LEFT_OUT = {
    "malformed": "malformed",
    "empty": "with an empty message",
    "alike": "with the same answer as chosen and as rejected",
    "duplicates": "told a second time",
    "in_validation": "with a question of the validation",
}
CROPPED = {
    "sources": "had the end of their source cut off",
    "shortened": "lost their oldest messages",
    "cut": "had their last answer cut",
    "left_out": "had no room for an answer and are left out",
}
MOST_CHARACTERS = 400


def dialogues_chapter(run: RunData, facts: Facts) -> str:
    """Sources, splits, what was left out and what was cut."""
    lead = "What the model learned from. No question, or source, is in both splits, however it was answered."
    inside = "".join(
        element("p", f"<code>{escape(str(source))}</code>") for source in sequence(run.run, "sources")[1:40]
    )
    rows = [
        (
            name,
            whole(number(run.dialogues, "splits", split, "entries")),
            whole(number(run.rows, "splits", split, "tokens")),
            whole(number(run.rows, "splits", split, "learned")),
        )
        for split, name in SPLITS.items()
    ]
    kind = text(run.dialogues, "kind") or "conversations"
    heads = ("", kind, "tokens", "of these to learn")
    inside += table(heads, rows, caption=f"{kind} of each split", numeric=(1, 2, 3))
    inside += paragraph(f"Not used: {told(numbers(run.dialogues, 'left_out'), LEFT_OUT)}.")
    inside += paragraph(f"Longer than a row: {told(numbers(run.rows, 'cropped'), CROPPED)}.")
    return chapter("data", f"The {kind}", lead, inside)


def told(counts: dict[str, float], words: dict[str, str]) -> str:
    """Those that there are."""
    return ", ".join(f"{count(counts[kind])} {said}" for kind, said in words.items() if counts.get(kind)) or "none"


def answers_chapter(run: RunData, facts: Facts) -> str:
    """Exact answers with what was expected, or how well pairs are told apart."""
    if mapping(run.result, "preferences"):
        return preferences_chapter(run)
    lead = "Questions that it has never seen and that have a short answer; it said what it held for likeliest."
    figure = mapping(run.result, "answers", "exact_match")
    if not figure:
        waiting = "They come when training has ended" if not run.finished else "No question has a short answer"
        return chapter("answers", "Its answers", lead, not_yet(f"{waiting}."))
    inside = paragraph(
        f"To the letter, but for capitals, white space and the full stop: {figure_in_words(figure)} of "
        f"{count(number(figure, 'examples'))}. Other words may be as right."
    )
    rows = [
        tuple(shown(text(one, key)) for key in ("question", "expected", "told"))
        for one in sequence(run.result, "answers", "shown")
    ]
    inside += table(("question", "expected", "its answer"), rows, caption="answers to questions it has never seen")
    return chapter("answers", "Its answers", lead, inside)


def preferences_chapter(run: RunData) -> str:
    """The figures of the validation's pairs."""
    lead = "For pairs of answers that it has never seen: how much more than its base it now leans to the preferred one."
    figures = mapping(run.result, "preferences")
    rows = [(name, figure_in_words(figure)) for name, figure in figures.items()]
    inside = table(("", "value"), rows, caption="figures on the validation", numeric=(1,))
    inside += paragraph(
        "In brackets the 95 % interval. At the beginning the loss is 0.693 and the margin 0: model and base are the "
        "same. Often both answers lose probability, the rejected one more.",
        "remark",
    )
    return chapter("answers", "What it prefers", lead, inside)


def shown(words: str | None) -> str:
    """The beginning of a long one."""
    return (words or UNKNOWN)[:MOST_CHARACTERS]
