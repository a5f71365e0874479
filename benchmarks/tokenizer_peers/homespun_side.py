"""homespun: ``Tokenizer.encode_array``, ``Tokenizer.encode_batch`` and ``train_tokenizer``; takes str or bytes."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizer_peers.contender import Encodes, MergeBytes, Prepared, Text, TrainingTask, Trains, file_parts

BYTES, SPECIAL_TOKENS = 256, 4


class Homespun(Encodes, Trains):
    """Our own."""

    name = package = "homespun"
    takes_bytes = True
    start = """
from pathlib import Path
from homespun.tokenizer.tokenizer import Tokenizer
ids = list(Tokenizer.load(Path({homespun!r})).encode({text!r}))
"""

    cannot_train = ""

    def load(self, files: Prepared) -> None:
        """Read our own file."""
        from homespun.tokenizer.tokenizer import Tokenizer

        self.tokenizer = Tokenizer.load(Path(files.homespun))
        self.tokenizer.prepare()

    def encode(self, text: Text) -> Any:
        """uint32 ids."""
        return self.tokenizer.encode_array(text)

    def encode_parts(self, parts: Sequence[Any], threads: int) -> Any:
        """A ``TokenBatch``: the ids of all, and where each begins."""
        return self.tokenizer.encode_batch(parts, threads=threads)

    def ids(self, result: Any) -> Any:
        """Both forms hold one flat array."""
        return getattr(result, "ids", result)

    def train(self, task: TrainingTask) -> Any:
        """All of the text counts."""
        from homespun.tokenizer.settings import TokenizerConfig
        from homespun.tokenizer.training import train_tokenizer

        size = BYTES + task.merges + SPECIAL_TOKENS
        config = TokenizerConfig(vocabulary_size=size, pattern=task.name)
        return train_tokenizer(file_parts(task.text), config)

    def merges(self, trained: Any) -> MergeBytes:
        """Ids -> bytes."""
        tokenizer, _ = trained
        return [(tokenizer.token_bytes(left), tokenizer.token_bytes(right)) for left, right in tokenizer.merges]


def compile_ahead(patterns: Sequence[str]) -> None:
    """Compile what an installation compiles once, in a process that is not measured."""
    names = [f"encode-{pattern}" for pattern in patterns]
    code = f"""
from homespun.tokenizer.training import load_kernel, load_kernels
for name in {names!r} + ["fill_pairs"]:
    load_kernel(name)
for pattern in {list(patterns)!r}:
    load_kernels(pattern)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
