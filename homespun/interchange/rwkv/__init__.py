"""RWKV-7's own weights: the names of the authors' checkpoints (``blocks.0.att.x_r`` …) in a safetensors file.

``names`` says which of their tensors is which of ours, ``shapes`` reads a configuration off a file's shapes, ``folder``
reads and writes. The authors publish ``.pth`` files, which are pickles: those are refused with a line that says how to
convert one.
"""
