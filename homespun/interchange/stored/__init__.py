"""Tensors in files: each is read only when it is asked for. ``open_tensors(path)`` finds out what a file is."""

from homespun.interchange.stored.opening import open_tensors
from homespun.interchange.stored.source import TensorSource

__all__ = ["TensorSource", "open_tensors"]
