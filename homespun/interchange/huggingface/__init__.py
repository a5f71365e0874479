"""The folder layout of Hugging Face's library ``transformers``: ``config.json``, safetensors, ``tokenizer.json``.

In: such a folder, out: ``Weights``; and back. In reading order:

- ``config_file``: values of ``config.json``, each checked, or refused in a line that names its key.
- ``family``: what has to be known of one kind of model. ``families``: the kinds, one file each.
- ``tensors``: their names and layout -> ours, and back, by the table of a family.
- ``tokenizer_files``: the tokenizer, the chat template, the ids that begin and end a text.
- ``companions``: what lies beside the weights, by what a model reads: those files, or how images are made.
- ``classifiers``: a family with a head that sorts texts.
- ``reading``, ``writing``: a whole folder.
- ``peft``: the layout of the library of that name for adapters of such a model.
"""
