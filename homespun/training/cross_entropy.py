"""Cross-entropy straight from activations, without ever holding all logits.

``read_out_cross_entropy(hidden, weight, targets, softcap)`` equals

    logits = hidden @ weight.T + bias                           (with a cap: softcap * tanh(logits / softcap))
    cross_entropy(logits.float(), targets, ignore_index=IGNORED, reduction="sum", label_smoothing=smoothing)

At 8 x 1,024 tokens and 50,304 tokens of vocabulary the logits alone are 1.6 GB in fp32, their
gradient as much again. Here a piece of rows is taken through the head, through the loss *and* back
in one go, so that only the gradients of ``hidden`` and ``weight`` outlive it; backward has only to scale them.
Nothing is computed twice. (Liger Kernel, Hsu et al. 2024, section 3.2, and "Cut Your Losses",
Wijmans et al. 2024, do the same on a GPU.)

With ``smoothing`` a share of what is wanted is spread over all V tokens alike (Szegedy et al. 2016, section 7).

Shapes: N rows, C width, V vocabulary.
"""

from typing import Any

import torch

from homespun.batches.batch import IGNORED
from homespun.training.pieces import LOGITS_AT_ONCE


def read_out_cross_entropy(
    hidden: torch.Tensor,
    weight: torch.Tensor,
    targets: torch.Tensor,
    softcap: float = 0.0,
    logits_at_once: int = LOGITS_AT_ONCE,
    *,
    bias: torch.Tensor | None = None,
    smoothing: float = 0.0,
) -> torch.Tensor:
    """Sum of cross-entropies in nats, fp32 0-d. ``hidden`` (N, C), ``weight`` (V, C), ``targets`` (N), ``bias`` (V)."""
    rows = max(1, logits_at_once // weight.shape[0])
    return ReadOutCrossEntropy.apply(hidden, weight, bias, targets, softcap, smoothing, rows, torch.is_grad_enabled())


class ReadOutCrossEntropy(torch.autograd.Function):
    """The loss with all gradients worked out in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        softcap: float,
        smoothing: float,
        rows: int,
        with_gradient: bool,
    ) -> torch.Tensor:
        total = hidden.new_zeros((), dtype=torch.float32)
        # Under autocast the products below run in its dtype; casting the weight once saves doing so for every piece.
        dtype = torch.get_autocast_dtype(hidden.device.type) if torch.is_autocast_enabled(hidden.device.type) else None
        read = weight.to(dtype) if dtype else weight
        hidden_gradient = torch.empty_like(hidden) if with_gradient else None
        weight_gradient = torch.zeros_like(weight, dtype=torch.float32) if with_gradient else None
        bias_gradient = torch.zeros_like(bias, dtype=torch.float32) if with_gradient and bias is not None else None
        for begin in range(0, len(hidden), rows):
            piece = hidden[begin : begin + rows].to(read.dtype)
            wanted = targets[begin : begin + rows]
            logits = piece @ read.T if bias is None else torch.addmm(bias.to(read.dtype), piece, read.T)  # (rows, V)
            capped = torch.tanh(logits.float() / softcap).mul_(softcap) if softcap else logits.float()
            logarithms = torch.log_softmax(capped, dim=-1)
            total += smooth_loss(logarithms, wanted, smoothing)
            if hidden_gradient is None or weight_gradient is None:
                continue
            slope = loss_slope(logarithms, wanted, smoothing)
            if softcap:
                slope *= 1 - (capped / softcap).square()
            slope = slope.to(read.dtype)
            hidden_gradient[begin : begin + rows] = slope @ read
            weight_gradient += slope.T @ piece
            if bias_gradient is not None:
                bias_gradient += slope.sum(0, dtype=torch.float32)
            del logits, capped, logarithms, slope  # or they would stand beside those of the next piece
        ctx.save_for_backward(hidden_gradient, weight_gradient, bias_gradient)
        ctx.weight_dtype = weight.dtype
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Any:  # pyrefly: ignore
        (upstream,) = gradients  # 0-d: the loss is a sum, so everything scales with it
        hidden_gradient, weight_gradient, bias_gradient = ctx.saved_tensors
        if bias_gradient is not None:
            bias_gradient = bias_gradient * upstream
        of_weight = (weight_gradient * upstream).to(ctx.weight_dtype)
        return hidden_gradient * upstream, of_weight, bias_gradient, None, None, None, None, None


def smooth_loss(logarithms: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Sum over the rows that count; ``logarithms`` (rows, V) of probabilities."""
    sharp = torch.nn.functional.nll_loss(logarithms, targets, ignore_index=IGNORED, reduction="sum")
    if not smoothing:
        return sharp
    even = -(logarithms.mean(-1) * (targets != IGNORED)).sum()
    return (1 - smoothing) * sharp + smoothing * even


def loss_slope(logarithms: torch.Tensor, targets: torch.Tensor, smoothing: float) -> torch.Tensor:
    """Derivative of the summed loss by the logits: probabilities less what is wanted; zero where it does not count.

    ``logarithms`` (rows, V) is used up.
    """
    counted = targets != IGNORED
    slope = logarithms.exp_()
    slope.scatter_add_(1, targets.clamp(min=0)[:, None], (smoothing - 1) * counted[:, None].to(slope.dtype))
    if smoothing:
        slope -= smoothing / slope.shape[1]
    return slope.mul_(counted[:, None])
