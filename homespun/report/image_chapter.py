"""The chapter on the images that a model learned from: how many there are of each class, in both parts."""

from homespun.report.facts import Facts
from homespun.report.lookup import as_number, number, sequence
from homespun.report.markup import chapter, element, escape, fold, not_yet, paragraph, table
from homespun.report.read_run import RunData
from homespun.report.wording import TIMES, count, whole

MOST_SHOWN, MOST_ROWS = 24, 1000


def images_chapter(run: RunData, facts: Facts) -> str:
    """Sources, size, classes."""
    lead = (
        "A model can only know what it is shown. One part of the images is kept aside, to measure how it does on them."
    )
    if not run.images:
        return chapter("data", "The images", lead, not_yet("This run has no images of its own."))
    size = number(run.images, "image_size")
    inside = "".join(
        element("p", f"<code>{escape(str(source))}</code>") for source in sequence(run.run, "sources")[:40]
    )
    inside += paragraph(
        f"{count(facts.train_tokens)} images to train on and {count(facts.validation_tokens)} for validation, of "
        f"{whole(size)} {TIMES} {whole(size)} pixels; a pixel has {whole(number(run.images, 'channels'))} number(s)."
    )
    parts = [sequence(run.images, "splits", split, "of_class") for split in ("train", "validation")]
    rows = [
        (str(label), *(whole(as_number(part[place]) if place < len(part) else None) for part in parts))
        for place, label in enumerate(sequence(run.images, "labels")[:MOST_ROWS])
    ]
    listed = table(("class", "to train on", "for validation"), rows, caption="images of each class", numeric=(1, 2))
    inside += fold("All classes", listed) if len(rows) > MOST_SHOWN else listed
    return chapter("data", "The images", lead, inside)
