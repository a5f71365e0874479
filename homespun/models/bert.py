"""BERT, an encoder that sees the whole text (Devlin et al. 2019): token ids (B, T) in, logits (B, T, V) out.

The logits at a position are for the token that stands there, which the text in front of it and behind it tells: at the
positions to be told the input holds a mask instead. With a second head it also says whether one text follows another.

Shapes: B batch, T positions, C width, V vocabulary.
"""

import math

import torch
from torch import nn

from homespun.layers.attention import SelfAttention
from homespun.layers.block import PostNormBlock
from homespun.layers.feedforward import FEEDFORWARDS
from homespun.layers.initialization import draw_cut_normal
from homespun.layers.normalization import NORMALIZATIONS
from homespun.layers.positions import LearnedPositions
from homespun.models.settings import BERTConfig

DEVIATION, BASE_WIDTH = 0.02, 768
SEGMENTS = 2  # the first text and the second


class BERT(nn.Module):
    """Embed tokens, positions and segments; pass them through post-norm blocks; read logits off.

    ``read_out``: the parts behind the activations, which nobody needs who only reads texts.
    """

    read_out = ("transform", "transform_norm", "head", "next_sentence")

    def __init__(self, config: BERTConfig) -> None:
        super().__init__()
        self.config = config
        normalization = NORMALIZATIONS["layer"](config.norm_epsilon, True)
        self.token_embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.positions = LearnedPositions(config.context, config.width)
        self.segment_embedding = nn.Embedding(SEGMENTS, config.width)
        self.embedding_norm = normalization(config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            PostNormBlock(
                config.width,
                SelfAttention(
                    config.width,
                    config.heads,
                    config.heads,
                    config.width // config.heads,
                    biases=True,
                    dropout=config.dropout,
                    causal=False,
                ),
                FEEDFORWARDS["gelu_exact"](config.width, config.hidden_width, biases=True),
                normalization,
                config.dropout,
            )
            for _ in range(config.layers)
        )
        self.transform = nn.Linear(config.width, config.width)
        self.transform_norm = normalization(config.width)
        self.head = nn.Linear(config.width, config.vocabulary_size)
        if config.tied_embeddings:
            self.head.weight = self.token_embedding.weight
        self.next_sentence = NextSentence(config.width) if config.next_sentence else None
        initialize(self)

    def hidden(
        self, tokens: torch.Tensor, documents: torch.Tensor | None = None, segments: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Token ids (B, T) -> activations (B, T, C).

        ``documents`` (B, T): tokens see only those with the same number, all of their row without. ``segments`` (B, T):
        0 for the first text, 1 for the second; without there is one text.
        """
        x = self.positions.add(self.token_embedding(tokens), 0)
        x = x + (self.segment_embedding.weight[0] if segments is None else self.segment_embedding(segments))
        x = self.dropout(self.embedding_norm(x))
        for block in self.blocks:
            x = block(x, self.positions, 0, None, documents)
        return x

    def before_head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Activations (…, C) -> what the head's matrix is multiplied by (…, C)."""
        return self.transform_norm(nn.functional.gelu(self.transform(hidden)))

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Activations (…, C), all or a part of them -> logits (…, V) for the token at each position."""
        return self.head(self.before_head(hidden))

    def forward(
        self, tokens: torch.Tensor, documents: torch.Tensor | None = None, segments: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Token ids (B, T) -> logits (B, T, V) for the token at each position."""
        return self.logits(self.hidden(tokens, documents, segments))


class NextSentence(nn.Module):
    """Whether the second text of a row follows the first: activations (B, T, C) -> logits (B, 2), 0 for yes.

    Read off the first token, which belongs to no text (section 3.1, task 2).
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.pooler = nn.Linear(width, width)
        self.head = nn.Linear(width, 2)

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.pooler(hidden[:, 0])))


def initialize(model: BERT) -> None:
    """As in the authors' program (``initializer_range``) from the width of their smaller model, 768, on.

    Below, the deviation follows 1 / sqrt(width), as GPT's does here: with 0.02 the matrices of a narrow model hardly
    add to the normalized stream, and it learns from the text around a gap much later (docs/experiments.md).

    | weight                 | distribution                                             |
    | embeddings, matrices   | normal, deviation d = 0.02 sqrt(768 / width), at least   |
    |                        | 0.02; cut off at 2 d                                     |
    | gains, biases          | 1, 0                                                     |
    """
    deviation = DEVIATION * max(1.0, math.sqrt(BASE_WIDTH / model.config.width))
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2:
            draw_cut_normal(parameter, deviation)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
