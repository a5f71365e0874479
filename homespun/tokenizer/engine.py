"""Which of the two encoders does the work: the plain one at once, or the compiled one faster.

In: texts. Out: their ids, the same either way.

Compiled code that is ready is used from some thousand characters on (loading it takes 0.1 s). If it would have to be
compiled first, the plain path goes on until it has spent about as much time as compiling costs: then waiting pays, for
there will probably be more to do (the rule of the ski rental, Karlin et al. 1988). Where numba or llvmlite is missing,
or ``HOMESPUN_PLAIN=1`` is set, the plain path does everything.
"""

import os
import sys
from collections.abc import Sequence
from functools import cached_property
from threading import Lock
from typing import TYPE_CHECKING

from homespun.tokenizer.compiled.machine_code import NoMachineCode, is_ready
from homespun.tokenizer.plain_encoder import PlainEncoder
from homespun.tokenizer.split import text_of_bytes
from homespun.tokenizer.vocabulary import Vocabulary

if TYPE_CHECKING:
    from homespun.tokenizer.compiled.documents import Array
    from homespun.tokenizer.compiled.encoder import Encoder
    from homespun.tokenizer.compiled.merge_tables import MergeTables

# Characters (or bytes) after which the compiled path is worth loading, and worth compiling.
WORTH_LOADING = 1 << 14
WORTH_COMPILING = 1 << 25
# Characters for one thread at a time: enough to outweigh the start, few enough to share evenly.
PER_THREAD = 1 << 20


def compiled_is_allowed() -> bool:
    """Tell whether the user wants compiled code at all."""
    return os.environ.get("HOMESPUN_PLAIN", "") in ("", "0")


class Engine:
    """Encodes with one vocabulary; safe to share between threads."""

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Nothing is built before it is needed."""
        self.vocabulary = vocabulary
        self.seen = 0
        self.compiled_works = compiled_is_allowed()
        self._idle: list[Encoder] = []
        self._lock = Lock()

    @cached_property
    def plain(self) -> PlainEncoder:
        """The plain encoder."""
        return PlainEncoder(self.vocabulary)

    @cached_property
    def tables(self) -> "MergeTables":
        """The compiled encoder's tables."""
        from homespun.tokenizer.compiled.merge_tables import make_merge_tables

        return make_merge_tables(self.vocabulary)

    @cached_property
    def is_compiled(self) -> bool:
        """Whether the kernel lies in the cache, when first asked."""
        return is_ready(f"encode-{self.vocabulary.pattern}")

    def encode_plainly(self, text: str | bytes) -> list[int]:
        """Encode one text with the plain encoder."""
        return self.plain.encode(text if isinstance(text, str) else text_of_bytes(text))

    def wants_compiled(self, size: int) -> bool:
        """Tell whether a text of this size is for the compiled encoder; counts what was seen so far."""
        self.seen += size
        if not self.compiled_works or self.seen < WORTH_LOADING:
            return False
        if self._idle:
            return True
        if not self.is_compiled and self.seen < WORTH_COMPILING:
            return False
        return self.prepare()

    def prepare(self) -> bool:
        """Load the compiled encoder, or compile it; tell whether it works."""
        if not self.compiled_works:
            return False
        self.seen += WORTH_LOADING
        try:
            self.give_back(self.take())
        except NoMachineCode as error:
            print(f"homespun: the tokenizer runs in plain Python, which is many times slower: {error}", file=sys.stderr)
            self.compiled_works = False
        return self.compiled_works

    def encode(self, texts: Sequence[str | bytes], threads: int) -> "tuple[Array, Array]":
        """Encode with the compiled encoder: all ids, and how many there are after each text."""
        from concurrent.futures import ThreadPoolExecutor

        import numpy as np

        from homespun.tokenizer.compiled.documents import in_batches

        if threads <= 1 or len(texts) <= 1:
            return self.encode_on_this_thread(texts)
        with ThreadPoolExecutor(threads) as pool:
            parts = list(pool.map(self.encode_on_this_thread, in_batches(texts, PER_THREAD)))
        first, borders = 0, []
        for ids, ends in parts:
            borders.append(ends + first)
            first += len(ids)
        return np.concatenate([ids for ids, _ in parts]), np.concatenate(borders)

    def encode_on_this_thread(self, texts: Sequence[str | bytes]) -> "tuple[Array, Array]":
        """Encode with an encoder that nobody else uses meanwhile."""
        from homespun.tokenizer.compiled.documents import make_batch

        encoder = self.take()
        try:
            return encoder.encode(make_batch(texts))
        finally:
            self.give_back(encoder)

    def take(self) -> "Encoder":
        """Return an encoder that is free, with what it remembers, or a new one."""
        from homespun.tokenizer.compiled.encoder import Encoder

        with self._lock:
            return self._idle.pop() if self._idle else Encoder(self.vocabulary.pattern, self.tables)

    def give_back(self, encoder: "Encoder") -> None:
        """Make an encoder free again."""
        with self._lock:
            self._idle.append(encoder)
