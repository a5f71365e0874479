"""Counting on paper: parameters and floating-point operations of a model.

Decoders by closed forms that need no torch, exact for parameters (tested against the built model); the others are built
without memory for their numbers and counted (``homespun.models.counting``). Operations follow Kaplan et al. 2020,
section 2.1, with attention counted: a multiply and an add are two operations, and a training step
costs three times a forward pass.
"""

from homespun.models.packed import Packed
from homespun.models.settings import GPTConfig, ModelConfig


def matrix_parameters(config: ModelConfig) -> int:
    """Weights of the block matrices: what a token is multiplied by, embeddings and head left out."""
    if not isinstance(config, GPTConfig):
        from homespun.models.counting import count

        return count(config).matrices
    heads = config.heads + 2 * config.count_of_key_value_heads
    attention = config.width * config.width_of_head * (heads + config.heads)
    return config.layers * (attention + feedforward_parameters(config, config.experts))


def feedforward_parameters(config: GPTConfig, experts: int) -> int:
    """Weights of the matrices of one feed-forward layer, or of ``experts`` of its experts."""
    if config.experts:
        return experts * 3 * config.width * config.width_of_expert
    return config.width * config.hidden_width * (3 if config.feedforward == "swiglu" else 2)


def idle_parameters(config: ModelConfig) -> int:
    """Those of the experts that a token does not use; 0 for all other models."""
    if not isinstance(config, GPTConfig) or not config.experts:
        return 0
    return config.layers * feedforward_parameters(config, config.experts - config.experts_per_token)


def active_parameter_count(config: ModelConfig) -> int:
    """Parameters that one token uses."""
    return parameter_count(config) - idle_parameters(config)


def router_parameters(config: ModelConfig) -> int:
    """Of all routers."""
    return config.layers * config.experts * config.width if isinstance(config, GPTConfig) else 0


def value_width(config: GPTConfig) -> int:
    """Channels of all values of one token in one layer."""
    return config.count_of_key_value_heads * config.width_of_head


def trained_parameters(config: ModelConfig) -> int:
    """Those that training moves: all, but where a pretrained model is finetuned in part."""
    if not isinstance(config, GPTConfig):
        from homespun.models.counting import count

        return count(config).trained
    return parameter_count(config)


def packed_parameters(config: ModelConfig) -> Packed:
    """Those of ``matrix_parameters`` that are held in few bits: none, but where a base is."""
    if not isinstance(config, GPTConfig):
        from homespun.models.counting import count

        return count(config).packed
    return Packed()


def parameter_count(config: ModelConfig) -> int:
    """All parameters."""
    if not isinstance(config, GPTConfig):
        from homespun.models.counting import count

        return count(config).parameters
    heads = config.heads + 2 * config.count_of_key_value_heads
    widening = 2 if config.feedforward == "swiglu" else 1
    norm_parameters = 2 if config.normalization == "layer" and config.biases else 1
    biases_in_block = heads * config.width_of_head + config.width + widening * config.hidden_width + config.width
    block = config.biases * biases_in_block + 2 * norm_parameters * config.width
    if config.query_key_value_biases and not config.biases:
        block += heads * config.width_of_head
    if config.query_key_norm:
        block += 2 * norm_parameters * config.width_of_head
    embeddings = config.vocabulary_size * config.width * (1 if config.tied_embeddings else 2)
    embeddings += config.value_embeddings * config.vocabulary_size * value_width(config)
    if config.positions == "learned":
        embeddings += config.context * config.width
    last_norm = norm_parameters * config.width if config.norm_order == "pre" else 0
    return matrix_parameters(config) + router_parameters(config) + config.layers * block + last_norm + embeddings


def forward_flops_per_token(config: ModelConfig) -> float:
    """Floating-point operations of a forward pass for one target: a token at full context, or an image."""
    return config.forward_flops(matrix_parameters(config) - idle_parameters(config) + router_parameters(config))


def training_flops_per_token(config: ModelConfig) -> float:
    """Forward and backward: three forward passes (Kaplan et al. 2020)."""
    return 3 * forward_flops_per_token(config)
