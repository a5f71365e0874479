"""Lengths of tokens in bytes -> which characters of the text each token stands for.

In: the text, and the number of bytes of each of its tokens. Out: pairs of character offsets.
"""

from collections.abc import Iterable, Iterator

from homespun.tokenizer.split import bytes_of_text


def character_spans(text: str, byte_lengths: Iterable[int]) -> list[tuple[int, int]]:
    """Return ``(first, end)`` for each token, so that ``text[first:end]`` holds all its bytes.

    Tokens that share a character (one begins inside it) overlap there.
    """
    starts = list(character_starts(text))  # of every byte: the character that it belongs to
    spans = []
    place = 0
    for length in byte_lengths:
        last = place + length - 1
        spans.append((starts[place], starts[last] + 1))
        place += length
    return spans


def character_starts(text: str) -> Iterator[int]:
    """Yield for each byte of the encoded text the number of its character."""
    for number, character in enumerate(text):
        yield from [number] * (1 if character < "\x80" else len(bytes_of_text(character)))
