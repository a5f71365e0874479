"""RWKV-7's own weight format: the names of the authors' checkpoints (``blocks.0.att.x_r`` …), in a safetensors file.

``names`` says which of their tensors is which of ours. ``convert`` turns whole models, both ways; ``file`` reads and
writes them. The authors publish ``.pth`` files, which are pickles: those are refused with a line that says how to
convert one.
"""
