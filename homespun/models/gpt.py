"""The decoder-only transformer: token ids (B, T) in, logits (B, T, V) out.

One class for GPT-2's parts and for the modern ones (Qwen3, Llama): the configuration chooses the
parts (positions, normalization, feed-forward), and the model does not ask again. It leaves out
training, devices, precision and the loss: those wrap it.

Shapes: B batch, T positions in this call, C width, V vocabulary.
"""

import math

import torch
from torch import nn

from homespun.layers.attention import SelfAttention
from homespun.layers.block import BLOCKS
from homespun.layers.cache import KeyValueCache
from homespun.layers.experts import Experts
from homespun.layers.feedforward import FEEDFORWARDS
from homespun.layers.normalization import NORMALIZATIONS
from homespun.layers.positions import LearnedPositions, RotaryPositions
from homespun.models.language_model import LanguageModel
from homespun.models.settings import GPTConfig

GPT2_DEVIATION, GPT2_WIDTH = 0.02, 768
EVENNESS = 0.01  # weight of the experts' evenness beside the loss: Fedus et al. 2021, section 2.2


class GPT(LanguageModel[GPTConfig]):
    """Embed tokens, pass them through the blocks, read logits off the last activations."""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__(config, config.logit_softcap)
        normalization = NORMALIZATIONS[config.normalization](config.norm_epsilon, config.biases)
        self.positions = (
            LearnedPositions(config.context, config.width)
            if config.positions == "learned"
            else RotaryPositions(config.context, config.width_of_head, config.rotary_base)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            BLOCKS[config.norm_order](
                config.width,
                SelfAttention(
                    config.width,
                    config.heads,
                    config.count_of_key_value_heads,
                    config.width_of_head,
                    biases=config.biases,
                    projection_biases=config.query_key_value_biases,
                    head_normalization=normalization if config.query_key_norm else None,
                    dropout=config.dropout,
                    window=config.window_of_layer(layer),
                ),
                feedforward(config),
                normalization,
                config.dropout,
            )
            for layer in range(config.layers)
        )
        self.value_embeddings = nn.ModuleList(
            nn.Embedding(config.vocabulary_size, config.count_of_key_value_heads * config.width_of_head)
            for _ in range(config.value_embeddings)
        )
        # Who divides the heads of attention divides these with them.
        self.divided = {f"value_embeddings.{number}": "outputs" for number in range(config.value_embeddings)}
        # After the last of the post-norm blocks everything is normalized already.
        self.final_norm = normalization(config.width) if config.norm_order == "pre" else nn.Identity()
        self.head = self.make_head()
        initialize(self)

    def hidden(
        self, tokens: torch.Tensor, cache: KeyValueCache | None = None, documents: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Token ids (B, T) -> activations (B, T, C) before the head; a cache continues earlier calls."""
        start = cache.length if cache is not None else 0
        x = self.dropout(self.positions.add(self.token_embedding(tokens), start))
        plain_layers = len(self.blocks) - len(self.value_embeddings)
        for index, block in enumerate(self.blocks):
            added = self.value_embeddings[index - plain_layers](tokens) if index >= plain_layers else None
            layer_cache = cache.layers[index] if cache is not None else None
            x = block(x, self.positions, start, layer_cache, documents, added)
        return self.final_norm(x)

    def penalty(self) -> torch.Tensor | None:
        """How unevenly experts are used: without it a few would get all tokens, and all the learning.

        Of the rows of one pass: a step in micro-batches, or of several processes, takes the mean of theirs.
        """
        layers = [module.unevenness for module in self.modules() if isinstance(module, Experts)]
        return EVENNESS * torch.stack(layers).sum() if layers else None

    def new_cache(self, batch: int) -> KeyValueCache:
        """An empty cache for ``batch`` sequences of up to ``config.context`` tokens."""
        config = self.config
        return KeyValueCache(
            config.layers,
            batch,
            config.count_of_key_value_heads,
            config.context,
            config.width_of_head,
            like=self.token_embedding.weight,
        )


def feedforward(config: GPTConfig) -> nn.Module:
    """One for all tokens, or experts."""
    if config.experts:
        return Experts(config.width, config.width_of_expert, config.experts, config.experts_per_token)
    return FEEDFORWARDS[config.feedforward](config.width, config.hidden_width, biases=config.biases)


def initialize(model: GPT) -> None:
    """Normal weights, zero biases; residual outputs scaled down with depth (Radford et al. 2019, section 2.3).

    Not so in GPT-1 (Radford et al. 2018, section 4.1), where a norm after each addition keeps the stream from growing.

    GPT-2's deviation of 0.02 belongs to its width of 768 and more; below, it follows 1 / sqrt(width), which keeps
    activations alike (at width 128 this alone lowered the loss by 5 %: docs/experiments.md).

    | weight                           | deviation                                           |
    | embeddings, input projections    | d = 0.02 sqrt(768 / width), at least 0.02           |
    | projections back to the residual | d / sqrt(2 layers), post-norm d; or 0 if asked      |
    | gains, biases                    | 1, 0                                                |
    """
    deviation = GPT2_DEVIATION * max(1.0, math.sqrt(GPT2_WIDTH / model.config.width))
    residual_deviation = deviation / math.sqrt(2 * model.config.layers)
    if model.config.norm_order == "post":
        residual_deviation = deviation
    if model.config.zero_output_projections:
        residual_deviation = 0.0
    for name, parameter in model.named_parameters():
        if parameter.dim() >= 2:
            nn.init.normal_(parameter, std=residual_deviation if name.endswith("output.weight") else deviation)
        elif name.endswith("bias"):
            nn.init.zeros_(parameter)
