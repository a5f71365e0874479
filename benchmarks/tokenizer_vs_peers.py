"""Question: how fast are our tokenizer and its trainer beside tiktoken, gigatoken, fastokens, tokenizers and rustbpe?

    python benchmarks/tokenizer_vs_peers.py make-texts OUT_DIR --data DIR
    python benchmarks/tokenizer_vs_peers.py encode --vocabularies DIR --text english=OUT_DIR/english.txt [--text …]
    python benchmarks/tokenizer_vs_peers.py train --text OUT_DIR/train.txt [--pattern cl100k]
    python benchmarks/tokenizer_vs_peers.py start --vocabularies DIR
    python benchmarks/tokenizer_vs_peers.py hostile --vocabularies DIR --text OUT_DIR/english.txt

``--peers-python PATH`` is an interpreter that has the peers (``pip install tiktoken tokenizers gigatoken fastokens
rustbpe`` into an environment of their own); without it, those of the running one are taken. A peer that is missing is
named and left out. ``splintr`` on the package index is no tokenizer (see ``tokenizer_peers/contenders.py``).

Every measurement is a process of its own, on as many cores as it has threads, and the contenders take turns.
Everyone has the same vocabulary and text (bytes for those that take bytes, else str; ``--as-str``: str for all), and
is called in its own fastest way, which stands at the top of its file in ``tokenizer_peers/``. On one thread the whole
text is one call; on more it is one batch of parts of about 100 kB, cut where the ids are those of the whole.
tokenizers gets such parts on one thread too: it is several times slower on one long text.

- cold: the first pass in a fresh process, after the vocabulary is loaded and one line is encoded (that loads
  libraries and compiled code). This is what a text costs that was not seen before.
- warm: the median of later passes over the same text: what is left when everything is in a cache.
- cores: processor time by wall time of the cold pass. MB: resident memory before it, and the most up to its end.
- ids: all must be equal. A mismatch is printed with its place, and the exit code is 1.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import cores, exit_with, machine, machine_lines, tell
from tokenizer_peers import encode, hostile, start, train
from tokenizer_peers.contender import Prepared, TrainingTask, certain_border_before
from tokenizer_peers.contenders import CONTENDERS
from tokenizer_peers.expressions import EXPRESSIONS
from tokenizer_peers.homespun_side import compile_ahead
from tokenizer_peers.processes import Field, find_field
from tokenizer_peers.texts import make_texts
from tokenizer_peers.vocabularies import prepare

from homespun.common.errors import UsageError

Mode = Callable[[argparse.Namespace, Field, Path], tuple[Any, list[str], bool]]


def encode_mode(options: argparse.Namespace, field: Field, folder: Path) -> tuple[Any, list[str], bool]:
    """All vocabularies, texts and numbers of threads."""
    effort = encode.Effort(options.repeats, options.passes, options.budget, options.as_str)
    texts = {name: shortened(path, options.bytes, folder, name) for name, path in map(named_text, options.text)}
    record, lines, good = [], [], True
    for files in prepared(options, folder):
        for name, text in texts.items():
            for threads in options.threads:
                results = encode.measure_case(field, files, text, threads, effort, folder)
                facts = {"vocabulary": files.name, "text": name, "bytes": text.stat().st_size, "threads": threads}
                record.append(facts | {"results": results})
                title = f"{files.name}, {name} {facts['bytes'] / 1e6:.1f} MB, {threads} thread{'s' * (threads > 1)}"
                lines += [encode.show_case(title, results), ""]
                good = good and not any("mismatch" in result for result in results.values())
                if options.json:
                    tell(lines[-2])
    return record, lines, good


def train_mode(options: argparse.Namespace, field: Field, folder: Path) -> tuple[Any, list[str], bool]:
    """All patterns."""
    record, lines = [], []
    _, path = named_text(options.text[0])
    text = shortened(path, options.bytes, folder, "train")
    size = text.stat().st_size
    for pattern in options.pattern:
        task = TrainingTask(str(text), pattern, **vars(EXPRESSIONS[pattern]), merges=options.vocabulary_size - 256)
        threads = options.threads[0]
        results = train.measure(field, task, threads, options.repeats, folder)
        record.append({"pattern": pattern, "bytes": size, "threads": threads, "results": results})
        lines += [
            f"{pattern}, {size / 1e6:.1f} MB -> {task.merges:,} merges",
            train.show(results, size / 1e6, threads),
            "",
        ]
    return record, lines, True


def start_mode(options: argparse.Namespace, field: Field, folder: Path) -> tuple[Any, list[str], bool]:
    """All vocabularies."""
    record, lines = [], []
    for files in prepared(options, folder):
        seconds, failed = start.measure(field, files, options.repeats)
        record.append({"vocabulary": files.name, "seconds": seconds, "failed": failed})
        lines += [start.show(files.name, seconds, failed), ""]
    return record, lines, True


def hostile_mode(options: argparse.Namespace, field: Field, folder: Path) -> tuple[Any, list[str], bool]:
    """All vocabularies; different ids on a hostile text are shown and do not fail the benchmark."""
    _, english = named_text(options.text[0])
    texts = list(hostile.write_texts(english, options.bytes or 10_000_000, folder))
    record, lines = [], []
    for files in prepared(options, folder):
        results = hostile.measure(field, files, texts, options.repeats, folder)
        record.append({"vocabulary": files.name, "results": results})
        lines += [hostile.show(files.name, results), ""]
    return record, lines, True


MODES: dict[str, Mode] = {"encode": encode_mode, "train": train_mode, "start": start_mode, "hostile": hostile_mode}


def prepared(options: argparse.Namespace, folder: Path) -> list[Prepared]:
    """The vocabularies that are asked for, in all forms."""
    if options.vocabularies is None:
        raise UsageError("--vocabularies DIR: a folder with vocab.bpe, encoder.json and the .tiktoken files")
    found = []
    for name in options.names:
        tell(f"preparing {name}")
        try:
            found.append(prepare(name, options.vocabularies, folder))
        except OSError as error:
            raise UsageError(f"--vocabularies {options.vocabularies}: {error}") from error
    return found


def named_text(value: str) -> tuple[str, Path]:
    """NAME=FILE, or only FILE."""
    name, equals, file = value.rpartition("=")
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"--text {value}: there is no file {file}")
    return (name if equals else path.stem), path


def shortened(path: Path, limit: int | None, folder: Path, name: str) -> Path:
    """The file, or a copy of its first ``limit`` bytes, up to the last border that is certain."""
    if limit is None or path.stat().st_size <= limit:
        return path
    with path.open("rb") as file:
        raw = file.read(limit)
    copy = folder / f"{name}.head.txt"
    copy.write_bytes(raw[: certain_border_before(raw, len(raw))])
    return copy


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="our tokenizer beside others")
    modes = parser.add_subparsers(dest="mode", required=True)
    maker = modes.add_parser("make-texts", help="put the texts together")
    maker.add_argument("out", type=Path, metavar="OUT_DIR")
    maker.add_argument("--data", type=Path, required=True, help="the folder of data sets")
    for mode, help_line, repeats in (
        ("encode", "MB/s of encoding", 5),
        ("train", "time and memory of learning a vocabulary", 3),
        ("start", "time of a whole process", 7),
        ("hostile", "texts that are made to be slow", 3),
    ):
        one = modes.add_parser(mode, help=help_line)
        one.add_argument("--peers-python", default=sys.executable, metavar="PATH", help="an interpreter with the peers")
        one.add_argument("--contenders", nargs="+", default=list(CONTENDERS), metavar="NAME", help="only these")
        one.add_argument("--repeats", type=int, default=repeats, help=f"processes of each, in turn [{repeats}]")
        one.add_argument("--limit", type=float, default=600, help="seconds that one process may take [600]")
        one.add_argument("--json", action="store_true", help="print all figures for programs")
        one.add_argument("--bytes", type=int, help="only so much of each text [all; hostile: 10,000,000]")
        if mode != "train":
            one.add_argument("--vocabularies", type=Path, metavar="DIR", help="where the published vocabularies are")
            one.add_argument(
                "--names",
                nargs="+",
                default=list(EXPRESSIONS),
                choices=list(EXPRESSIONS),
                help="only these vocabularies",
            )
        if mode != "start":
            one.add_argument("--text", action="append", required=True, metavar="NAME=FILE", help="a UTF-8 text")
        if mode == "encode":
            one.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="numbers of threads [1 2]")
            one.add_argument("--passes", type=int, default=5, help="warm passes in a process [5]")
            one.add_argument("--budget", type=float, default=20, help="seconds of warm passes in a process [20]")
            one.add_argument("--as-str", action="store_true", help="str for those too that take bytes")
        if mode == "train":
            one.add_argument("--threads", type=int, nargs=1, default=[cores()], help="number of threads [all cores]")
            one.add_argument(
                "--pattern",
                nargs="+",
                default=["gpt2", "cl100k"],
                choices=list(EXPRESSIONS),
                help="splits [gpt2 cl100k]",
            )
            one.add_argument("--vocabulary-size", type=int, default=32_768, help="256 bytes and the merges [32768]")
    return parser.parse_args()


def main() -> int:
    """Measure and print."""
    options = parse()
    if options.mode == "make-texts":
        for name, facts in make_texts(options.data, options.out).items():
            print(f"{options.out / name}.txt: {facts['bytes']:,} bytes, {facts['documents']:,} documents or passages")
        return 0
    if options.repeats < 1 or options.limit <= 0:
        raise UsageError("--repeats must be at least 1, and --limit more than 0")
    facts = machine()
    field = find_field(options.peers_python, options.contenders, options.limit)
    compile_ahead(options.pattern if options.mode == "train" else options.names)
    with tempfile.TemporaryDirectory() as folder:
        record, lines, good = MODES[options.mode](options, field, Path(folder))
    missing = [name for name in options.contenders if name not in field.versions]
    if options.json:
        print(json.dumps({"machine": facts, "versions": field.versions, "missing": missing, "cases": record}, indent=1))
        return int(not good)
    print("\n".join(machine_lines(facts)))
    print(", ".join(f"{name} {version}" for name, version in field.versions.items()))
    if missing:
        print(f"not installed, left out: {', '.join(missing)}")
    print(f"median of {options.repeats}, in turn\n")
    print("\n".join(lines).rstrip())
    return int(not good)


if __name__ == "__main__":
    exit_with(main)
