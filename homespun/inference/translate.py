"""Texts in one language in, texts in the other one out: what an encoder-decoder was trained for.

Texts are translated several at once, those of like length together, and come back in their order. What is not a
sentence of the training data's kind (several lines, many sentences) is not cut into such: that is the caller's.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from homespun.common.progress import Advance, ignore
from homespun.corpus.pairs import clean
from homespun.inference.beam import Found, beam_search
from homespun.inference.settings import BeamConfig
from homespun.models.encoder_decoder import EncoderDecoder
from homespun.tokenizer.special import SEPARATOR
from homespun.tokenizer.tokenizer import Tokenizer

SENTENCES_AT_ONCE = 32
LONGER_THAN_SOURCE = 50  # tokens: Vaswani et al. 2017, section 6.1


@dataclass(frozen=True)
class Translation:
    """``score`` of the search; ``complete`` is False where the source was cut to fit, or the text had no end."""

    source: str
    text: str
    score: float
    complete: bool


class Translator:
    """A model ready to translate."""

    def __init__(self, model: EncoderDecoder, tokenizer: Tokenizer) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.separator = tokenizer.special_id(SEPARATOR)
        self.context = model.config.context
        self.device = next(model.parameters()).device

    def ids_of(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of each, whole and without the separator."""
        return self.tokenizer.encode_lists([clean(text) for text in texts])

    def translate(
        self, texts: Sequence[str], config: BeamConfig = BeamConfig(), advance: Advance = ignore
    ) -> list[Translation]:
        """Each of ``texts``, in order; an empty one stays empty. ``advance`` is told of texts."""
        sources = self.ids_of(texts)
        done = {number: Translation(texts[number], "", 0.0, True) for number, ids in enumerate(sources) if not ids}
        advance(len(done))
        order = sorted((number for number, ids in enumerate(sources) if ids), key=lambda number: len(sources[number]))
        for begin in range(0, len(order), SENTENCES_AT_ONCE):
            chosen = order[begin : begin + SENTENCES_AT_ONCE]
            for number, found in zip(chosen, self.search([sources[number] for number in chosen], config), strict=True):
                whole = len(sources[number]) < self.context
                text = self.tokenizer.decode(found.tokens)
                done[number] = Translation(texts[number], text, found.score, found.ended and whole)
            advance(len(chosen))
        return [done[number] for number in range(len(texts))]

    def search(self, sources: list[list[int]], config: BeamConfig) -> list[Found]:
        """The best target of each source, both as token ids."""
        rows = [[*ids[: self.context - 1], self.separator] for ids in sources]
        width = max(map(len, rows))
        source = torch.zeros(len(rows), width, dtype=torch.int64)  # (N, S)
        documents = torch.zeros_like(source)
        for number, row in enumerate(rows):
            source[number, : len(row)], documents[number, : len(row)] = torch.tensor(row), 1
        limits = [min(self.context, len(row) + LONGER_THAN_SOURCE) for row in rows]
        return beam_search(
            self.model, source.to(self.device), documents.to(self.device), self.tokenizer.end_of_text, limits, config
        )
