"""Two texts that belong together, such as a sentence and its translation, as one document; and apart again.

In: source and target. Out: a ``Document`` whose text is both, a line end between them, so that it is counted,
deduplicated and shown like any other; where the target begins stands in its metadata. Nothing in the texts themselves
marks the border, so nothing that somebody writes can move it.
"""

from homespun.corpus.document import Document, make_document
from homespun.corpus.normalize import normalize

TARGET_BEGINS = "target_begins"
BETWEEN = "\n"
LONGEST_PAIR = 1 << 20  # characters; what is longer is no pair of sentences but a quote that never closes


def clean(text: str) -> str:
    """One side of a pair in its normal form (``homespun.corpus.normalize``), without white space around it."""
    return normalize(text).strip()


def make_pair(source: str, target: str, origin: str) -> Document:
    """The document of a pair; an empty one if a side is empty or both are far too long.

    Both sides are cleaned here. Cleaned sides with a line end between them are in normal form as a whole (tested), so
    that normalizing the document later does not move the border.
    """
    source, target = clean(source), clean(target)
    if not source or not target or len(source) + len(target) > LONGEST_PAIR:
        return make_document("", origin)
    return make_document(source + BETWEEN + target, origin, metadata={TARGET_BEGINS: len(source) + len(BETWEEN)})


def sides(document: Document) -> tuple[str, str] | None:
    """Source and target of a pair; None for any other document."""
    begins = document.metadata.get(TARGET_BEGINS)
    if not isinstance(begins, int):
        return None
    return document.text[: begins - len(BETWEEN)], document.text[begins:]
