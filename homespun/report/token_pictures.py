"""A tokenizer -> pictures of what it learned: its longest tokens as chips, and a text in the colours of its tokens.

In: our ``Tokenizer`` (or anything with ``vocabulary_size``, ``token_bytes(id)`` and ``encode(text)``).
Out: safe HTML. White space is made visible; bytes that are no whole character are shown in hexadecimal.
"""

from collections.abc import Iterable
from typing import Protocol

from homespun.report.markup import escape

COLOURS = 6  # style sheet: tint-0 … tint-5, taken in turn
MOST_CHIPS = 48
LONGEST_CHIP = 40
LONGEST_TEXT = 700
VISIBLE = str.maketrans({" ": "·", "\n": "↵", "\t": "⇥", "\r": "␍", "\u00a0": "⍽"})


class Vocabulary(Protocol):
    """What these pictures need of a tokenizer."""

    @property
    def vocabulary_size(self) -> int: ...
    def token_bytes(self, token: int, /) -> bytes: ...
    def token_ids(self) -> Iterable[int]: ...
    def encode(self, text: str, /) -> list[int]: ...


def show_bytes(raw: bytes) -> str:
    """The text of a token; bytes that are not whole characters as ``⟨e2 80⟩``."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return f"⟨{raw[:12].hex(' ')}{'…' if len(raw) > 12 else ''}⟩"


def longest_tokens(tokenizer: Vocabulary, most: int = MOST_CHIPS) -> list[bytes]:
    """The longest tokens, longest first; of equal length the earlier learned."""
    known = ((token, tokenizer.token_bytes(token)) for token in tokenizer.token_ids())
    ranked = sorted((-len(raw), token, raw) for token, raw in known if raw)
    return [raw for _, _, raw in ranked[:most]]


def chips(tokens: list[bytes]) -> str:
    """Tokens as a list of chips; each says its length in bytes to those who ask."""
    inside = ""
    for raw in tokens:
        words = show_bytes(raw)
        cut = words[:LONGEST_CHIP] + ("…" if len(words) > LONGEST_CHIP else "")
        inside += f'<li class="chip" dir="auto" title="{len(raw)} bytes">{visible(cut)}</li>'
    return f'<ul class="chips" aria-label="the longest tokens">{inside}</ul>'


def visible(words: str) -> str:
    """Text with its white space as pale signs."""
    parts = []
    for letter in words:
        sign = letter.translate(VISIBLE)
        parts.append(f'<span class="space">{sign}</span>' if sign != letter else escape(letter))
    return "".join(parts)


def coloured_text(tokenizer: Vocabulary, text: str) -> tuple[str, int, int]:
    """A text in the colours of its tokens: (HTML, number of tokens, number of bytes). Long texts are cut."""
    short = text[:LONGEST_TEXT]
    raw = short.encode("utf-8", "replace")
    ids = tokenizer.encode(raw.decode("utf-8"))
    inside = ""
    for index, token in enumerate(ids):
        piece = show_bytes(tokenizer.token_bytes(token))
        words = visible(piece).replace('<span class="space">↵</span>', '<span class="space">↵</span>\n')
        inside += f'<span class="token tint-{index % COLOURS}" title="token {int(token)}">{words}</span>'
    return f'<pre class="tokens" dir="auto">{inside}</pre>', len(ids), len(raw)
