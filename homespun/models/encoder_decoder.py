"""The encoder-decoder transformer: source ids (B, S) and target ids (B, T) in, logits (B, T, V) out.

Vaswani et al. 2017, "Attention Is All You Need": an encoder reads the source, every token looking at all others; a
decoder writes the target, each token looking at those before it and at everything that the encoder has made of the
source. One embedding for source, target and read-out (section 3.4), sinusoidal positions, post-norm. The settings
also make Marian's shape of it (Junczys-Dowmunt et al. 2018).

Shapes: B batch, S positions of the source, T positions of the target in this call, C width, V vocabulary.
"""

import math
from typing import NamedTuple

import torch
from torch import nn

from homespun.layers.attention import CrossAttention, SelfAttention
from homespun.layers.block import BLOCKS, CROSS_BLOCKS
from homespun.layers.cache import CrossCache
from homespun.layers.feedforward import FEEDFORWARDS
from homespun.layers.initialization import draw_matrices_evenly
from homespun.layers.normalization import NORMALIZATIONS
from homespun.layers.positions import SinusoidalPositions
from homespun.models.settings import EncoderDecoderConfig


class Reading(NamedTuple):
    """What the encoder has made of a source (B, S, C), and which of it is text: (B, S), 1, and 0 for what fills up."""

    states: torch.Tensor
    documents: torch.Tensor | None = None

    def select(self, rows: torch.Tensor) -> "Reading":
        """These rows of it."""
        return Reading(self.states[rows], None if self.documents is None else self.documents[rows])


class EncoderDecoder(nn.Module):
    """``read`` a source once; then ask for the logits of a target, all at once or token by token with a cache."""

    def __init__(self, config: EncoderDecoderConfig) -> None:
        super().__init__()
        self.config = config
        width, head_width = config.width, config.width // config.heads
        normalization = NORMALIZATIONS["layer"](config.norm_epsilon, config.biases)
        self.token_embedding = nn.Embedding(config.vocabulary_size, width)
        self.positions = SinusoidalPositions(config.context, width)
        self.dropout = nn.Dropout(config.dropout)

        def self_attention(causal: bool) -> SelfAttention:
            return SelfAttention(width, config.heads, config.heads, head_width, biases=config.biases, causal=causal)

        def feedforward() -> nn.Module:
            return FEEDFORWARDS[config.feedforward](width, config.hidden_width, biases=config.biases)

        self.encoder = nn.ModuleList(
            BLOCKS[config.norm_order](width, self_attention(False), feedforward(), normalization, config.dropout)
            for _ in range(config.count_of_encoder_layers)
        )
        self.decoder = nn.ModuleList(
            CROSS_BLOCKS[config.norm_order](
                width,
                self_attention(True),
                CrossAttention(width, config.heads, head_width, biases=config.biases),
                feedforward(),
                normalization,
                config.dropout,
            )
            for _ in range(config.layers)
        )
        # After the last of the post-norm blocks everything is normalized already.
        last_norm = normalization if config.norm_order == "pre" else lambda _: nn.Identity()
        self.encoder_norm, self.decoder_norm = last_norm(width), last_norm(width)
        self.head = nn.Linear(width, config.vocabulary_size, bias=config.logit_biases)
        if config.tied_embeddings:
            self.head.weight = self.token_embedding.weight
        initialize(self)

    def embed(self, tokens: torch.Tensor, start: int = 0) -> torch.Tensor:
        """Token ids (B, T) -> activations (B, T, C): embeddings times sqrt(C), positions added."""
        x = self.token_embedding(tokens) * math.sqrt(self.config.width)
        return self.dropout(self.positions.add(x, start))

    def read(self, source: torch.Tensor, documents: torch.Tensor | None = None) -> Reading:
        """Source ids (B, S); ``documents`` (B, S) is 1, and 0 for what fills up a row."""
        x = self.embed(source)
        for block in self.encoder:
            x = block(x, self.positions, 0, None, documents)
        return Reading(self.encoder_norm(x), documents)

    def hidden(self, tokens: torch.Tensor, reading: Reading, cache: CrossCache | None = None) -> torch.Tensor:
        """Target ids (B, T) -> activations (B, T, C) before the head; a cache continues earlier calls."""
        start = cache.length if cache is not None else 0
        x = self.embed(tokens, start)
        documents = None
        if reading.documents is not None:
            documents = (reading.documents.new_ones(tokens.shape), reading.documents)
        for index, block in enumerate(self.decoder):
            layer_cache = cache.layers[index] if cache is not None else None
            x = block(x, self.positions, reading.states, start, layer_cache, documents)
        return self.decoder_norm(x)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Activations (…, C), all or a part of them -> logits (…, V) for the token after each."""
        return self.head(hidden)

    def forward(
        self, tokens: torch.Tensor, source: torch.Tensor, documents: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Target ids (B, T) and source ids (B, S) -> logits (B, T, V) for the target token after each."""
        return self.logits(self.hidden(tokens, self.read(source, documents)))

    def new_cache(self, batch: int) -> CrossCache:
        """An empty cache for ``batch`` targets of up to ``config.context`` tokens."""
        config = self.config
        return CrossCache(
            config.layers, batch, config.heads, config.context, config.width // config.heads,
            like=self.token_embedding.weight,
        )  # fmt: skip


def initialize(model: EncoderDecoder) -> None:
    """As tensor2tensor, the authors' own program, does it.

    | weight                          | distribution                                                            |
    | matrices, each by itself        | uniform within sqrt(6 / (inputs + outputs)) (Glorot & Bengio 2010)      |
    | embedding, head                 | normal, deviation 1 / sqrt(width): times sqrt(width) at the input, it is 1 |
    | gains, biases                   | 1, 0                                                                    |
    """
    for weight in dict.fromkeys((model.token_embedding.weight, model.head.weight)):  # once, if they are the same
        nn.init.normal_(weight, std=model.config.width**-0.5)
    draw_matrices_evenly(model)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
