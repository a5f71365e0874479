"""How well simple means predict a text: what a language model has to beat, in the same unit.

In: the bytes of the validation text, one document after another. Out: bits per byte of gzip -9 (LZ77 with
Huffman codes), of xz (LZMA) and of a byte counter (order-0 entropy: -sum p log2 p). At most the first 8 MB
are taken, by streaming compressors; a model's bits per byte on this text can be held against them.

Cost: xz takes about 1.2 MB/s here, the rest of the corpus 46 MB/s. With a tenth of the text for validation
the whole is bound by xz until its 8 MB are done.
"""

import lzma
import math
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

MOST_BYTES = 8_000_000
BLOCK_BYTES = 1 << 20
MOST_WAITING = 8
GZIP_WINDOW = 31  # zlib's word for: the largest window, with gzip's header


@dataclass(frozen=True)
class Compression:
    """Bits per byte of UTF-8 text; ``bytes`` is how much text they were measured on."""

    bytes: int
    gzip_bits_per_byte: float
    xz_bits_per_byte: float
    unigram_bits_per_byte: float


class CompressionMeter:
    """Feed it texts with ``add``; ask once with ``result``; use it in a ``with`` statement.

    The two compressors work in threads of their own (they let go of the interpreter's lock), beside the
    steps of the corpus. At most 8 blocks of 1 MiB wait for them.
    """

    def __init__(self) -> None:
        import numpy

        self.compressors = (zlib.compressobj(9, zlib.DEFLATED, GZIP_WINDOW), lzma.LZMACompressor())
        self.threads = tuple(ThreadPoolExecutor(1) for _ in self.compressors)
        self.sizes = [0] * len(self.compressors)
        self.waiting: deque[tuple[Future[bytes], ...]] = deque()
        self.block = bytearray()
        self.bytes = 0
        self.counts = numpy.zeros(256, numpy.int64)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        for thread in self.threads:
            thread.shutdown(cancel_futures=True)

    def add(self, raw: bytes) -> None:
        """More of the text; ignored beyond the first 8 MB."""
        raw = raw[: MOST_BYTES - self.bytes]
        self.bytes += len(raw)
        self.block += raw
        if len(self.block) >= BLOCK_BYTES:
            self._send()

    def _send(self) -> None:
        import numpy

        block = bytes(self.block)
        self.block.clear()
        self.counts += numpy.bincount(numpy.frombuffer(block, numpy.uint8), minlength=256)
        jobs = zip(self.threads, self.compressors, strict=True)
        self.waiting.append(tuple(thread.submit(compressor.compress, block) for thread, compressor in jobs))
        self._collect(MOST_WAITING)

    def _collect(self, leave: int) -> None:
        """Wait until at most ``leave`` blocks are still to be compressed."""
        while len(self.waiting) > leave:
            for number, job in enumerate(self.waiting.popleft()):
                self.sizes[number] += len(job.result())

    def result(self) -> Compression:
        """The measures; ends the compressors."""
        self._send()
        self._collect(0)
        gzip_bytes, xz_bytes = (
            size + len(compressor.flush()) for size, compressor in zip(self.sizes, self.compressors, strict=True)
        )
        if not self.bytes:
            return Compression(0, 0.0, 0.0, 0.0)
        shares = [count / self.bytes for count in self.counts.tolist() if count]
        unigram = math.fsum(-share * math.log2(share) for share in shares)
        return Compression(
            self.bytes,
            round(8 * gzip_bytes / self.bytes, 4),
            round(8 * xz_bytes / self.bytes, 4),
            round(unigram, 4),
        )
