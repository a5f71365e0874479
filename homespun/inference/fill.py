"""Gaps in a text -> what a model that has seen both sides of them would put there.

In: a text with ``[MASK]`` where something is missing. Out: for each gap the likeliest tokens with their probabilities,
each gap by itself while the others stay gaps (Devlin et al. 2019 train no other way), and the text with the first of
them in place. A space in front of a gap belongs to the token that fills it, as in training: tokens begin with theirs.
"""

import re
from dataclasses import dataclass
from typing import Any

import torch

from homespun.common.errors import HomespunError, UsageError
from homespun.inference.uses import GAP
from homespun.tokenizer.special import CLASS, MASK, SEPARATOR
from homespun.tokenizer.tokenizer import Tokenizer

FRAME = 2  # marks around a text
GAPS = re.compile(rf" ?(?:{re.escape(GAP)}|{re.escape(MASK)})")


@dataclass(frozen=True)
class Guess:
    """A token for a gap; its text often begins with a space."""

    token: int
    text: str
    probability: float


@dataclass(frozen=True)
class Filled:
    """The whole text with every gap filled, and the guesses for each gap, the likeliest first."""

    text: str
    gaps: list[list[Guess]]


def fill(model: Any, tokenizer: Tokenizer, text: str, top: int = 5) -> Filled:
    """The ``top`` guesses for each gap of ``text``.

    ``UsageError`` where there is no gap, ``HomespunError`` where the text is longer than the model sees.
    """
    if not GAPS.search(text):
        raise UsageError(f"there is no {GAP} in {text!r}: write it where a word is missing")
    if not 1 <= top <= tokenizer.vocabulary_size:
        raise UsageError(f"--top is {top}; it must lie between 1 and the {tokenizer.vocabulary_size} tokens there are")
    mask = tokenizer.special_id(MASK)
    ids = with_gaps(text, tokenizer)
    guesses = [guesses_of(row, tokenizer, top) for row in logits_of_gaps(model, tokenizer, ids)]
    found = iter(guesses)
    filled = [next(found)[0].token if token == mask else token for token in ids]
    return Filled(tokenizer.decode(filled), guesses)


def with_gaps(text: str, tokenizer: Tokenizer) -> list[int]:
    """Token ids of a text, the mask for each gap."""
    first, *others = GAPS.split(text)
    ids = tokenizer.encode(first)
    for part in others:
        ids += [tokenizer.special_id(MASK), *tokenizer.encode(part)]
    return ids


@torch.inference_mode()
def logits_of_gaps(model: Any, tokenizer: Tokenizer, ids: list[int]) -> torch.Tensor:
    """Logits (gaps, V) of all gaps, in fp32."""
    row = [tokenizer.special_id(CLASS), *ids, tokenizer.special_id(SEPARATOR)]
    if len(row) > model.config.context:
        most = model.config.context - FRAME
        raise HomespunError(f"the text has {len(ids)} tokens, and the model sees {most} at once; give it a shorter one")
    tokens = torch.tensor([row], device=next(model.parameters()).device)  # (1, T)
    hidden = model.eval().hidden(tokens)[tokens == tokenizer.special_id(MASK)]  # (gaps, C)
    return model.logits(hidden).float()


def guesses_of(logits: torch.Tensor, tokenizer: Tokenizer, top: int) -> list[Guess]:
    """The likeliest tokens of logits (V,); marks such as the end of a text fill no gap."""
    marks = list(tokenizer.special_tokens.values())
    chances = logits.cpu().softmax(-1).index_fill(0, torch.tensor(marks), 0.0)
    best = chances.sort(descending=True, stable=True).indices[:top].tolist()
    return [Guess(token, tokenizer.decode([token]), float(chances[token])) for token in best]
