"""What one file of a source is: its kind, told by the ending, and how much text to expect of it.

In: a path. Out: a ``SourceFile``; nothing is opened.
"""

from dataclasses import dataclass
from pathlib import Path

from homespun.corpus.opening import COMPRESSED_ENDINGS

PYTHON_WORD = "python"
# Text usually shrinks to about a quarter under gzip or Zstandard; Parquet compresses less, by column.
COMPRESSION_GUESS = 4
PARQUET_GUESS = 2

TEXT, JSON_RECORDS, TABLE, HTML, PARQUET, LIBRARY, UNKNOWN = (
    "text", "json", "table", "html", "parquet", "python-library", "unknown",
)  # fmt: skip

TEXT_NAMES = """
    .txt .text .md .markdown .rst .adoc .org .tex .bib .srt .vtt .log .xml .svg .yaml .yml .toml .ini .cfg .conf
    .py .pyi .pyx .c .h .cc .cpp .cxx .hpp .hh .cu .cuh .rs .go .java .kt .kts .scala .swift .m .mm .cs .fs .vb
    .js .mjs .cjs .jsx .ts .tsx .vue .svelte .css .scss .less .php .rb .pl .pm .lua .r .jl .hs .ml .mli .ex .exs
    .erl .clj .lisp .el .scm .sql .sh .bash .zsh .fish .ps1 .bat .cmake .mk .gradle .proto .graphql .tf .f90 .f
    .asm .s .dart .nim .zig .v .sv .vhd .diff .patch .po .tcl .awk .d .ada .adb .pas .groovy .cob
"""
TEXT_ENDINGS = frozenset(TEXT_NAMES.split())
BINARY_NAMES = """
    .png .jpg .jpeg .gif .bmp .ico .webp .tif .tiff .heic .psd .mp3 .mp4 .m4a .wav .flac .ogg .avi .mov .mkv .webm
    .zip .tar .tgz .tbz2 .txz .7z .rar .jar .war .whl .egg .deb .rpm .dmg .iso .exe .dll .so .dylib .a .o .obj .lib
    .pyc .pyo .class .wasm .bin .dat .db .sqlite .sqlite3 .npy .npz .pt .pth .ckpt .safetensors .gguf .onnx .h5
    .pickle .pkl .joblib .feather .arrow .orc .avro .woff .woff2 .ttf .otf .eot .doc .docx .xls .xlsx .ppt .pptx
    .odt .ods .pdf .epub .mobi .djvu .swf .warc
"""
BINARY_ENDINGS = frozenset(BINARY_NAMES.split())
KINDS = (
    dict.fromkeys(TEXT_ENDINGS, TEXT)
    | dict.fromkeys((".jsonl", ".ndjson", ".json"), JSON_RECORDS)
    | dict.fromkeys((".csv", ".tsv"), TABLE)
    | dict.fromkeys((".html", ".htm", ".xhtml"), HTML)
    | {".parquet": PARQUET}
)


@dataclass(frozen=True)
class SourceFile:
    """One file to read.

    ``label`` is what the corpus calls it: the folder's name and the path inside it. ``ending`` is without the
    compression. ``named`` says that the user gave this very file and did not just name a folder around it.
    ``estimated_bytes`` is the size of its text; ``disk_bytes`` what it takes on the disk.
    """

    path: Path
    label: str
    kind: str
    ending: str
    compression: str
    disk_bytes: int
    named: bool

    @property
    def expansion(self) -> int:
        """How many bytes of text a byte on the disk is taken for."""
        return COMPRESSION_GUESS if self.compression else PARQUET_GUESS if self.kind == PARQUET else 1

    @property
    def estimated_bytes(self) -> int:
        return self.disk_bytes * self.expansion


def endings(name: str) -> tuple[str, str]:
    """``("book.txt.gz")`` to ``(".txt", ".gz")``: the ending of the content and the compression around it."""
    ending = Path(name).suffix.lower()
    if ending in COMPRESSED_ENDINGS:
        return Path(Path(name).stem).suffix.lower(), ending
    return ending, ""


def describe(path: Path, label: str, *, named: bool) -> SourceFile:
    """A file by its name and size."""
    ending, compression = endings(path.name)
    # A file name may hold bytes that are no UTF-8; a label always is text.
    clean_label = label.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    size = path.stat().st_size
    return SourceFile(path, clean_label, KINDS.get(ending, UNKNOWN), ending, compression, size, named)
