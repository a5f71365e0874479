"""Question: how well does a base sort texts once it is finetuned, and is it worth it beside the traditional ways?

    python benchmarks/classification.py BASE --out DIR [--data DIR] [--sets sms,sst2] [--seeds 5] [--fresh] [--read]
        [--json]
    python benchmarks/classification.py BASE --out DIR … -- --train lora   (everything behind -- goes to the finetuning)

BASE is a run folder of any decoder or encoder. The product itself does the work: ``homespun finetune classify`` on each
set, with one seed after another for the split (where none was published), the head, the order and dropout. The figures
are those of the test: the mean over the seeds, and the smallest and the largest. The traditional ways have the same
splits. ``--fresh``: beside it the same model with random weights, which shows what the pretraining was worth.
``--read``: and the base when it has first read the table's texts, without their labels and without those of validation
and test (``homespun finetune texts``; Howard and Ruder 2018, "ULMFiT", section 3.2).

Sets, from ``--data`` or ``$HOMESPUN_DATA``: ``sms`` (as the book has it: as many ham as spam), ``sms-all``, ``imdb``,
``sst2`` (its published splits), ``toxic``, ``bengali`` (hate speech), ``bengali-mood``, ``russian`` (its published
test). ``--out`` keeps all runs; one that is there already is only read.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measuring import exit_with, machine, machine_lines, own_and_passed_on, table, tell

from homespun.common.errors import HomespunError, UsageError
from homespun.common.files import atomic_file

MODEL = "model"
READER = "reader"
NAMES = {MODEL: "the base", "fresh": "random weights", READER: "the base, texts read first"}


@dataclass(frozen=True)
class LabelledSet:
    """A table in the data folder, and what ``[labelled]`` says of it; ``{data}`` is that folder."""

    table: str
    labelled: dict[str, str]

    def options(self, data: Path) -> list[str]:
        """For the command line."""
        told = {f"--labelled.{key.replace('_', '-')}": value for key, value in self.labelled.items()}
        return [word.format(data=data) for option in told.items() for word in option]


READING = ("--replay.epochs", "6", "--training.sample-every", "0")
SMS = {"text_column": "2", "label_column": "1", "malformed": "skip"}
SETS = {
    "sms": LabelledSet("sms-spam/SMSSpamCollection", {**SMS, "balance": "undersample"}),
    "sms-all": LabelledSet("sms-spam/SMSSpamCollection", SMS),
    "imdb": LabelledSet("imdb-sample/imdb_sample.csv", {"text_column": "review", "label_column": "sentiment"}),
    "sst2": LabelledSet(
        "sst2/train.tsv",
        {"text_column": "1", "label_column": "2", "validation_file": "{data}/sst2/dev.tsv",
         "test_file": "{data}/sst2/test.tsv"},
    ),
    "toxic": LabelledSet("toxic-hatespeech/labeled_data.csv", {"text_column": "tweet", "label_column": "class"}),
    "bengali": LabelledSet("bengali/bengali_hate_v2.0.csv.zst", {}),
    "bengali-mood": LabelledSet("bengali/cognisenti_train.tsv.zst", {"label_column": "class_label"}),
    "russian": LabelledSet(
        "russian/rusentitweet_train.csv.zst", {"test_file": "{data}/russian/rusentitweet_test.csv.zst"}
    ),
}  # fmt: skip


def main() -> int:
    """Finetune, read, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, help="the run folder of the base")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the runs")
    parser.add_argument("--data", type=Path, help="the folder of the sets [$HOMESPUN_DATA]")
    parser.add_argument("--sets", default="sms", help=f"of {', '.join(SETS)}, with commas [sms]")
    parser.add_argument("--seeds", type=int, default=5, help="how many [5]")
    parser.add_argument("--fresh", action="store_true", help="also from random weights")
    parser.add_argument("--read", action="store_true", help="also when it has read the texts first")
    parser.add_argument("--json", action="store_true", help="print all figures for programs")
    own, passed_on = own_and_passed_on()
    options = parser.parse_args(own)
    data = options.data or Path(os.environ.get("HOMESPUN_DATA", ""))
    names = options.sets.split(",")
    if unknown := [name for name in names if name not in SETS]:
        raise UsageError(f"there is no set {unknown[0]!r}; known: {', '.join(SETS)}")
    options.out.mkdir(parents=True, exist_ok=True)
    facts, bases = machine(), {MODEL: options.base}
    if options.fresh:
        bases["fresh"] = fresh_base(options.base, options.out / "fresh")
    if options.read:
        bases[READER] = options.base
    figures = {name: measure(SETS[name], name, bases, data, options.out, options.seeds, passed_on) for name in names}
    if options.json:
        print(json.dumps({"machine": facts, "sets": figures}, indent=1, ensure_ascii=False))
        return 0
    print("\n".join([*machine_lines(facts), "", *lines(figures)]))
    return 0


