"""The folder layout of the library PEFT for LoRA adapters: ``adapter_config.json`` and ``adapter_model.safetensors``.

In: such a folder and the model that it is for; out: an ``Adapter`` (``homespun.models.adapter``); and back. In reading
order:

- ``places``: which rows of which of our tensors a layer of theirs is.
- ``settings``: ``adapter_config.json``: ranks, scales, the layers that are meant; what else there is, is refused.
- ``reading``, ``writing``: a whole folder. ``head``: what a classifier has beside its differences.
"""
