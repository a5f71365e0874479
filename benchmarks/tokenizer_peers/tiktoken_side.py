"""tiktoken (OpenAI): ``Encoding(name, pat_str, mergeable_ranks, special_tokens)``; takes str only, has no trainer.

``encode_ordinary`` gives a list and is faster, in 0.14, than ``encode_to_numpy``, which has no "ordinary" form and
looks for special tokens. Batches: ``encode_ordinary_batch`` with a pool of Python threads; the core releases the GIL.
"""

from collections.abc import Sequence
from typing import Any

from tokenizer_peers.contender import Encodes, Prepared, Text, flat


class Tiktoken(Encodes):
    """Through its public constructor, so that nothing is downloaded."""

    name = package = "tiktoken"
    start = """
import tiktoken
from tiktoken.load import load_tiktoken_bpe
ranks = load_tiktoken_bpe({ranks!r})
encoding = tiktoken.Encoding("x", pat_str={possessive!r}, mergeable_ranks=ranks, special_tokens={{}})
ids = encoding.encode_ordinary({text!r})
"""

    def load(self, files: Prepared) -> None:
        """Read the ranks."""
        import tiktoken
        from tiktoken.load import load_tiktoken_bpe

        ranks = load_tiktoken_bpe(files.ranks)
        self.encoding = tiktoken.Encoding(
            files.name, pat_str=files.possessive, mergeable_ranks=ranks, special_tokens={}
        )

    def encode(self, text: Text) -> Any:
        """A list of ids."""
        return [self.encoding.encode_ordinary(text)]

    def encode_parts(self, parts: Sequence[Any], threads: int) -> Any:
        """A list of lists."""
        return self.encoding.encode_ordinary_batch(parts, num_threads=threads)

    def ids(self, result: Any) -> Any:
        """Lists -> array."""
        return flat(result)
