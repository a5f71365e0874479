"""How likely a model finds a text after another one: natural logarithms of the probability of each token.

In: pairs of texts, a context and its continuation. Out: for each pair the logarithms (nats, at most 0) of the tokens of
the continuation, and which of them the model would have chosen itself.

- A context begins with the end-of-text token, as texts do in training.
- Context and continuation are encoded as one text, then cut where the context's own tokens end, so that the
  continuation is cut into tokens as it would be in training. Where the two would share a token it counts to the
  continuation. White space at the end of a context belongs to the continuation, for tokens begin with theirs.
- What is longer than the model's window loses the beginning of its context. A continuation that does not fit by itself
  is refused.

``homespun.evaluation.naive`` is the oracle. What contexts share is computed once (``sharing.py``).

Shapes: B rows, T positions, C width, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from homespun.common.errors import HomespunError
from homespun.common.progress import Advance, ignore
from homespun.evaluation.sharing import Group, groups_of
from homespun.inference.window import visible_tokens
from homespun.models.language_model import LanguageModel
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.pieces import LOGITS_AT_ONCE


@dataclass(frozen=True)
class Request:
    """Token ids: at least one of each."""

    context: list[int]
    continuation: list[int]


@dataclass(frozen=True)
class Scored:
    """For each token of a continuation: ``nats`` (n,), and whether it is the model's own choice, ``greedy`` (n,)."""

    nats: np.ndarray
    greedy: np.ndarray

    @property
    def total(self) -> float:
        """The logarithm of the probability of the whole continuation."""
        return float(self.nats.sum())

    @property
    def verbatim(self) -> bool:
        """Whether the model, choosing the likeliest token each time, would have written just this."""
        return bool(self.greedy.all())


class Scorer:
    """A model ready to say how likely texts are. ``cut`` counts the contexts that lost their beginning."""

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.window = visible_tokens(model.config)
        self.device = next(model.parameters()).device
        self.cut = 0

    def of_texts(self, pairs: Sequence[tuple[str, str]], advance: Advance = ignore) -> list[Scored]:
        """Each pair of context and continuation; ``advance`` is told of pairs."""
        return self.of_requests(encode_pairs(pairs, self.tokenizer), advance)

    @torch.inference_mode()
    def of_requests(self, requests: Sequence[Request], advance: Advance = ignore) -> list[Scored]:
        """The same for token ids. ``HomespunError`` for a continuation longer than the window."""
        fitted = [fit(request, self.window) for request in requests]
        self.cut += sum(new is not old for new, old in zip(fitted, requests, strict=True))
        found: list[Scored | None] = [None] * len(fitted)
        for group in groups_of([(request.context, request.continuation) for request in fitted]):
            for place, scored in zip(
                group.places, self.of_group(group, [fitted[place] for place in group.places]), strict=True
            ):
                found[place] = scored
            advance(len(group.places))
        return [scored for scored in found if scored is not None]

    def of_group(self, group: Group, requests: list[Request]) -> list[Scored]:
        """Requests that begin with the same ``group.shared`` tokens: these once, then the rest of all rows."""
        rows = [[*request.context, *request.continuation[:-1]][group.shared :] for request in requests]
        tokens = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)  # filled up at the end: nobody looks
        for number, row in enumerate(rows):
            tokens[number, : len(row)] = torch.tensor(row)
        hidden = self.model.hidden(tokens.to(self.device), self.cache_of(group, requests[0], tokens.shape))  # (B, T, C)
        told = [
            (number, len(request.context) - 1 - group.shared + step)
            for number, request in enumerate(requests)
            for step in range(len(request.continuation))
        ]
        chosen = hidden[tuple(torch.tensor(told, device=self.device).T)]  # (targets, C)
        wanted = torch.tensor([token for request in requests for token in request.continuation], device=self.device)
        nats, greedy = read_off(self.model, chosen, wanted)
        ends = np.cumsum([len(request.continuation) for request in requests])[:-1]
        return [Scored(*parts) for parts in zip(np.split(nats, ends), np.split(greedy, ends), strict=True)]

    def cache_of(self, group: Group, first: Request, shape: torch.Size) -> Any:
        """What the model knows after the shared tokens, once for each row; None where nothing is shared."""
        if not group.shared:
            return None
        cache: Any = self.model.new_cache(batch=1)
        self.model.hidden(torch.tensor([first.context[: group.shared]], device=self.device), cache)
        cache.shrink(group.shared + shape[1])
        cache.select(torch.zeros(shape[0], dtype=torch.int64, device=self.device))
        return cache


def read_off(model: LanguageModel, hidden: torch.Tensor, wanted: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Activations (N, C) and the tokens that follow (N) -> their logarithms (N), and whether each is the likeliest."""
    rows = max(1, LOGITS_AT_ONCE // model.config.vocabulary_size)
    nats, greedy = [], []
    for begin in range(0, len(wanted), rows):
        logits, tokens = model.logits(hidden[begin : begin + rows]).float(), wanted[begin : begin + rows]  # (rows, V)
        nats.append(logits.log_softmax(-1).gather(-1, tokens[:, None])[:, 0].double().cpu().numpy())
        greedy.append((logits.argmax(-1) == tokens).cpu().numpy())
    return np.concatenate(nats), np.concatenate(greedy)


def fit(request: Request, window: int) -> Request:
    """The request itself, or with as much of the end of its context as the window holds."""
    excess = len(request.context) + len(request.continuation) - 1 - window
    if excess <= 0:
        return request
    if excess >= len(request.context):
        raise HomespunError(
            f"an answer of {len(request.continuation):,} tokens is longer than the {window:,} tokens that the model "
            "sees at once; give shorter ones, or a model with a longer context"
        )
    return Request(request.context[excess:], request.continuation)


def encode_pairs(pairs: Sequence[tuple[str, str]], tokenizer: Tokenizer) -> list[Request]:
    """Context and continuation of each pair as token ids, cut as said above. ``HomespunError`` for an empty one."""
    whole = tokenizer.encode_lists([context + continuation for context, continuation in pairs])
    distinct = list(dict.fromkeys(context.rstrip() for context, _ in pairs))
    contexts = dict(zip(distinct, tokenizer.encode_lists(distinct), strict=True))
    requests = []
    for ids, (context, continuation) in zip(whole, pairs, strict=True):
        if not continuation:
            raise HomespunError(f"after {context[-40:]!r} stands an empty answer: there is nothing to measure")
        cut = shared_length(ids, contexts[context.rstrip()])
        requests.append(Request([tokenizer.end_of_text, *ids[:cut]], ids[cut:]))
    return requests


def shared_length(first: Sequence[int], second: Sequence[int]) -> int:
    """How many tokens two sequences have in common at their beginning."""
    shorter = min(len(first), len(second))
    return next((place for place in range(shorter) if first[place] != second[place]), shorter)
