"""Whole models, one file each, put together from ``homespun.layers``; a registry names them.

A model is ``Model(config)`` with a frozen configuration dataclass; ``forward(tokens, cache)`` is pure
mathematics on one device and returns logits. The loss is outside, in ``homespun.training``.
"""
