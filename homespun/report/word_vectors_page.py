"""Word vectors -> a picture of words on a plane, alone (SVG) or on a page with a table (HTML), light and dark.

In: ``WordVectors``, perhaps which words. Out: one file that needs no other and loads nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from homespun.common.errors import HomespunError
from homespun.inference.word_vectors.nearest import NearestWords, Neighbour
from homespun.inference.word_vectors.plane import project
from homespun.report.document import document
from homespun.report.markup import chapter, element, escape, table
from homespun.report.word_map import STYLE, word_map
from homespun.report.wording import UNKNOWN, percent, plural, whole
from homespun.training.word_vectors.vectors import WordVectors

NEAREST_SHOWN = 4


@dataclass(frozen=True)
class WordMap:
    """``words`` with their ``points`` on the plane, which shows the ``share`` of all differences, and neighbours."""

    words: tuple[str, ...]
    points: tuple[tuple[float, float], ...]
    share: float
    counts: tuple[int | None, ...]
    neighbours: tuple[tuple[Neighbour, ...], ...]
    vocabulary: int
    dimensions: int


def map_words(found: WordVectors, words: Sequence[str], most: int) -> WordMap:
    """Put ``words``, or else the ``most`` frequent ones, on a plane; an unknown word is a ``UsageError``."""
    places = list(dict.fromkeys(map(found.must_find, words))) or list(range(min(most, len(found.words))))
    if not places:
        raise HomespunError("there are no words to draw")
    nearest = NearestWords(found)
    points, share = project(nearest.directions[places])
    return WordMap(
        tuple(found.words[place] for place in places),
        tuple((float(x), float(y)) for x, y in points),
        share,
        tuple(None if found.counts is None else int(found.counts[place]) for place in places),
        tuple(tuple(nearest.nearest(nearest.directions[place], [place], NEAREST_SHOWN)) for place in places),
        len(found.words),
        found.vectors.shape[1],
    )


def map_svg(found: WordMap) -> str:
    """The picture alone."""
    return word_map(found.words, found.points, title=title_of(found), alone=True) + "\n"


def map_page(found: WordMap) -> str:
    """The picture on a page, and a table of the words."""
    lead = (
        f"The two directions in which these words differ most; they show {percent(found.share)} of the differences. "
        "Words that are used alike stand near each other."
    )
    figure = element("figure", word_map(found.words, found.points, title=title_of(found)))
    rows = [
        (word, UNKNOWN if count is None else whole(count), ", ".join(neighbour.word for neighbour in near))
        for word, count, near in zip(found.words, found.counts, found.neighbours, strict=True)
    ]
    words = table(("word", "in the text", "nearest of all words"), rows, caption="the words drawn", numeric=(1,))
    return document(
        [
            ("map", "Map", chapter("map", "On a plane", lead, figure)),
            ("words", "Words", chapter("words", "The words", "Nearest by the angle between the vectors.", words)),
        ],
        title="word vectors",
        maker="a picture of word vectors",
        heading=plural(len(found.words), "word"),
        when=escape(f"of {whole(found.vocabulary)}, with {found.dimensions} dimensions each"),
        footer="Written by homespun. This page is one file and loads nothing: keep it, print it, send it on.",
        style=STYLE,
    )


def title_of(found: WordMap) -> str:
    """What the picture is, for those who cannot see it."""
    return f"{plural(len(found.words), 'word')} on a plane, by the principal components of their vectors"


MAKERS: dict[str, Callable[[WordMap], str]] = {".svg": map_svg, ".html": map_page}
