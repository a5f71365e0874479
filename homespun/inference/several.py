"""Several prompts at once: each goes on as it would alone (``homespun.inference.engine``), in a fraction of the time.

In: prompts as ids. Out: their texts. All texts of a group stand at the same place, so that no model has to know of
anything that fills up: they begin together, with as many tokens as the shortest prompt has, and a prompt that is longer
gives its next token where the others give the one that they have drawn. Prompts of like length go together; a text that
has come to its end leaves the group.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import torch

from homespun.common.progress import Advance, ignore
from homespun.inference.engine import Engine
from homespun.inference.sampling import Sampler
from homespun.inference.settings import SamplingConfig
from homespun.inference.stream import decode, has_stopped, until_stop, until_token
from homespun.inference.window import window_start
from homespun.models.settings import TextModelConfig
from homespun.tokenizer.streaming import StreamDecoder
from homespun.tokenizer.tokenizer import Tokenizer

TEXTS_AT_ONCE = 32
CACHED_BYTES = 1 << 30  # of what a group remembers
BYTES_OF_A_NUMBER = 4
MOST_LONGER = 32  # tokens by which the longest prompt of a group may exceed the shortest: they are read one by one


def write_several(
    engine: Engine,
    tokenizer: Tokenizer,
    prompts: Sequence[Sequence[int]],
    last: Collection[int],
    config: SamplingConfig,
    advance: Advance = ignore,
) -> list[str]:
    """What follows each of ``prompts`` (ids, at least one each), up to one of the tokens ``last``; in their order.

    The same as ``homespun.inference.stream.stream_ids`` writes (tested). ``advance`` is told of each text.
    """
    texts = [Text(prompt, tokenizer, last, config) for prompt in prompts]
    for group in groups_of([len(prompt) for prompt in prompts], texts_at_once(engine.model.config)):
        write_group(engine, [texts[place] for place in group], config.maximum_tokens, advance)
    return [text.whole() for text in texts]


def texts_at_once(config: TextModelConfig) -> int:
    """As many as their caches have room for."""
    return max(1, min(TEXTS_AT_ONCE, CACHED_BYTES // (BYTES_OF_A_NUMBER * max(1, config.cached_numbers()))))


def groups_of(lengths: Sequence[int], most: int) -> Iterator[list[int]]:
    """Places of prompts of like length, at most so many together."""
    group: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        if group and (len(group) == most or lengths[place] > lengths[group[0]] + MOST_LONGER):
            yield group
            group = []
        group.append(place)
    if group:
        yield group


class Text:
    """One text as it grows: the ids of its prompt, then those that were drawn."""

    def __init__(
        self, prompt: Sequence[int], tokenizer: Tokenizer, last: Collection[int], config: SamplingConfig
    ) -> None:
        self.ids, self.prompt = list(prompt), len(prompt)
        self.tokenizer, self.last, self.config = tokenizer, last, config
        self.sampler, self.decoder, self.decoded = Sampler(config), StreamDecoder(tokenizer), ""
        self.ended = False

    def draw(self, logits: torch.Tensor) -> None:
        """The next token, from logits (V,)."""
        token = self.sampler.draw(logits)
        self.ids.append(token)
        if token in self.last or len(self.ids) - self.prompt == self.config.maximum_tokens:
            self.ended = True
            return
        self.decoded += self.decoder.push(token)
        self.ended = has_stopped(self.decoded, self.config.stop)

    def whole(self) -> str:
        """What was drawn, as text."""
        drawn = until_token(self.ids[self.prompt :], self.last)
        return "".join(until_stop(decode(drawn, self.tokenizer), self.config.stop))


def write_group(engine: Engine, texts: list[Text], most: int, advance: Callable[[int], object]) -> None:
    """All of them to their ends; ``most``: tokens that are drawn of each."""
    length, start = min(len(text.ids) for text in texts), 0
    cache: Any = engine.model.new_cache(batch=len(texts))
    cache.shrink(min(engine.context, max(len(text.ids) for text in texts) + most))
    while texts:
        with torch.inference_mode():
            if window_start(length, engine.context) != start:
                start = window_start(length, engine.context)
                cache.clear()
            new = torch.tensor([text.ids[start + cache.length : length] for text in texts], device=engine.device)
            logits = engine.model.logits(engine.model.hidden(new, cache)[:, -1])  # (B, V)
            for text, row in zip(texts, logits, strict=True):
                if len(text.ids) == length:  # its prompt is over
                    text.draw(row)
            living = [place for place, text in enumerate(texts) if not text.ended]
            if 0 < len(living) < len(texts):
                cache.select(torch.tensor(living, device=engine.device))
        advance(len(texts) - len(living))
        texts = [texts[place] for place in living]
        length += 1
