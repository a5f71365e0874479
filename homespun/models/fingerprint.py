"""Which weights are these? A number that is the same for the same weights alone, so that an adapter knows its base.

In: the tensors of a model, by name. Out: 64 hexadecimal digits, SHA-256 over names, shapes and bits. Weights that were
rounded on their way (exported as BF16) are others.
"""

import hashlib
from collections.abc import Collection, Mapping

import torch


def fingerprint(tensors: Mapping[str, torch.Tensor], left_out: Mapping[str, Collection[int]]) -> str:
    """``left_out``: of some tables the rows that do not count.

    An adapter leaves out the rows that it brings itself: whatever a base has there, or whether it has them at all, they
    are not used.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].detach().to("cpu", torch.float32)
        if places := [place for place in left_out.get(name, ()) if place < len(value)]:
            kept = torch.ones(len(value), dtype=torch.bool)
            kept[places] = False
            value = value[kept]
        digest.update(f"{name} {list(value.shape)}\n".encode())
        digest.update(value.contiguous().flatten().numpy().data)
    return digest.hexdigest()
