"""Who may look at whom: a part of attention that is passed in, not decided in it.

``Sight`` says it for one call: only earlier positions (``causal``), only the nearest ones (``window``), only the same
document (``documents``: batches in which several texts, or a text and its padding, share a row). ``mask_of`` draws it
as a table of booleans, or gives None where everything may be looked at.

Queries are the last T of S positions, as everywhere (T < S with a cache).
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Sight:
    """``window`` 0: no limit. ``documents``: numbers (B, T) and (B, S) of the texts of queries and keys; None: one."""

    causal: bool = True
    window: int = 0
    documents: tuple[torch.Tensor, torch.Tensor] | None = None

    def is_plainly_causal(self, new: int, seen: int) -> bool:
        """Each of all S positions looks at itself and the ones before it, and nothing else is forbidden."""
        return self.causal and new == seen and self.documents is None and not 0 < self.window < seen


CAUSAL = Sight()
EVERYTHING = Sight(causal=False)


def mask_of(sight: Sight, new: int, seen: int, device: torch.device) -> torch.Tensor | None:
    """True where query t may look at key s: (T, S), or (B, 1, T, S) with documents. None: everywhere."""
    mask = None
    banded = 0 < sight.window < seen
    if (sight.causal and new > 1) or banded:
        distance = torch.arange(seen - new, seen, device=device)[:, None] - torch.arange(seen, device=device)  # (T, S)
        mask = distance >= 0 if sight.causal else distance > -sight.window
        if banded:
            mask = mask & (distance < sight.window)
    if sight.documents is not None:
        of_queries, of_keys = sight.documents
        same = (of_queries[:, :, None] == of_keys[:, None, :])[:, None]  # (B, 1, T, S)
        mask = same if mask is None else mask & same
    return mask
