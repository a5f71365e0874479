"""Words and their places on a plane -> a picture (SVG) that needs no script.

In: words, most important first, and a point for each. Out: one ``<svg>``. Every word has a dot, which says the word to
those who point at it; its name stands beside the dot where there is room, and important words choose first.
"""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from homespun.report.charts import CHARACTER_WIDTH, Scale, value_range
from homespun.report.markup import escape

WIDTH, HEIGHT, MARGIN, SIDE_MARGIN = 960.0, 680.0, 22.0, 60.0
LETTER_HEIGHT, GAP = 12.0, 6.0
WIDE_LETTER = 12.5  # Chinese, Japanese, Korean
LONGEST_NAME = 40

# What the picture needs beyond page.css, in its colours.
STYLE = """
.word-dot { fill: var(--indigo); opacity: 0.75; } .word-name { font-size: 12px; fill: var(--ink); }
.word-frame { fill: var(--card); stroke: var(--line); }
"""
# The same colours for a file that stands alone.
ALONE = """
svg { --card: #ffffff; --ink: #2a251e; --line: #e4dccd; --indigo: #35508f; font-family: system-ui, sans-serif; }
@media (prefers-color-scheme: dark) { svg { --card: #22201c; --ink: #ece5d8; --line: #3b362e; --indigo: #94aef0; } }
"""


@dataclass(frozen=True)
class Box:
    """A part of the picture that is taken."""

    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: "Box") -> bool:
        """Whether the two have something in common."""
        return (
            self.left < other.right and other.left < self.right and self.top < other.bottom and other.top < self.bottom
        )


def word_map(words: Sequence[str], points: Sequence[tuple[float, float]], *, title: str, alone: bool = False) -> str:
    """The picture; ``alone``: with its own colours, for a file of its own."""
    places = on_paper(points)
    taken = [Box(x - 3, y - 3, x + 3, y + 3) for x, y in places]
    parts = []
    for word, (x, y) in zip(words, places, strict=True):
        parts.append(f'<circle class="word-dot" cx="{x:.1f}" cy="{y:.1f}" r="3"><title>{escape(word)}</title></circle>')
        name = word[:LONGEST_NAME] + ("…" if len(word) > LONGEST_NAME else "")
        box = free_box(x, y, name_width(name), taken)
        if box:
            taken.append(box)
            parts.append(f'<text class="word-name" x="{box.left:.1f}" y="{box.bottom - 3:.1f}">{escape(name)}</text>')
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:g} {HEIGHT:g}" role="img"'
    style = f"<style>{ALONE}{STYLE}</style>" if alone else ""
    frame = f'<rect class="word-frame" x="0.5" y="0.5" width="{WIDTH - 1:g}" height="{HEIGHT - 1:g}" rx="12"/>'
    return f'{head} aria-label="{escape(title)}"><title>{escape(title)}</title>{style}{frame}{"".join(parts)}</svg>'


def on_paper(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Points to places in SVG units, the whole picture filled."""
    across = Scale(*value_range((x for x, _ in points), False), SIDE_MARGIN, WIDTH - SIDE_MARGIN)
    down = Scale(*value_range((y for _, y in points), False), HEIGHT - MARGIN, MARGIN)
    return [(across(x), down(y)) for x, y in points]


def free_box(x: float, y: float, width: float, taken: Sequence[Box]) -> Box | None:
    """Where a name of some width fits beside a dot: right, left, above or below; None where it does not."""
    middle = y - LETTER_HEIGHT / 2
    for left, top in (
        (x + GAP, middle),
        (x - GAP - width, middle),
        (x - width / 2, y - GAP - LETTER_HEIGHT),
        (x - width / 2, y + GAP),
    ):
        box = Box(left, top, left + width, top + LETTER_HEIGHT)
        inside = left >= 2 and box.right <= WIDTH - 2 and top >= 2 and box.bottom <= HEIGHT - 2
        if inside and not any(box.overlaps(other) for other in taken):
            return box
    return None


def name_width(name: str) -> float:
    """About how wide a name will be; combining marks take no room."""
    return sum(
        WIDE_LETTER if unicodedata.east_asian_width(letter) in "WF" else CHARACTER_WIDTH
        for letter in name
        if not unicodedata.combining(letter)
    )
