"""gigatoken: ``Tokenizer.from_tiktoken(path, pretokenizer)``, where the pretokenizer is one that it knows by name.

``encode`` takes str or bytes, runs on the calling thread and gives uint32. ``encode_batch`` of a ``BytesSource``, the
faster form of a batch, borrows the buffers and gives an awkward array; its threads are rayon's. It remembers every
piece it has seen, so later passes over the same text are look-ups. ``train_bpe`` knows the split of GPT-2 only, and
of several ties ``raw_token_ids`` is the rule of our trainer: the smallest ids.
"""

from collections.abc import Sequence
from typing import Any

from tokenizer_peers.contender import Encodes, MergeBytes, Prepared, Text, TrainingTask, Trains


class Gigatoken(Encodes, Trains):
    """Through its own interface, which is its fastest."""

    name = package = "gigatoken"
    takes_bytes = True
    start = """
import gigatoken
ids = gigatoken.Tokenizer.from_tiktoken({ranks!r}, pretokenizer={name!r}).encode({text!r})
"""

    cannot_train = ""
    splits = ("gpt2",)

    def load(self, files: Prepared) -> None:
        """Read the ranks."""
        import gigatoken

        self.tokenizer = gigatoken.Tokenizer.from_tiktoken(files.ranks, pretokenizer=files.name)

    def encode(self, text: Text) -> Any:
        """uint32 ids."""
        return self.tokenizer.encode(text)

    def encode_parts(self, parts: Sequence[Any], threads: int) -> Any:
        """An awkward array."""
        import gigatoken

        source = gigatoken.BytesSource(parts) if isinstance(parts[0], bytes) else parts
        return self.tokenizer.encode_batch(source, parallel=threads > 1)

    def ids(self, result: Any) -> Any:
        """Flat."""
        import awkward
        import numpy

        return numpy.asarray(awkward.flatten(result) if isinstance(result, awkward.Array) else result)

    def train(self, task: TrainingTask) -> Any:
        """It reads the file itself."""
        import gigatoken

        return gigatoken.train_bpe(
            gigatoken.TextFileSource([task.text]), 256 + task.merges, [], tie_breaking="raw_token_ids"
        )

    def merges(self, trained: Any) -> MergeBytes:
        """It returns them."""
        return trained[1]
