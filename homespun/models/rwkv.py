"""The RWKV-7 language model: token ids (B, T) in, logits (B, T, V) out; a recurrent network that trains like a GPT.

Peng et al. 2025, "RWKV-7 Goose with Expressive Dynamic State Evolution" (arXiv 2503.14456). The skeleton is that of a
transformer: blocks on a residual stream. But in place of attention each head keeps one matrix of fixed size, so that
a token costs the same after a million others as after one (``homespun.layers.rwkv``). In training, positions are worked
out in chunks at once (``homespun.layers.delta_rule``).

Shapes: B batch, T positions in this call, C width, V vocabulary.
"""

import math

import torch
from torch import nn

from homespun.layers.cache import StateCache
from homespun.layers.rwkv import ChannelMixing, LowRank, RWKVBlock, TimeMixing
from homespun.models.language_model import LanguageModel
from homespun.models.settings import RWKVConfig


class RWKV(LanguageModel[RWKVConfig]):
    """Embed tokens, pass them through the blocks, read logits off the last activations."""

    def __init__(self, config: RWKVConfig) -> None:
        super().__init__(config)
        self.embedding_norm = nn.LayerNorm(config.width, config.norm_epsilon)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            RWKVBlock(
                config.width,
                config.norm_epsilon,
                TimeMixing(
                    config.width,
                    config.width_of_head,
                    decay_rank=config.rank_of_decay,
                    rate_rank=config.rank_of_rate,
                    value_rank=config.rank_of_value if layer else 0,
                    gate_rank=config.rank_of_gate,
                ),
                ChannelMixing(config.width, config.hidden_width),
                config.dropout,
            )
            for layer in range(config.layers)
        )
        self.final_norm = nn.LayerNorm(config.width, config.norm_epsilon)
        self.head = self.make_head()
        initialize(self)

    def hidden(
        self, tokens: torch.Tensor, cache: StateCache | None = None, documents: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Token ids (B, T) -> activations (B, T, C) before the head; a cache continues earlier calls."""
        if documents is not None:
            raise ValueError("a recurrent model reads one text per row")
        x = self.dropout(self.embedding_norm(self.token_embedding(tokens)))
        first_values = None
        for index, block in enumerate(self.blocks):
            x, first_values, state = block(x, first_values, cache.layers[index] if cache is not None else None)
            if cache is not None:
                cache.layers[index] = state
        if cache is not None:
            cache.length += tokens.shape[1]
        return self.final_norm(x)

    def new_cache(self, batch: int) -> StateCache:
        """An empty cache."""
        return StateCache(self.config.layers)


@torch.no_grad()
def initialize(model: RWKV) -> None:
    """As the authors' code for training has it (RWKV-LM, RWKV-v7/train_temp/src/model.py).

    For channel n of C: u = n / C, l = n / (C - 1) - 1/2, and z = s |s| where s runs from -1 to 1 within each head.
    For layer i of L: f = i / (L - 1), falling q = 1 - i / L.

    | weight                                       | value                                                  |
    | embedding                                    | uniform within 0.0001 (a norm follows)                 |
    | head                                         | orthogonal, gain sqrt(vocabulary / width) / 2 or 1/2   |
    | receptance, value; key of channel mixing     | orthogonal, gain 1                                     |
    | key of time mixing                           | orthogonal, gain 0.1                                   |
    | both projections back to the residual        | 0                                                      |
    | low rank                                     | narrow 0; widen orthogonal, gain 0.1                   |
    | shares of the position before                | 1 - u^(p q): p 0.2 receptance, gate; 0.9 decay, rate;  |
    |                                              | 0.7 key, value; in channel mixing 1 - u^(q^4)          |
    | decay offset                                 | -5.5 + 6 (n / (C - 1))^(1 + f^0.3) + 2.5 z             |
    | rate offset, first value offset              | -0.19 + 0.3 z + 0.4 l, 0.73 - 0.4 l                    |
    | removal scale, rate in key, bonus            | 0.71 - 0.1 l, 1.02, -0.04                              |
    | gains, biases                                | 1, 0; gains of head norms ((i + 1) / L)^0.7            |
    """
    config = model.config
    nn.init.uniform_(model.token_embedding.weight, -1e-4, 1e-4)
    # A head that is the embedding is initialized as the head: to the norm behind the embedding its scale is nothing.
    nn.init.orthogonal_(model.head.weight, 0.5 * math.sqrt(max(1.0, config.vocabulary_size / config.width)))
    for layer, block in enumerate(model.blocks):
        assert isinstance(block, RWKVBlock)
        initialize_time(block.time, layer, config.layers)
        left = (1 - layer / config.layers) ** 4
        block.channels.share.copy_(1 - channels_of(block.channels.share) ** left)
        nn.init.orthogonal_(block.channels.key.weight)
        nn.init.zeros_(block.channels.value.weight)


def initialize_time(time: TimeMixing, layer: int, layers: int) -> None:
    """The rows of the table above that are about time mixing."""
    depth, left = layer / max(1, layers - 1), 1 - layer / layers
    offset = time.decay_offset
    width, head_width = len(offset), time.head_width
    line = torch.arange(width, device=offset.device) / max(1, width - 1)  # 0 … 1
    within = torch.arange(width, device=offset.device) % head_width / max(1, head_width - 1) * 2 - 1  # -1 … 1, by head
    zigzag = within * within.abs()
    for name, power in (
        ("receptance", 0.2), ("decay", 0.9), ("key", 0.7), ("value", 0.7), ("rate", 0.9), ("gate", 0.2)
    ):  # fmt: skip
        time.shares[name].copy_(1 - channels_of(offset) ** (power * left))
    offset.copy_(-5.5 + 6 * line ** (1 + depth**0.3) + 2.5 * zigzag)
    time.rate_offset.copy_(-0.19 + 0.3 * zigzag + 0.4 * (line - 0.5))
    if time.first_value_offset is not None:
        time.first_value_offset.copy_(0.73 - 0.4 * (line - 0.5))
    time.removal_scale.copy_(0.71 - 0.1 * (line - 0.5))
    nn.init.constant_(time.rate_in_key, 1.02)
    nn.init.constant_(time.bonus, -0.04)
    nn.init.constant_(time.head_norm.weight, ((layer + 1) / layers) ** 0.7)
    for adapter in time.children():
        if isinstance(adapter, LowRank):
            nn.init.zeros_(adapter.narrow.weight)
            nn.init.orthogonal_(adapter.widen.weight, 0.1)
    nn.init.orthogonal_(time.receptance.weight)
    nn.init.orthogonal_(time.key.weight, 0.1)
    nn.init.orthogonal_(time.value.weight)
    nn.init.zeros_(time.output.weight)


def channels_of(like: torch.Tensor) -> torch.Tensor:
    """0, 1 / C, 2 / C …"""
    return torch.arange(len(like), device=like.device) / len(like)
