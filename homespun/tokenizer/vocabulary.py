"""What a tokenizer is made of, without anything that runs: the value that files are read into and written from.

In: a split pattern, merges, special tokens, and the public id of each token. Out: ``Vocabulary``, checked.

Tokens have two numberings. In the order of learning (``Pair``, ``merges``) 0 to 255 are the bytes and 256 + i is what
merge number i makes; there a smaller number always means learned earlier. The public ``ids`` are what a model sees.
In our own tokenizers the two are one; GPT-2 and its successors number the bytes in another order, and others put
their special tokens first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import count
from operator import gt
from types import MappingProxyType

from homespun.common.errors import HomespunError
from homespun.tokenizer.patterns import find_pattern
from homespun.tokenizer.settings import BYTES
from homespun.tokenizer.special import DEFAULT_SPECIAL_TOKENS, END_OF_TEXT

Pair = tuple[int, int]


@dataclass(frozen=True)
class Vocabulary:
    """All that decides the ids of a text. Contradictions are a ``HomespunError`` of one line.

    ``ids[k]`` is the public id of token k in the order of learning; None means k itself. ``special_tokens`` maps
    names to public ids; ``end_of_text`` is the name of the one that divides documents.
    """

    pattern: str
    merges: tuple[Pair, ...]
    special_tokens: Mapping[str, int]
    ids: tuple[int, ...] | None = None
    end_of_text: str = END_OF_TEXT
    chat_template: str | None = None
    # False for a file of ours with the right checksum: that no two merges make the same bytes was checked when it was
    # written, and takes longer than reading it.
    checks_bytes: bool = field(default=True, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check everything."""
        object.__setattr__(self, "special_tokens", MappingProxyType(dict(self.special_tokens)))
        find_pattern(self.pattern)
        check_order(self.merges)
        if self.checks_bytes:
            self.__dict__["learned_bytes"] = bytes_of_merges(self.merges)
        for name in self.special_tokens:
            check_special_name(name)
        if self.end_of_text not in self.special_tokens:
            raise HomespunError(f"the special tokens lack {self.end_of_text}, which divides documents; add it")
        check_ids(self.public_ids(), self.special_tokens)

    @cached_property
    def learned_bytes(self) -> tuple[bytes, ...]:
        """The bytes of each token in the order of learning."""
        return bytes_of_merges(self.merges)

    def public_ids(self) -> Sequence[int]:
        """Return the public id of each token, in the order of learning."""
        return range(BYTES + len(self.merges)) if self.ids is None else self.ids

    def token_bytes(self) -> dict[int, bytes]:
        """Return the bytes of every public id; those of a special token are its name."""
        special = ((token, name.encode("utf-8")) for name, token in self.special_tokens.items())
        return dict(sorted([*zip(self.public_ids(), self.learned_bytes, strict=True), *special]))

    def with_chat_template(self, chat_template: str | None) -> "Vocabulary":
        """Return the same with another chat template."""
        return replace(self, chat_template=chat_template)

    def with_special_tokens(self, names: Iterable[str]) -> "Vocabulary":
        """Return the same with further special tokens, whose ids follow all others; those that are there stay."""
        missing = [name for name in dict.fromkeys(names) if name not in self.special_tokens]
        first = 1 + max(*self.public_ids(), *self.special_tokens.values())
        return replace(self, special_tokens={**self.special_tokens, **dict(zip(missing, count(first), strict=False))})


def make_vocabulary(
    pattern: str,
    merges: Iterable[Sequence[int]],
    special_tokens: Iterable[str] = DEFAULT_SPECIAL_TOKENS,
    chat_template: str | None = None,
) -> Vocabulary:
    """Return a vocabulary in our own numbering: bytes, merges, then the special tokens in their order."""
    pairs = tuple((left, right) for left, right in merges)
    names: dict[str, int] = {}
    for name in special_tokens:
        check_special_name(name)
        if name in names:
            raise HomespunError(f"special token {name!r} is there twice; give each its own name")
        names[name] = BYTES + len(pairs) + len(names)
    return Vocabulary(pattern, pairs, names, chat_template=chat_template)


def check_order(merges: Sequence[Pair]) -> None:
    """Raise ``HomespunError`` unless every merge joins tokens that are there before it."""
    largest = map(max, merges)
    if all(map(gt, count(BYTES), largest)) and min(map(min, merges), default=0) >= 0:
        return
    wrong = (rank for rank, pair in enumerate(merges) if not (min(pair) >= 0 and max(pair) < BYTES + rank))
    rank = next(wrong)
    left, right = merges[rank]
    raise HomespunError(f"merge number {rank} joins {left} and {right}, which are not both below its own id")


def bytes_of_merges(merges: Sequence[Pair]) -> tuple[bytes, ...]:
    """Return the bytes of the tokens in the order of learning; two tokens with the same bytes are an error."""
    token_bytes = [bytes([value]) for value in range(BYTES)]
    for left, right in merges:
        token_bytes.append(token_bytes[left] + token_bytes[right])
    if len(set(token_bytes)) < len(token_bytes):
        raise doubled_merge(merges, token_bytes)
    return tuple(token_bytes)


def doubled_merge(merges: Sequence[Pair], token_bytes: Sequence[bytes]) -> HomespunError:
    """Return the error that names the first two merges with the same result."""
    seen: dict[bytes, int] = {}
    for rank, joined in enumerate(token_bytes[BYTES:]):
        if joined in seen:
            left, right = merges[rank]
            what = "which an earlier merge does already" if merges[seen[joined]] == merges[rank] else "which gives the"
            more = "" if merges[seen[joined]] == merges[rank] else f" same bytes as merge number {seen[joined]}"
            return HomespunError(f"merge number {rank} joins {left} and {right}, {what}{more}")
        seen[joined] = rank
    raise AssertionError("no two merges have the same result")


def check_special_name(name: str) -> None:
    """Raise ``HomespunError`` for a name that is empty, holds white space, or is no valid text."""
    if not name:
        raise HomespunError("a special token is empty; give it a name such as <|user|>")
    if any(character.isspace() for character in name):
        raise HomespunError(f"special token {name!r} has white space in it; write it in one word, such as <|user|>")
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise HomespunError(f"special token {name!r} has half a surrogate pair in it; use whole characters")


def check_ids(ids: Sequence[int], special_tokens: Mapping[str, int]) -> None:
    """Raise ``HomespunError`` unless every token has an id of its own, and not one far beyond their number."""
    every = [*ids, *special_tokens.values()]
    if len(set(every)) < len(every):
        taken = set(ids)
        twice = next((name for name, token in special_tokens.items() if token in taken), None)
        which = f"special token {twice!r} has the id of another token" if twice else "two tokens have the same id"
        raise HomespunError(f"{which}; every token needs its own")
    if min(every) < 0 or max(every) >= 2 * len(every) + 4096:
        raise HomespunError(f"ids reach from {min(every)} to {max(every)} for {len(every)} tokens; that is a mistake")
