"""The account of a corpus: what went in, what each step kept, changed and dropped, what came out.

In and out: ``manifest.json`` beside the shards. It holds no dates and no machine's names, so that the same
sources and settings give the same manifest.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from homespun.common.errors import DamagedFileError, HomespunError
from homespun.common.files import read_json, sha256_of_file, write_json
from homespun.corpus.compressibility import Compression
from homespun.corpus.settings import CorpusConfig
from homespun.corpus.shards import Shard

MANIFEST_NAME = "manifest.json"
FORMAT = "homespun corpus"
FORMAT_VERSION = 1
MOST_NAMES = 20


@dataclass
class CorpusCounts:
    """What happened on the way; lists of names stop at the first 20."""

    files_read: int = 0
    files_binary: int = 0
    files_undecodable: int = 0
    files_unreadable: int = 0
    unreadable_files: list[str] = field(default_factory=list)
    files_without_text_column: int = 0
    without_text_column: list[str] = field(default_factory=list)
    endings: dict[str, int] = field(default_factory=dict)
    unknown_endings: dict[str, int] = field(default_factory=dict)
    encodings: dict[str, int] = field(default_factory=dict)
    malformed_lines: int = 0
    malformed_files: list[str] = field(default_factory=list)
    documents_read: int = 0
    documents_too_short: int = 0
    documents_duplicate: int = 0
    documents_kept: int = 0
    characters_kept: int = 0
    bytes_kept: int = 0
    files_left_out_by_cap: int = 0
    bytes_left_out_by_cap: int = 0
    cut_short_by_cap: str = ""

    def name(self, names: list[str], name: str) -> None:
        """Add a name to one of the lists, up to 20."""
        if len(names) < MOST_NAMES:
            names.append(name)

    def tally(self, table: dict[str, int], key: str) -> None:
        """One more of ``key`` in one of the tables."""
        table[key] = table.get(key, 0) + 1


@dataclass(frozen=True)
class SplitManifest:
    """One split: totals (``bytes`` of UTF-8 text) and its shards."""

    documents: int
    characters: int
    bytes: int
    shards: tuple[Shard, ...]

    @staticmethod
    def of(shards: tuple[Shard, ...]) -> "SplitManifest":
        """The totals of ``shards``."""
        return SplitManifest(
            sum(shard.documents for shard in shards),
            sum(shard.characters for shard in shards),
            sum(shard.bytes for shard in shards),
            shards,
        )


@dataclass(frozen=True)
class CorpusManifest:
    """Everything that ``prepare`` has to say about a corpus."""

    homespun_version: str
    sources: tuple[str, ...]
    config: CorpusConfig
    counts: CorpusCounts
    splits: dict[str, SplitManifest]
    compression: Compression

    def save(self, folder: Path) -> None:
        """Write ``manifest.json``."""
        write_json(folder / MANIFEST_NAME, {"format": FORMAT, "format_version": FORMAT_VERSION, **asdict(self)})

    @staticmethod
    def load(folder: Path) -> "CorpusManifest":
        """Read ``manifest.json``; one clear line when it is missing, damaged or of another version."""
        path = folder / MANIFEST_NAME
        if not path.is_file():
            raise HomespunError(f"{folder} holds no corpus (no {MANIFEST_NAME}); prepare one there first")
        stored = read_json(path)
        version = stored.get("format_version") if isinstance(stored, dict) else None
        if not isinstance(stored, dict) or stored.get("format") != FORMAT:
            raise DamagedFileError(f"{path} is not the manifest of a corpus; prepare the corpus again")
        if version != FORMAT_VERSION:
            raise DamagedFileError(
                f"{path} has format version {version}, this homespun reads version {FORMAT_VERSION}; "
                "prepare the corpus again"
            )
        try:
            return manifest_from(stored)
        except (KeyError, TypeError, AttributeError, HomespunError) as error:
            raise DamagedFileError(f"{path} is damaged ({error!r}); prepare the corpus again") from error


def manifest_from(stored: dict[str, Any]) -> CorpusManifest:
    """The manifest from its JSON form."""
    splits = {
        name: SplitManifest(
            split["documents"], split["characters"], split["bytes"], tuple(Shard(**shard) for shard in split["shards"])
        )
        for name, split in stored["splits"].items()
    }
    return CorpusManifest(
        stored["homespun_version"],
        tuple(stored["sources"]),
        CorpusConfig(**stored["config"]),
        CorpusCounts(**stored["counts"]),
        splits,
        Compression(**stored["compression"]),
    )


def verify(folder: Path) -> CorpusManifest:
    """Check every shard against its SHA-256; ``DamagedFileError`` names the first file that differs."""
    manifest = CorpusManifest.load(folder)
    for split in manifest.splits.values():
        for shard in split.shards:
            path = folder / shard.name
            if not path.is_file():
                raise DamagedFileError(f"{path} is missing; prepare the corpus again")
            if sha256_of_file(path) != shard.sha256:
                raise DamagedFileError(f"{path} is damaged (its checksum differs); prepare the corpus again")
    return manifest
