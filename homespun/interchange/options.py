"""What a reader or a writer of a format is told besides where: choices of the user, and whom to tell how it goes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from homespun.common.progress import Advance, ignore

SHARD_BYTES = 5_000_000_000


def tell_nobody(_text: str) -> None:
    """Warnings that nobody reads."""


@dataclass(frozen=True)
class Reading:
    """``tokenizer``: a file to take instead of the folder's. ``end_of_text``: the special token that divides documents.

    ``context``: make room for so many tokens only (0: all that the model allows). ``begin`` hears how many numbers
    there are to read, ``advance`` of each piece of them.
    """

    tokenizer: Path | None = None
    end_of_text: str | None = None
    context: int = 0
    warn: Callable[[str], None] = tell_nobody
    begin: Advance = ignore
    advance: Advance = ignore


@dataclass(frozen=True)
class Writing:
    """``number``: the type of the weights, in the words of GGUF. ``shard_bytes``: the most that goes into one file.

    ``nearest_split``: of GGUF, take the split nearest to the tokenizer's where llama.cpp has no equal one.
    """

    number: str = "F32"
    shard_bytes: int = SHARD_BYTES
    nearest_split: bool = False
    warn: Callable[[str], None] = tell_nobody
    begin: Advance = ignore
    advance: Advance = ignore
