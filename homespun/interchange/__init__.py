"""Weights between homespun and other programs: files -> ``Weights`` -> files, verified before they are announced.

In: a folder or file that another program wrote; out: a whole model under homespun's names. And back. In reading order:

- ``weights``: what a whole model is between formats. ``forms``: which tensors a configuration asks for. ``kinds``: what
  goes with the weights, by what a model reads.
- ``stored``: tensors in files, read one by one from a memory map; what is damaged or pickled is refused.
- ``huggingface``: the folder layout of Hugging Face's library, one file for each family of models.
- ``plain``: homespun's own names in safetensors. ``gguf``: the file of llama.cpp and ollama. ``rwkv``: the names of
  RWKV-7's authors.
- ``formats``: the registry of all these. ``verify``: an export is read back and compared. ``export``: both together.

No modelling code of other libraries runs here.
"""
