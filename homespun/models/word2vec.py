"""Word2Vec (Mikolov et al. 2013): which words stand near each other -> one vector per word.

In: ``Windows``, a word in the middle, the words around it, and words drawn at random. Out: a logit for each guess "this
word stands in the middle"; ``negative_sampling_loss`` makes one number of them.

Two tables hold everything that is learned: ``vectors``, a row for each word where it stands around another, which is
what people use afterwards, and ``outputs``, a row where it stands in the middle. The two methods of the paper differ
in one line, which is how the words around become the rows that guess:

- skip-gram: every word around guesses alone. (In the paper the middle guesses the words around; over a text both
  count the same pairs, and this is also the direction of the published program.)
- continuous bag of words (CBOW): their mean guesses once.

Why this model is not in the registry and does not go through the one training loop: it has no context of tokens and no
next token, and a window touches some dozen rows of two tables of millions of numbers. As a gradient of PyTorch and a
step of an optimizer that is a hundred times slower than adding to those rows. ``homespun.training.word_vectors`` does
the latter, and its tests hold it to what autograd says here.

Shapes: B windows, C words around (fewer where the text ends; the rest is filled), K random words, R rows that guess
(C for skip-gram, 1 for CBOW), D dimensions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

FILLING = -1


@dataclass(frozen=True)
class Windows:
    """Word ids (int64). ``contexts`` and ``negatives`` may have ``FILLING``, which counts for nothing."""

    centres: torch.Tensor  # (B,)
    contexts: torch.Tensor  # (B, C)
    negatives: torch.Tensor  # (B, K)

    def targets(self) -> torch.Tensor:
        """The words to tell apart (B, 1 + K): the one that stands in the middle, then those that do not."""
        return torch.cat([self.centres[:, None], self.negatives], dim=1)


# (vectors of the words around (B, C, D), which of them count (B, C)) -> (rows (B, R, D), which of them count (B, R))
Guesses = Callable[[torch.Tensor, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def each_word(around: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Skip-gram: every word around guesses."""
    return around, counts


def mean_of_words(around: torch.Tensor, counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """CBOW: their mean guesses, where there is any."""
    number = counts.sum(1, keepdim=True)  # (B, 1)
    mean = (around * counts[..., None]).sum(1) / number.clamp(min=1)  # (B, D)
    return mean[:, None], number > 0


METHODS: dict[str, Guesses] = {"skipgram": each_word, "cbow": mean_of_words}


class Word2Vec(nn.Module):
    """Two tables of vectors, and how the words around guess the one in the middle."""

    def __init__(self, vocabulary_size: int, dimensions: int, guesses: Guesses = each_word) -> None:
        super().__init__()
        self.vectors = nn.Embedding(vocabulary_size, dimensions)
        self.outputs = nn.Embedding(vocabulary_size, dimensions)
        self.guesses = guesses
        # As in the published program: small enough that all guesses begin at one half.
        nn.init.uniform_(self.vectors.weight, -0.5 / dimensions, 0.5 / dimensions)
        nn.init.zeros_(self.outputs.weight)

    def forward(self, windows: Windows) -> tuple[torch.Tensor, torch.Tensor]:
        """Windows -> logits (B, R, 1 + K), the true word's first, and which of them count (B, R, 1 + K)."""
        targets = windows.targets()  # (B, 1 + K)
        around = self.vectors(windows.contexts.clamp(min=0))  # (B, C, D)
        rows, rows_count = self.guesses(around, windows.contexts != FILLING)  # (B, R, D), (B, R)
        logits = rows @ self.outputs(targets.clamp(min=0)).mT  # (B, R, 1 + K)
        return logits, rows_count[:, :, None] & (targets != FILLING)[:, None]


def negative_sampling_loss(logits: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Logits and which of them count, both (B, R, 1 + K) -> the sum of all losses, in nats.

    Mikolov et al. 2013, "Distributed Representations of Words and Phrases", equation 4: instead of a softmax over the
    whole vocabulary, one yes-or-no question for the true word and one for each word drawn at random.
    """
    is_true = torch.zeros_like(logits)
    is_true[..., 0] = 1
    losses = functional.binary_cross_entropy_with_logits(logits, is_true, reduction="none")
    return (losses * counts).sum()