def fresh_base(base: Path, out: Path) -> Path:
    """A run folder of the same model and tokenizer that has learned nothing."""
    if (out / "run.json").exists():
        return out
    import torch

    from homespun.inference.load import load_for_inference
    from homespun.interchange.weights import Weights
    from homespun.models.registry import build_model
    from homespun.pipeline.import_run import write_run
    from homespun.pipeline.run_folder import RunFolder

    known, tokenizer = load_for_inference(base, tell)
    torch.manual_seed(1)
    model = build_model(known.config)
    tensors = {name: parameter.detach() for name, parameter in model.named_parameters()}
    write_run(out, Weights(known.config, tensors, tokenizer), [])
    RunFolder(out).update(state="imported")
    return out


def measure(
    one: LabelledSet, name: str, bases: dict[str, Path], data: Path, out: Path, seeds: int, more: list[str]
) -> dict[str, Any]:
    """The figures of every way on the test, one for each seed."""
    found: dict[str, dict[str, list[float]]] = {}
    texts = []
    for seed in range(1, seeds + 1):
        for kind, base in bases.items():
            run = out / f"{name}-{kind}-{seed}"
            if not (run / "result.json").exists():
                tell(f"{name}, seed {seed}, {NAMES[kind]} …")
                if kind == READER:
                    base = reader(one, base, data, out, name, seed)
                finetune(one, base, data, run, seed, more)
            test = json.loads((run / "result.json").read_text("utf-8"))["test"]
            for way, record in test["ways"].items():
                if way == MODEL or kind == MODEL:
                    into = found.setdefault(kind if way == MODEL else way, {})
                    for figure, values in record["figures"].items():
                        into.setdefault(figure, []).append(values["value"])
        texts.append(test["texts"])
    return {"texts": texts, "ways": found}


def reader(one: LabelledSet, base: Path, data: Path, out: Path, name: str, seed: int) -> Path:
    """A run folder of the base after it has read all texts of a table that this seed does not hold back."""
    from homespun.labelled.read import read_rows
    from homespun.labelled.settings import LabelledConfig
    from homespun.labelled.split import key_of
    from homespun.labelled.storage import read_split

    run, texts = out / f"{name}-read-{seed}", out / f"{name}-texts-{seed}.jsonl"
    if not texts.exists():
        divided = out / f"{name}-{MODEL}-{seed}" / "labelled"
        seen = {key_of(text) for split in ("validation", "test") for text in read_split(divided, split).texts}
        with atomic_file(texts) as lines:
            for row in read_rows(data / one.table, LabelledConfig(**one.labelled)):
                if row.text and key_of(row.text) not in seen:
                    seen.add(key_of(row.text))
                    lines.write(json.dumps({"text": row.text}).encode() + b"\n")
    homespun(["finetune", "texts", str(base), str(texts), *READING, "--training.seed", str(seed)], run)
    return run


def finetune(one: LabelledSet, base: Path, data: Path, run: Path, seed: int, more: list[str]) -> None:
    """One classifier."""
    seeded = ["--labelled.split-seed", str(seed), "--training.seed", str(seed)]
    homespun(["finetune", "classify", str(base), str(data / one.table), *one.options(data), *seeded, *more], run)


def homespun(command: list[str], run: Path) -> None:
    """One run in its own process; one that was stopped goes on, one that is finished is left as it is."""
    if (run / "result.json").exists():
        return
    command = [*command, "--out", str(run)]
    if (run / "run.json").exists():
        command = ["train", "--resume", str(run)]
    done = subprocess.run([sys.executable, "-m", "homespun", *command], stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise HomespunError(f"homespun {' '.join(command[:2])} ended with exit code {done.returncode}")


def lines(figures: dict[str, Any]) -> list[str]:
    """For people: a table for each figure."""
    told = []
    for figure in ("accuracy", "balanced accuracy", "macro F1", "calibration error"):
        rows = [
            [name, f"{min(one['texts']):,}", NAMES.get(way, way), *in_words(values[figure])]
            for name, one in figures.items()
            for way, values in one["ways"].items()
        ]
        told += [table(("set", "test", figure, "mean", "least", "most", "seeds"), rows), ""]
    return told


def in_words(values: list[float]) -> list[str]:
    """Mean, least and most, in percent; how many."""
    return [f"{100 * value:.2f}" for value in (statistics.fmean(values), min(values), max(values))] + [str(len(values))]


if __name__ == "__main__":
    exit_with(main)
