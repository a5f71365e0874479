"""Question: how fast and how good are our word vectors beside gensim's, on the same text, with the same settings?

    python benchmarks/word2vec_vs_gensim.py [--data DIR] [--seeds 1 2 3] [--epochs 5] [--json]

``DIR`` (or HOMESPUN_DATA) holds the texts of ``tokenizer_peers/texts.py`` under "english", and ``word-eval/`` with
questions-words.txt, wordsim353.tsv and simlex999.txt. gensim must be importable (``pip install --target DIR gensim``
and ``PYTHONPATH=DIR`` do).

Every training is a process of its own, and the contenders take turns, seed by seed. All get one file of words, a
passage a line, and the same settings and threads. gensim runs in two ways: with a list of sentences (read before its
clock starts), and with ``corpus_file``, which is its faster one. The first rate is that of the published program, 0.025
for skip-gram and 0.05 for CBOW, or ``--rates``; gensim's own default is 0.025 for both. It moves each word of a CBOW
window by the whole error, we by its share, so one rate is not the same to both: try several.

``count`` is the way from words to the vocabulary (with us also to word ids, with gensim also to random vectors),
``train`` from there to vectors; ``all`` is their sum, by the clock, and what counts: words per second are those of the
text, all epochs, by it. ``of all cores`` is the time of training on all cores together, which a busy machine does not
change much. Our kernel is compiled before (some seconds, once in the life of an installation); gensim's comes compiled.
Scores: share of right analogies, and Spearman's rank correlation with people's judgements; medians and ranges over the
seeds. The exit code is 1 if we take longer than gensim's faster way.
"""

import argparse
import json
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import ask_program, cores, exit_with, machine, machine_lines, table, tell
from word_vectors_peers.text import write_words

from homespun.common.errors import HomespunError, UsageError

SIDES = ("homespun", "gensim", "gensim file")
METHODS = ("skipgram", "cbow")
ANALOGIES = ("questions-words.txt", "questions-words.txt.zst")
SIMILARITY = ("wordsim353.tsv", "simlex999.txt")
Runs = dict[str, list[dict[str, Any]]]


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="our word vectors beside gensim's")
    parser.add_argument("--data", type=Path, metavar="DIR", help="the folder of data sets [$HOMESPUN_DATA]")
    parser.add_argument("--sides", nargs="+", default=list(SIDES), choices=SIDES, help="only these")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS, help="only these")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="one training of each [1 2 3]")
    parser.add_argument("--epochs", type=int, default=5, help="passes over the text [5]")
    parser.add_argument("--dimensions", type=int, default=100, help="[100]")
    parser.add_argument("--window", type=int, default=5, help="[5]")
    parser.add_argument("--negatives", type=int, default=5, help="[5]")
    parser.add_argument("--minimum-count", type=int, default=5, help="[5]")
    parser.add_argument("--rates", type=float, nargs=2, default=[0.025, 0.05], help="skip-gram's, CBOW's [0.025 0.05]")
    parser.add_argument("--threads", type=int, default=cores(), help="[all cores]")
    parser.add_argument("--copies", type=int, default=1, help="the text so many times, to measure speed alone [1]")
    parser.add_argument("--json", action="store_true", help="print all figures for programs")
    options = parser.parse_args()
    if options.data is None:
        if "HOMESPUN_DATA" not in os.environ:
            raise UsageError("--data DIR is needed (or HOMESPUN_DATA)")
        options.data = Path(os.environ["HOMESPUN_DATA"])
    return options


def questions(data: Path) -> dict[str, Any]:
    """Where the questions are."""
    folder = data / "word-eval"
    analogies = [folder / name for name in ANALOGIES if (folder / name).is_file()]
    similarity = [folder / name for name in SIMILARITY if (folder / name).is_file()]
    if not analogies or not similarity:
        raise UsageError(f"{folder} lacks questions-words.txt, or both wordsim353.tsv and simlex999.txt")
    return {"analogies": str(analogies[0]), "similarity": [str(path) for path in similarity]}


