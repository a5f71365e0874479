"""The mark of the equal parts that a model is a stack of."""

from torch import nn


class EqualPart(nn.Module):
    """One of them; those who train may recompute, or shard among processes, each by itself."""
