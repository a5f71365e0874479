"""A tiny base and files to finetune it on: a command for each kind of finetuning, to be killed like any other run.

In: a folder. Out: ``homespun finetune …`` in words. Files are large enough for their preparation to be hit by a kill.
"""

import json
import random
from collections.abc import Callable
from pathlib import Path

WORDS = "the of and to in a is that it was for on are as with his they at be this have from or one had by word but"
# The control tokens of a question and an answer need some room.
BASE = {"model.context": 64, "model.width": 64, "training.steps": 10, "training.evaluate_every": 10}
TRAINED = {
    "training.steps": 24, "training.batch_size": 2, "training.learning_rate": 1e-3, "training.evaluate_every": 12,
    "training.sample_every": 0, "training.log_every": 1, "training.precision": "fp32", "training.attention": "fused",
    "training.compile": "off", "training.threads": 1, "training.checkpoint_seconds": 0, "sampling.maximum_tokens": 4,
}  # fmt: skip


def sentences(count: int, longest: int) -> list[str]:
    """Different ones, the same each time."""
    chance, words = random.Random(1), WORDS.split()
    return [" ".join([*chance.choices(words, k=chance.randint(2, longest)), str(number)]) for number in range(count)]


def classify(folder: Path) -> list[str]:
    """Texts of two classes."""
    rows = [{"text": text, "label": ("odd", "even")[len(text) % 2]} for text in sentences(400, 12)]
    return ["classify", "{base}", lines(folder / "labelled.jsonl", rows)]


def instructions(folder: Path) -> list[str]:
    """Questions, and their last words for answers."""
    rows = [{"instruction": text, "input": "", "output": text.split()[-2]} for text in sentences(500, 5)]
    return ["instructions", "{base}", lines(folder / "instructions.jsonl", rows)]


def preferences(folder: Path) -> list[str]:
    """The last word is a better answer than the first."""
    rows = [
        {"prompt": text, "chosen": text.split()[-2], "rejected": f"not {text.split()[0]}"} for text in sentences(200, 5)
    ]
    return ["preferences", "{base}", lines(folder / "preferences.jsonl", rows)]


def texts(folder: Path) -> list[str]:
    """Texts of a field, and those of the base again."""
    field = folder / "field.txt"
    field.write_text("\n".join(f"{text} and so on." for text in sentences(500, 12)), "utf-8")
    return ["texts", "{base}", str(field), "--replay", str(folder / "text.txt")]


def lines(path: Path, rows: list[dict[str, str]]) -> str:
    """A JSON-lines file of them."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


LORA = ["--train=lora", "--model.lora-rank=4"]
KINDS: dict[str, tuple[Callable[[Path], list[str]], list[str]]] = {
    "classify": (classify, []),
    "classify-lora": (classify, LORA),
    "instructions": (instructions, []),
    "instructions-lora": (instructions, LORA),
    "preferences": (preferences, []),
    "preferences-lora": (preferences, LORA),
    "texts": (texts, []),
    "texts-lora": (texts, LORA),
}


def command_of(kind: str, folder: Path, base: Path) -> list[str]:
    """The whole command, but for ``--out``."""
    write, more = KINDS[kind]
    told = [word.format(base=base) for word in write(folder)]
    return ["finetune", *told, *more, *(f"--{key}={value}" for key, value in TRAINED.items())]