def measure(options: argparse.Namespace, method: str, text: Path) -> Runs:
    """All trainings of one method, seed by seed."""
    runs: Runs = {side: [] for side in options.sides}
    asked = questions(options.data)
    settings = {
        "method": method,
        "dimensions": options.dimensions,
        "window": options.window,
        "negatives": options.negatives,
        "epochs": options.epochs,
        "minimum_count": options.minimum_count,
        "subsampling": 1e-3,
        "learning_rate": dict(zip(METHODS, options.rates, strict=True))[method],
        "threads": options.threads,
    }
    root = str(Path(__file__).resolve().parent.parent)
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
    environment = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": str(options.threads)}
    for seed in options.seeds:
        for side in options.sides:
            task = asked | {"side": side, "text": str(text), "settings": settings | {"seed": seed}}
            runs[side].append(ask_program("word_vectors_peers.worker", task, environment))
            tell(f"{method}, seed {seed}, {side}: {seconds_of(runs[side][-1]):.1f} s")
    refuse_other_words(runs)
    return runs


def seconds_of(run: dict[str, Any]) -> float:
    """From the file of words to vectors: what one side does while it counts, another does while it trains."""
    return run["count_s"] + run["train_s"]


def refuse_other_words(runs: Runs) -> None:
    """All sides have the same words, and so are asked the same questions."""
    found = {side: sorted({one["vocabulary"] for one in figures}) for side, figures in runs.items()}
    if len({tuple(sizes) for sizes in found.values()}) > 1:
        raise HomespunError(f"the sides do not have the same words: {found}")


def show(runs: Runs, words: int) -> str:
    """A row for each contender."""
    names = list(next(iter(runs.values()))[0]["similarity"])
    rows = [
        [
            f"{side} {figures[0]['version']}",
            spread(figures, lambda one: one["count_s"], ".1f"),
            spread(figures, lambda one: one["train_s"], ".1f"),
            spread(figures, seconds_of, ".1f"),
            spread(figures, lambda one: one["train_cpu_s"], ".1f"),
            f"{words / statistics.median(map(seconds_of, figures)):,.0f}",
            spread(figures, lambda one: 100 * (one["analogies"]["accuracy"] or 0), ".1f"),
            *(spread(figures, lambda one, name=name: one["similarity"][name]["spearman"], ".3f") for name in names),
        ]
        for side, figures in runs.items()
    ]
    return table(["", "count s", "train s", "all s", "of all cores s", "words/s", "analogies %", *names], rows)


def spread(figures: list[dict[str, Any]], value: Callable[[dict[str, Any]], float], form: str) -> str:
    """The median, and from where to where."""
    values = [value(one) for one in figures]
    middle = f"{statistics.median(values):{form}}"
    return middle if len(values) == 1 else f"{middle} ({min(values):{form}} to {max(values):{form}})"


def is_slower(runs: Runs) -> bool:
    """Whether we took longer than the faster of the others."""
    seconds = {side: statistics.median(map(seconds_of, figures)) for side, figures in runs.items()}
    others = [value for side, value in seconds.items() if side != "homespun"]
    return "homespun" in seconds and bool(others) and seconds["homespun"] > min(others)


def main() -> int:
    """Measure and print."""
    options = parse()
    facts = machine()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "words.txt"
        size = write_words(options.data, text, options.copies)
        tell(f"{size['words']:,} words in {size['passages']:,} passages")
        results = {method: measure(options, method, text) for method in options.methods}
    if options.json:
        print(json.dumps({"machine": facts, "text": size, "options": vars(options), "results": results},
                         indent=1, default=str))  # fmt: skip
        return int(any(map(is_slower, results.values())))
    print("\n".join(machine_lines(facts)))
    for method, runs in results.items():
        first = next(iter(runs.values()))[0]
        print(
            f"\n{method}: {size['words']:,} words, {first['vocabulary']:,} different ones; {options.dimensions} "
            f"dimensions, window {options.window}, {options.negatives} negatives, {options.epochs} epochs, "
            f"first rate {dict(zip(METHODS, options.rates, strict=True))[method]:g}, "
            f"{options.threads} threads; {first['analogies']['asked']:,} analogies with known words; "
            f"median (range) of {len(options.seeds)} seeds"
        )
        print(show(runs, size["words"] * options.epochs))
    return int(any(map(is_slower, results.values())))


if __name__ == "__main__":
    exit_with(main)
