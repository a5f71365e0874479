"""What of a pretrained body moves when it is finetuned, by name: one line each. In place, before the optimizer is made.

Whatever does not move has no gradient and no place in the optimizer.
"""

from collections.abc import Callable

from torch import nn

from homespun.common.errors import UsageError
from homespun.layers.equal_part import EqualPart
from homespun.layers.few_bits import FEW_BITS
from homespun.layers.lora import adapt
from homespun.layers.quantized import quantize_linears
from homespun.models.settings import PartlyTrainedConfig


def everything(body: nn.Module, config: PartlyTrainedConfig) -> None:
    """All of it."""


def nothing(body: nn.Module, config: PartlyTrainedConfig) -> None:
    """Only the head, which is not of the body."""
    body.requires_grad_(False)


def last_layers(body: nn.Module, config: PartlyTrainedConfig) -> None:
    """The last of its equal layers, and the normalization behind them."""
    body.requires_grad_(False)
    layers = [module for module in body.modules() if isinstance(module, EqualPart)]
    for layer in layers[-config.trained_layers :]:
        layer.requires_grad_(True)
    for name in ("final_norm", "decoder_norm"):
        if isinstance(final := getattr(body, name, None), nn.Module):
            final.requires_grad_(True)


def low_rank(body: nn.Module, config: PartlyTrainedConfig) -> None:
    """Differences of its matrices (``homespun.layers.lora``), which may be held in few bits themselves (QLoRA)."""
    body.requires_grad_(False)
    if config.base_bits in FEW_BITS:
        quantize_linears(body, config.base_bits)
    rank = config.lora_rank
    if not adapt(body, rank, config.lora_alpha, config.lora_dropout, config.lora_layers):
        raise UsageError(
            f"{config.body.architecture} of width {config.width} has no linear layer that a difference of rank {rank} "
            "is smaller than: take a lower --model.lora-rank, or --train full"
        )


TRAINED: dict[str, Callable[[nn.Module, PartlyTrainedConfig], None]] = {
    "full": everything,
    "last-layers": last_layers,
    "lora": low_rank,
    "head": nothing,
}
