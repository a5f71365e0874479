"""Gradients between backward and the optimizer: exchanged between processes, measured, limited in norm."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from homespun.training.sharding import spread_alike, whole


@contextlib.contextmanager
def exchange_gradients(objective: nn.Module, now: bool) -> Iterator[None]:
    """Inside, gradients are exchanged with other processes only if ``now``: once a step, at its last micro-batch."""
    if isinstance(objective, FSDPModule):
        objective.set_requires_gradient_sync(now)
    if isinstance(objective, DistributedDataParallel) and not now:
        with objective.no_sync():
            yield
    else:
        yield


def limit_gradients(model: nn.Module, limit: float) -> torch.Tensor:
    """Scale all gradients so that their common norm is at most ``limit`` (0: no limit); the norm before that, 0-d.

    Pascanu et al. 2013. Gradients may be spread over processes, in several ways.
    """
    alike = spread_alike(parameter.grad for parameter in model.parameters() if parameter.grad is not None)
    norms = [whole(torch.nn.utils.get_total_norm(gradients)) for gradients in alike]
    norm = torch.linalg.vector_norm(torch.stack(norms))
    if limit:
        share = (limit / (norm + 1e-6)).clamp(max=1.0)
        for gradients in alike:
            torch._foreach_mul_(gradients, share)
    return norm
