"""homespun: your own language model, from your own text.

The folders are the way of the data, in this order: corpus, tokenizer, batches,
layers, models, training, inference, report; ``pipeline`` walks the whole way and
``cli`` is the command line. Importing this package imports nothing heavy.
"""

__version__ = "0.1.0"
