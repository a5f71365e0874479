"""The engine: prompt ids in, a stream of token ids out, each token computed once (the model's own cache).

Gives the same tokens as ``naive.generate_naively`` (tested), faster.
"""

from collections.abc import Iterator

import torch

from homespun.inference.sampling import Sampler
from homespun.inference.settings import SamplingConfig
from homespun.inference.window import visible_tokens, window_start
from homespun.models.language_model import Cache, LanguageModel


class Engine:
    """A model ready to continue texts."""

    def __init__(self, model: LanguageModel) -> None:
        self.model = model.eval()
        self.context = visible_tokens(model.config)
        self.device = next(model.parameters()).device

    def logits_after(self, ids: list[int], cache: Cache) -> torch.Tensor:
        """Logits (V,) after feeding ``ids`` on top of the cache; the head is computed for the last only."""
        hidden = self.model.hidden(torch.tensor([ids], device=self.device), cache)
        return self.model.logits(hidden[:, -1])[0]

    def tokens(self, prompt: list[int], config: SamplingConfig) -> Iterator[int]:
        """Token ids after ``prompt`` (at least one id), without end: the caller stops."""
        sampler, ids = Sampler(config), list(prompt)
        cache, start = self.model.new_cache(batch=1), 0
        while True:
            with torch.inference_mode():
                if window_start(len(ids), self.context) != start:
                    start = window_start(len(ids), self.context)
                    cache.clear()
                logits = self.logits_after(ids[start + cache.length :], cache)
            ids.append(sampler.draw(logits))
            yield ids[-1]
