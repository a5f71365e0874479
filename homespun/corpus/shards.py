"""Documents to Parquet and back.

In: documents of one split. Out: ``<split>-00000.parquet``, ... with about 64 MB of text each, Zstandard
inside, in row groups of about 8 MB, so that a reader holds one row group and no more.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow
from pyarrow import parquet

from homespun.common.errors import DamagedFileError
from homespun.common.files import sha256_of_file
from homespun.corpus.document import Document

SHARD_BYTES = 64_000_000
GROUP_BYTES = 8_000_000
READ_ROWS = 64
COLUMNS = ("text", "source", "id", "url", "language", "metadata")
SCHEMA = pyarrow.schema([(name, pyarrow.string()) for name in COLUMNS])


@dataclass(frozen=True)
class Shard:
    """One Parquet file of a split: its name, what it holds (``bytes`` of UTF-8 text) and the checksum of the file."""

    name: str
    documents: int
    characters: int
    bytes: int
    sha256: str


class ShardWriter:
    """Writes the shards of one split into ``folder``; ``close`` says which there are."""

    def __init__(self, folder: Path, split: str) -> None:
        self.folder = folder
        self.split = split
        self.shards: list[Shard] = []
        self.writer: parquet.ParquetWriter | None = None
        self._start_shard()

    def add(self, document: Document) -> bytes:
        """Append a document; gives back its text in UTF-8."""
        raw = document.text.encode("utf-8")
        metadata = json.dumps(document.metadata, ensure_ascii=False, sort_keys=True)
        values = (document.text, document.source, document.id, document.url, document.language, metadata)
        for name, value in zip(COLUMNS, values, strict=True):
            self.rows[name].append(value)
        self.documents += 1
        self.characters += len(document.text)
        self.bytes += len(raw)
        self.group_bytes += len(raw)
        if self.group_bytes >= GROUP_BYTES:
            self._write_group()
        if self.bytes >= SHARD_BYTES:
            self._finish_shard()
        return raw

    def close(self) -> tuple[Shard, ...]:
        """Finish the last shard. A split without documents has no shards."""
        if self.documents:
            self._finish_shard()
        return tuple(self.shards)

    def abandon(self) -> None:
        """Let go of the open file after a failure."""
        if self.writer is not None:
            self.writer.close()
            self.writer = None

    def _start_shard(self) -> None:
        self.documents = self.characters = self.bytes = self.group_bytes = 0
        self.rows: dict[str, list[Any]] = {name: [] for name in COLUMNS}

    def _path(self) -> Path:
        return self.folder / f"{self.split}-{len(self.shards):05d}.parquet"

    def _write_group(self) -> None:
        if self.writer is None:
            self.writer = parquet.ParquetWriter(self._path(), SCHEMA, compression="zstd")
        self.writer.write_table(pyarrow.table(self.rows, schema=SCHEMA))
        self.rows = {name: [] for name in COLUMNS}
        self.group_bytes = 0

    def _finish_shard(self) -> None:
        if self.rows["text"] or self.writer is None:
            self._write_group()
        assert self.writer is not None
        self.writer.close()
        self.writer = None
        path = self._path()
        self.shards.append(Shard(path.name, self.documents, self.characters, self.bytes, sha256_of_file(path)))
        self._start_shard()


def read_rows(path: Path, columns: tuple[str, ...] = COLUMNS) -> Iterator[dict[str, Any]]:
    """The rows of a shard, a row group at a time; ``DamagedFileError`` when the file is missing or no shard."""
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(READ_ROWS, columns=list(columns), use_threads=False):
                yield from batch.to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        reason = " ".join(str(error).split())[:200]
        raise DamagedFileError(f"{path} is damaged or missing ({reason}); prepare the corpus again") from error


def read_shard(path: Path) -> Iterator[Document]:
    """The documents of a shard, in order."""
    for row in read_rows(path):
        yield Document(**{**row, "metadata": json.loads(row["metadata"])})


def read_texts(path: Path) -> Iterator[str]:
    """Only the texts of a shard: the other columns are not even read from the disk."""
    for row in read_rows(path, ("text",)):
        yield row["text"]
