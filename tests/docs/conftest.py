"""Where the commands of a page find what they name: ``my-texts/``, tables, images, ``runs/demo``, an adapter."""

import inspect
import json
import random
import shutil
import textwrap
from pathlib import Path

import numpy as np
import pytest

from homespun.cli.main import run
from homespun.inference.load import load_for_inference
from homespun.interchange.huggingface.peft.writing import write_adapter
from tests.docs.pages import ROOT
from tests.docs.shell import SMALL
from tests.images.conftest import png_bytes, stripes
from tests.interchange.adapters import random_adapter
from tests.torch_settings import one_thread  # noqa: F401


def write_texts(folder: Path) -> None:
    """A few files of real text."""
    folder.mkdir()
    (folder / "textwrap.py").write_text(inspect.getsource(textwrap), "utf-8")
    (folder / "random.txt").write_text(inspect.getsource(random), "utf-8")


def write_pairs(file: Path) -> None:
    """A table of sentences in two languages."""
    rows = [
        (f"{number} {animal} is {deed}.", f"{zahl} {tier} {tat}.")
        for number, zahl in (("One", "Ein"), ("A second", "Ein zweiter"), ("No", "Kein"))
        for animal, tier in (("dog", "Hund"), ("cat", "Kater"), ("fish", "Fisch"), ("bird", "Vogel"))
        for deed, tat in (("sleeping", "schläft"), ("eating", "frisst"), ("here", "ist hier"), ("gone", "ist weg"))
    ]
    file.write_text("en\tde\n" + "".join(f"{source}\t{target}\n" for source, target in rows), "utf-8")


def write_messages(file: Path) -> None:
    """A table of messages of two kinds."""
    rows = [(f"See you at {hour}, {name}.", "ham") for hour in range(1, 9) for name in ("Ann", "Bo", "Cem")]
    rows += [(f"WIN {prize} pounds! Call {number}!", "spam") for prize in (50, 100) for number in range(800, 806)]
    file.write_text("message,kind\n" + "".join(f'"{text}",{kind}\n' for text, kind in rows), "utf-8")


def write_dialogues(folder: Path) -> None:
    """Instructions, preferences, and summaries."""
    asked = [(f"Say {word} {number}", word) for number in range(12) for word in ("yes", "no")]
    entries = [{"instruction": question, "input": "", "output": word} for question, word in asked]
    (folder / "instructions.json").write_text(json.dumps(entries), "utf-8")
    pairs = [{"prompt": question, "chosen": word, "rejected": f"not {word}"} for question, word in asked]
    (folder / "preferences.json").write_text(json.dumps(pairs), "utf-8")
    talks = [{"dialogue": f"A: {question}. B: {word}!", "summary": f"B says {word}."} for question, word in asked]
    (folder / "dialogues.jsonl").write_text("".join(json.dumps(talk) + "\n" for talk in talks), "utf-8")


def write_images(folder: Path) -> None:
    """A small file of images, and a picture."""
    images, classes = stripes(60)
    np.savez(folder / "digits.npz", images=images, labels=classes)
    (folder / "seven.png").write_bytes(png_bytes(images[0][..., None], 0))


@pytest.fixture(scope="session")
def demo_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, made once, and an adapter for it."""
    folder = tmp_path_factory.mktemp("demo")
    write_texts(folder / "my-texts")
    assert run(["train", str(folder / "my-texts"), "--out", str(folder / "demo"), *SMALL]) == 0
    config = load_for_inference(folder / "demo", print)[0].config
    write_adapter(random_adapter(config), config, folder / "adapters" / "mine")
    return folder / "demo"


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, demo_run: Path) -> Path:
    """The folder in which a page's commands run; a plan measures the smallest model only."""
    write_texts(tmp_path / "my-texts")
    write_pairs(tmp_path / "pairs.tsv")
    write_messages(tmp_path / "messages.csv")
    write_dialogues(tmp_path)
    write_images(tmp_path)
    for file in (ROOT / "examples" / "tasks").iterdir():
        shutil.copy(file, tmp_path)
    shutil.copytree(demo_run, tmp_path / "runs" / "demo")
    shutil.copytree(demo_run.with_name("adapters"), tmp_path / "adapters")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("homespun.training.budget.LONGEST_MEASURED_STEP", 0.0)
    return tmp_path
