"""Finetunings of every kind go on to the same bits from every state that a kill can leave, wherever it strikes.

Stages, checkpoints and results take their place by a rename. Just before each of them the whole folder is copied, with
what is half written in it: that is what a kill at this moment leaves. ``benchmarks/reliability.py kill --finetune``
does the same with real kills.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from homespun.cli.main import run
from homespun.common.files import sha256_of_file
from tests.pipeline.test_answering import write_files
from tests.pipeline.test_classification import COLUMNS, write_table

STEPS = 2
OPTIONS = [
    f"--training.steps={STEPS}", "--training.batch-size=8", "--training.learning-rate=3e-3",
    "--training.precision=fp32", "--training.attention=fused", "--training.compile=off", "--training.threads=1",
    "--training.checkpoint-seconds=0", "--training.evaluate-every=2", "--training.sample-every=2",
    "--sampling.maximum-tokens=3",
]  # fmt: skip
LAST = f"checkpoints/step-{STEPS:08}"
RESULT = "result.json"
# What a run leaves behind, in this order; earlier checkpoints besides, if there was time for them.
STAGES = {
    "classify": ["labelled", "base", "plan.json", LAST, RESULT],
    "instructions": ["conversations", "base", "rows", "plan.json", LAST, RESULT],
    "preferences": ["preferences", "base", "rows", "plan.json", "reference", LAST, RESULT],
    "texts": ["corpus", "base", "tokens", "replay/corpus", "replay/tokens", "plan.json", LAST, RESULT],
}
MEASURED = {"seconds_training", "tokens_per_second", "peak_memory_bytes", "finished"}


def command(kind: str, base: Path, text_folder: Path, folder: Path) -> list[str]:
    """A finetuning of this kind, but for ``--out``."""
    write_files(folder)
    given = {
        "classify": [str(write_table(folder / "kinds.jsonl")), *COLUMNS],
        "instructions": [str(folder / "instructions.json"), "--train=lora", "--model.lora-rank=2"],
        "preferences": [str(folder / "preferences.jsonl")],
        "texts": [str(text_folder / "textwrap.py"), "--replay", str(text_folder / "inspect.py")],
    }
    return ["finetune", kind, str(base), *given[kind], *OPTIONS]


def end_of(folder: Path) -> dict[str, Any]:
    """Weights, optimizer and result, but for times and memory."""
    result = json.loads((folder / RESULT).read_text("utf-8"))
    sums = {name: sha256_of_file(folder / LAST / f"{name}.safetensors") for name in ("model", "optimizer")}
    return sums | {key: value for key, value in result.items() if key not in MEASURED}


@pytest.mark.parametrize("kind", STAGES)
def test_a_finetuning_goes_on_from_every_state_that_a_kill_can_leave(
    kind: str, finished_run: Path, text_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, rename = tmp_path / "whole", os.replace
    states: dict[str, Path] = {}

    def copy_and_rename(source: Path, target: Path) -> None:
        stage = os.path.relpath(target, out)
        if (stage in STAGES[kind] or stage.startswith("checkpoints/step-")) and stage not in states:
            states[stage] = tmp_path / f"killed-{len(states)}"
            shutil.copytree(out, states[stage])
        rename(source, target)

    arguments = command(kind, finished_run, text_folder, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", copy_and_rename)
        assert run([*arguments, "--out", str(out)]) == 0
    assert [stage for stage in states if stage in STAGES[kind]] == STAGES[kind]
    wanted = end_of(out)
    for stage, killed in states.items():
        assert not (killed / stage).exists() and list(killed.rglob(".unfinished-*")), stage
        assert run(["train", "--resume", str(killed)]) == 0
        assert end_of(killed) == wanted, stage
        assert not list(killed.rglob(".unfinished-*")), stage
        shutil.rmtree(killed)
