"""Text as it is written: tokens in, printable strings out, never half a character, stops honoured.

A stop text may arrive in pieces, so the end of the text that could still become one is held back
until it is decided.
"""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from homespun.inference.engine import Engine
from homespun.inference.settings import SamplingConfig
from homespun.tokenizer.streaming import StreamDecoder
from homespun.tokenizer.tokenizer import Tokenizer


def stream_text(engine: Engine, tokenizer: Tokenizer, prompt: str, config: SamplingConfig) -> Iterator[str]:
    """What follows ``prompt``, piece by piece. The prompt itself is not repeated."""
    ids = [tokenizer.end_of_text, *tokenizer.encode(prompt)]
    yield from stream_ids(engine, tokenizer, ids, {tokenizer.end_of_text}, config)


def stream_ids(
    engine: Engine, tokenizer: Tokenizer, prompt: list[int], last: Collection[int], config: SamplingConfig
) -> Iterator[str]:
    """What follows the ids ``prompt``, up to one of the tokens ``last``."""
    new_ids = until_token(islice(engine.tokens(prompt, config), config.maximum_tokens), last)
    yield from until_stop(decode(new_ids, tokenizer), config.stop)


def until_token(ids: Iterable[int], last: Collection[int]) -> Iterator[int]:
    """The ids before the first of ``last``."""
    for token in ids:
        if token in last:
            return
        yield token


def decode(ids: Iterable[int], tokenizer: Tokenizer) -> Iterator[str]:
    """Whole characters only."""
    decoder = StreamDecoder(tokenizer)
    for token in ids:
        if piece := decoder.push(token):
            yield piece
    if piece := decoder.finish():
        yield piece


def until_stop(pieces: Iterable[str], stops: tuple[str, ...]) -> Iterator[str]:
    """The text before the first of ``stops``, whatever way it is cut into pieces."""
    held = ""
    for piece in pieces:
        held += piece
        if has_stopped(held, stops):
            break
        if undecided := len(held) - longest_beginning(held, stops):
            yield held[:undecided]
            held = held[undecided:]
    if text := held[: first_stop(held, stops)]:
        yield text


def has_stopped(text: str, stops: tuple[str, ...]) -> bool:
    """Whether a stop is in it, and no other one that begins before could still be completed.

    Of several stops the one that begins first counts, even if a shorter one is complete before it.
    """
    found = first_stop(text, stops)
    return found < len(text) and found <= len(text) - longest_beginning(text, stops)


def first_stop(text: str, stops: tuple[str, ...]) -> int:
    """Where the first stop in ``text`` begins; the length of ``text`` if there is none."""
    return min((at for stop in stops if (at := text.find(stop)) >= 0), default=len(text))


def longest_beginning(text: str, stops: tuple[str, ...]) -> int:
    """How many characters at the end of ``text`` could be the beginning of a stop."""
    return max(
        (size for stop in stops for size in range(1, len(stop)) if text.endswith(stop[:size])),
        default=0,
    )
