"""Question: how well does an encoder-decoder translate Multi30k's captions after half an hour on a processor?

    python benchmarks/translation.py --out DIR [--data DIR] [--minutes 30] [--direction en-de] [--json]
    python benchmarks/translation.py --out DIR … -- --training.seed 2      (everything behind -- goes to homespun build)

The product itself does the work: ``homespun build`` on the 29,000 training pairs with ``recipes/translation.toml``, and
``homespun translate`` on the 1,014 pairs of val. The minutes are those of the whole build. BLEU (Papineni et al. 2002)
and chrF (Popović 2015) are sacrebleu's, on the translations as they are (case, punctuation), with its own tokens.

Our copy of Multi30k has no test split. val took no part in training and in no choice: ``build`` holds back a part of
the training pairs for its own validation loss, and the recipe was chosen by that part. Numbers of others on test2016
are of other sentences.

``--data`` has train.en.gz, train.de.gz, val.en.gz and val.de.gz; default: ``$HOMESPUN_DATA/multi30k``. ``--out`` keeps
the pairs, the run and the translations; a run that is there already is only measured, one that was stopped goes on.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from measuring import exit_with, machine, machine_lines, own_and_passed_on, tell

from homespun.common.errors import HomespunError, UsageError
from homespun.common.files import write_atomic, write_json

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "translation.toml"
SHOWN = 10
EXAMPLE = {"en": "This is an example", "de": "Das ist ein Beispiel"}


def main() -> int:
    """Train, translate, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder for pairs, run and translations")
    parser.add_argument("--data", type=Path, help="Multi30k [$HOMESPUN_DATA/multi30k]")
    parser.add_argument("--minutes", type=float, default=30.0, help="of the whole build [30]")
    parser.add_argument(
        "--direction", choices=("en-de", "de-en"), default="en-de", help="from one to the other [en-de]"
    )
    parser.add_argument("--beam", type=int, default=4, help="of the search [4]")
    parser.add_argument("--json", action="store_true", help="print all figures for programs")
    own, passed_on = own_and_passed_on()
    options = parser.parse_args(own)
    source, target = options.direction.split("-")
    data = options.data or Path(os.environ.get("HOMESPUN_DATA", "")) / "multi30k"
    options.out.mkdir(parents=True, exist_ok=True)
    facts = machine()
    pairs = write_pairs(data, options.out / "pairs.jsonl")
    run = options.out / f"run-{options.direction}"
    columns = ["--corpus.source-column", source, "--corpus.target-column", target]
    build = ["build", str(pairs), "--minutes", f"{options.minutes:g}", "--out", str(run), "--resume"]
    if not (run / "result.json").exists():
        homespun([*build, "--config", str(RECIPE), *columns, *passed_on])
    sources, references = (read_lines(data / f"val.{language}.gz") for language in (source, target))
    figures = measure(run, sources, references, EXAMPLE[source], options.beam)
    write_json(options.out / f"val-{options.direction}.json", figures)
    if options.json:
        print(json.dumps({"machine": facts} | figures, indent=1, ensure_ascii=False))
        return 0
    print("\n".join([*machine_lines(facts), *lines(figures)]))
    return 0


def write_pairs(data: Path, file: Path) -> Path:
    """The training pairs as lines of JSON, with the languages as columns."""
    english, german = (read_lines(data / f"train.{language}.gz") for language in ("en", "de"))
    if len(english) != len(german):
        raise HomespunError(f"{data}: train.en.gz has {len(english):,} lines, train.de.gz {len(german):,}")
    rows = ({"en": one, "de": other} for one, other in zip(english, german, strict=True))
    write_atomic(file, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return file


def read_lines(file: Path) -> list[str]:
    """The lines of a compressed file."""
    if not file.is_file():
        raise UsageError(f"there is no {file}; name the folder of Multi30k with --data, or set HOMESPUN_DATA")
    return gzip.decompress(file.read_bytes()).decode("utf-8").removesuffix("\n").split("\n")


def homespun(arguments: list[str], given: str = "") -> str:
    """One command of the product in its own process; its standard output. Progress goes where ours goes."""
    done = subprocess.run(
        [sys.executable, "-m", "homespun", *arguments], input=given, stdout=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        raise HomespunError(f"homespun {arguments[0]} ended with exit code {done.returncode}")
    return done.stdout


def measure(run: Path, sources: list[str], references: list[str], example: str, beam: int) -> dict[str, Any]:
    """Translate all sources with a beam and greedily, and compare with the references."""
    try:
        import sacrebleu
    except ImportError as error:
        raise HomespunError("sacrebleu is not installed: pip install 'homespun[dev]'") from error
    figures: dict[str, Any] = {}
    for name, width in (("beam", beam), ("greedy", 1)):
        tell(f"translating {len(sources):,} sentences of val, beam {width} …")
        began = time.perf_counter()
        command = ["translate", str(run), "--file", "-", "--beam", str(width), "--json"]
        found = json.loads(homespun(command, "\n".join([*sources, example]) + "\n"))["translations"]
        texts = [one["text"] for one in found]
        bleu, chrf = sacrebleu.corpus_bleu(texts[:-1], [references]), sacrebleu.corpus_chrf(texts[:-1], [references])
        figures[name] = {
            "beam": width, "bleu": bleu.score, "details": str(bleu), "chrf": chrf.score,
            "seconds": time.perf_counter() - began,
        }  # fmt: skip
        if name == "beam":
            figures["translations"] = texts[:-1]
            figures["example"] = {"source": example, "text": texts[-1]}
    result, record = (json.loads((run / name).read_text("utf-8")) for name in ("result.json", "run.json"))
    step = max(1, len(sources) // SHOWN)
    shown = [
        {"source": sources[place], "reference": references[place], "text": figures["translations"][place]}
        for place in range(0, step * SHOWN, step)
    ]
    return figures | {"result": result, "build_seconds": record["seconds_total"], "shown": shown}


def lines(figures: dict[str, Any]) -> list[str]:
    """For people."""
    result = figures["result"]
    told = [
        f"{result['parameters']:,} parameters, {result['steps']:,} steps, {result['epochs']:.1f} epochs; "
        f"the whole build took {figures['build_seconds'] / 60:.1f} minutes",
        f"held-back training pairs: {result['validation_loss']:.3f} nats per target token, "
        f"{result['bits_per_byte']:.3f} bits per byte of target text",
    ]
    for name in ("beam", "greedy"):
        one = figures[name]
        told.append(
            f"val, beam {one['beam']}: BLEU {one['bleu']:.1f}, chrF {one['chrf']:.1f} "
            f"({one['details']}; {one['seconds']:.0f} s)"
        )
    told.append("")
    for one in figures["shown"]:
        told += [f"  {one['source']}", f"    → {one['text']}", f"    = {one['reference']}"]
    return [*told, f"  {figures['example']['source']}", f"    → {figures['example']['text']}"]


if __name__ == "__main__":
    exit_with(main)
