"""GGUF, the one-file format of llama.cpp and ollama <-> ``Weights``, written and read by ourselves.

In reading order, each file one idea:

- ``values``: metadata values of all types, as bytes and back.
- ``quantization``: Q8_0 and Q4_0, blocks of 32 weights with a scale of their own.
- ``numbers``: the five ways in which a tensor can be stored here.
- ``container``: what a file holds; ``write_container``, ``read_container``: the file itself, within bounds.
- ``architectures``: which of llama.cpp's architectures a configuration is, and the metadata that says so.
- ``tensors``: our tensors <-> theirs: names, fused matrices cut and joined, rotary channels in their order.
- ``splits``, ``vocabulary``: the tokenizer inside the file.
- ``write``, ``read``: all of it together; ``modelfile``: the recipe for ollama.
"""

from homespun.interchange.gguf.modelfile import write_modelfile
from homespun.interchange.gguf.read import read_gguf
from homespun.interchange.gguf.write import write_gguf

__all__ = ["read_gguf", "write_gguf", "write_modelfile"]
