"""fastokens (Crusoe): a tokenizer.json, or ranks, which load sooner and are slower with GPT-2; str only, no trainer.

``encode_batch_flat`` gives all ids as the bytes of uint32 and makes no Python object per token; it is the fastest
call, also for one text. It takes no number of threads and does not heed ``RAYON_NUM_THREADS``: it uses the cores
that the process may use, also inside one text, and the process may use as many as there are threads to measure.
"""

from collections.abc import Sequence
from typing import Any

from tokenizer_peers.contender import Encodes, Prepared, Text


class Fastokens(Encodes):
    """Through its own interface, not through its patch of transformers."""

    name = package = "fastokens"
    start = """
import fastokens
ids = fastokens.Tokenizer.from_tiktoken({ranks!r}, pattern={classic!r}).encode_ordinary({text!r}).ids
"""

    def load(self, files: Prepared) -> None:
        """Read the tokenizer.json."""
        import fastokens

        self.tokenizer = fastokens.Tokenizer.from_file(files.tokenizer_json)

    def encode(self, text: Text) -> Any:
        """The bytes of uint32 ids, and of offsets."""
        return self.tokenizer.encode_batch_flat([text])

    def encode_parts(self, parts: Sequence[Any], threads: int) -> Any:
        """The same for many."""
        return self.tokenizer.encode_batch_flat(parts)

    def ids(self, result: Any) -> Any:
        """Seen as an array."""
        import numpy

        return numpy.frombuffer(result[0], dtype="<u4")
