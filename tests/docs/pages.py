"""README.md and docs/*.md as the tests see them: fenced blocks, links, words in backticks, headings.

In: the Markdown files of this checkout. Out: ``Page`` with its parts. Only the Markdown that the pages use
is understood: fences of three backticks, inline links, headings with ``#``.
"""

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE_CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: ``language`` and ``file`` are the first and second word behind the fence."""

    page: str
    line: int
    language: str
    file: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}, line {self.line}"


@dataclass(frozen=True)
class Page:
    """One Markdown file; ``name`` is its path in the checkout."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    def blocks(self, language: str) -> list[Block]:
        """The fenced blocks of a language, in order."""
        return [block for block in self.all_blocks() if block.language == language]

    def all_blocks(self) -> list[Block]:
        """Every fenced block."""
        found = []
        for match in FENCE.finditer(self.text):
            language, _, file = match["info"].strip().partition(" ")
            line = self.text.count("\n", 0, match.start()) + 1
            found.append(Block(self.name, line, language, file.strip(), match["text"]))
        return found

    def prose(self) -> str:
        """The text without its fenced blocks."""
        return FENCE.sub("", self.text)

    def code_words(self) -> list[str]:
        """What stands in backticks."""
        return INLINE_CODE.findall(self.prose())

    def links(self) -> list[str]:
        """The targets of links and pictures."""
        return LINK.findall(self.prose())

    def anchors(self) -> set[str]:
        """The names that GitHub gives to the headings."""
        return {slug(heading) for heading in HEADING.findall(self.prose())}


def slug(heading: str) -> str:
    """Lower case, spaces to hyphens, other punctuation away."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def all_pages() -> list[Page]:
    """README.md, then docs in the order of their names (1-…, 2-…, 10-…)."""
    docs = sorted((ROOT / "docs").glob("*.md"), key=lambda path: (number_of(path), path.name))
    return [Page(ROOT / "README.md"), *(Page(path) for path in docs)]


def number_of(path: Path) -> int:
    """``7-the-plan.md`` to 7; pages without a number come first."""
    number = path.name.split("-")[0]
    return int(number) if number.isdigit() else 0


def is_excerpt(block: str, source: str) -> bool:
    """Whether ``block`` is consecutive whole lines of ``source``, but for a common indentation."""
    wanted = dedented(block)
    lines = source.splitlines()
    return bool(wanted) and any(
        dedented("\n".join(lines[start : start + len(wanted)])) == wanted
        for start in range(len(lines) - len(wanted) + 1)
    )


def dedented(text: str) -> list[str]:
    """The lines without common indentation, and without space at their ends."""
    return [line.rstrip() for line in textwrap.dedent(text.strip("\n")).splitlines()]
