"""Whole models, one file each, put together from ``homespun.layers``; a registry names them.

A model is ``Model(config)`` with a frozen configuration dataclass (``settings``); ``forward`` is pure mathematics on
one device: token ids or images in, logits out. What writes text token by token also takes a cache. The loss is outside,
in ``homespun.training``.
"""
