"""Beam search: sources in, for each the target text that the model finds likeliest of those that it tries.

At every step the beginnings of each sentence, ``beam`` of them, go on with every token of the vocabulary. Of all these
the likeliest ``beam`` that do not end live on, and one that ends is finished if it is among the likeliest ``beam``. A
finished text is judged by

    log probability / ((5 + length) / 6) ^ length_penalty         (Wu et al. 2016, equation 14)

or short texts, which have fewer factors, would always win. ``length`` counts the end of the text. The search for a
sentence is over when ``beam`` texts are finished, or when no beginning can become better than the best of them. So a
beam of 1 is greedy decoding. What this leaves out: the coverage penalty of the same equation.

Shapes: N sentences, S positions of a source, R rows (the beginnings of all sentences, as many of each), V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from homespun.inference.settings import BeamConfig
from homespun.models.encoder_decoder import EncoderDecoder


@dataclass(frozen=True)
class Found:
    """Token ids of a target without its end, and its score; ``ended`` is False where it was cut off at the limit."""

    tokens: tuple[int, ...]
    score: float
    ended: bool = True


def penalty(length: int, exponent: float) -> float:
    """What a log probability of so many tokens is divided by."""
    return ((5 + length) / 6) ** exponent


@dataclass
class Search:
    """One sentence: where it stands in the batch, its living beginnings with their log probabilities, the best text.

    ``limit``: most tokens of its target, the end among them.
    """

    number: int
    limit: int
    beginnings: list[tuple[int, ...]]
    chances: list[float]
    best: Found | None = None
    finished: int = 0

    def finish(self, tokens: tuple[int, ...], chance: float, exponent: float) -> None:
        """A text has come to its end."""
        self.finished += 1
        score = chance / penalty(len(tokens) + 1, exponent)
        if self.best is None or score > self.best.score:
            self.best = Found(tokens, score)

    def is_over(self, config: BeamConfig) -> bool:
        """Enough is finished, or nothing better can come: chances only fall, and the longest text divides by most."""
        if self.best is None:
            return False
        hope = max(self.chances) / penalty(self.limit, config.length_penalty)
        return self.finished >= config.beam or self.best.score >= hope

    def result(self, exponent: float) -> Found:
        """The best text that came to its end; without one the likeliest beginning."""
        likeliest = max(range(len(self.chances)), key=self.chances.__getitem__)
        tokens = self.beginnings[likeliest]
        return self.best or Found(tokens, self.chances[likeliest] / penalty(len(tokens), exponent), ended=False)


@torch.inference_mode()
def beam_search(
    model: EncoderDecoder,
    source: torch.Tensor,
    documents: torch.Tensor | None,
    end_of_text: int,
    limits: Sequence[int],
    config: BeamConfig = BeamConfig(),
) -> list[Found]:
    """The targets of N sources (N, S); ``documents`` (N, S) is 1, and 0 for what fills up.

    ``limits``: most tokens of each target, its end among them; at most the model's context.
    """
    reading, cache = model.read(source, documents), model.new_cache(len(source))
    searches = [Search(number, limit, [()], [0.0]) for number, limit in enumerate(limits)]
    found: dict[int, Found] = {}
    newest = torch.full((len(source), 1), end_of_text, device=source.device)  # (R, 1)
    for length in range(1, max(limits) + 1):
        chances = torch.tensor([chance for search in searches for chance in search.chances], device=source.device)
        logits = model.logits(model.hidden(newest, reading, cache)[:, -1])  # (R, V)
        totals = chances[:, None].double() + logits.double().log_softmax(-1)  # (R, V)
        rows, going_on = [], []
        for search, row in step(searches, totals, end_of_text, config):
            if search.is_over(config) or length == search.limit:
                found[search.number] = search.result(config.length_penalty)
            else:
                rows += row
                going_on.append(search)
        searches = going_on
        if not searches:
            break
        chosen = torch.tensor(rows, device=source.device)
        reading = reading.select(chosen)
        cache.select(chosen)
        last = [tokens[-1] for search in searches for tokens in search.beginnings]
        newest = torch.tensor(last, device=source.device)[:, None]
    return [found[number] for number in range(len(source))]


def step(
    searches: list[Search], totals: torch.Tensor, end_of_text: int, config: BeamConfig
) -> list[tuple[Search, list[int]]]:
    """Each search one token further, with the rows (of ``totals`` (R, V)) that its beginnings come from."""
    vocabulary, each = totals.shape[1], len(totals) // len(searches)
    together = totals.view(len(searches), each * vocabulary)
    # Each beginning ends in one way only: of twice the beam, half at least live on.
    best = together.topk(min(2 * config.beam, together.shape[1]))
    result = []
    for index, (search, chances, places) in enumerate(
        zip(searches, best.values.tolist(), best.indices.tolist(), strict=True)
    ):
        beginnings, living, rows = [], [], []
        for rank, (chance, place) in enumerate(zip(chances, places, strict=True)):
            row, token = divmod(place, vocabulary)
            tokens = search.beginnings[row]
            if token == end_of_text:
                if rank < config.beam:
                    search.finish(tokens, chance, config.length_penalty)
            elif len(beginnings) < config.beam:
                beginnings.append((*tokens, token))
                living.append(chance)
                rows.append(index * each + row)
        search.beginnings, search.chances = beginnings, living
        result.append((search, rows))
    return result
