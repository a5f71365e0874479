"""Several processes that finetune write what moves alone, and any number of them goes on with it."""

import json
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.cli.main import run as command
from homespun.common.configuration import replace_values
from homespun.common.progress import Silent
from homespun.inference.load import load_for_classification
from homespun.pipeline.assemble import assemble, prepare_process
from homespun.pipeline.configuration import load_toml
from homespun.pipeline.labelled_lesson import labelled_lesson
from homespun.pipeline.run_folder import RunFolder
from homespun.training.loop import train
from homespun.training.pace import FixedPace
from homespun.training.world import World
from tests.training.parallel.processes import Processes
from tests.training.parallel.runs import CONFIGURATION, ONE, assert_equal_weights, weights


def finetune_until(world: World, path: Path, changes: dict[str, Any], stop: int) -> int:
    """``train_until`` for a classifier, configured as its run folder says."""
    config = replace_values(load_toml(path / "config.toml"), changes)
    with ExitStack() as stack:
        run, place = RunFolder(path), prepare_process(config.training, Silent(), world)
        lesson = labelled_lesson(run, config, place.world)
        training_run = assemble(run, config, lesson, place, FixedPace(), Silent(), stack)[0]
        training_run.stop_requested = lambda: world.rank == world.size - 1 and training_run.state.step >= stop
        train(training_run)
        return training_run.state.step


@pytest.mark.parametrize("way", ["replicated", "sharded"])
def test_processes_that_finetune_write_what_moves_and_any_number_goes_on_with_it(
    way: str, pair: Processes, prepared: Path, tmp_path: Path
) -> None:
    lines = [json.dumps({"text": f"{word} {number}", "label": word}) for number in range(20) for word in ("yes", "no")]
    (tmp_path / "table.jsonl").write_text("\n".join(lines), "utf-8")
    changes = CONFIGURATION | {"training.steps": 12, "training.parallel": way, "training.micro_batch_size": 4}
    options = [f"--{key}={value}" for key, value in changes.items() if key.startswith("training.")]
    one, two = tmp_path / "one", tmp_path / "two"
    asked = ["finetune", "classify", str(prepared), str(tmp_path / "table.jsonl"), "--out", str(one), *options]
    assert command([*asked, "--train=lora", "--model.lora-rank=2", "--model.dropout=0"]) == 0
    shutil.copytree(one, two, ignore=lambda folder, names: ["checkpoints", "result.json"])
    assert pair.call(finetune_until, two, {}, 5) == [5, 5]
    names = weights(two).keys()
    assert names == weights(one).keys() and all(name.endswith((".up", ".down")) or "head." in name for name in names)
    assert finetune_until(ONE, two, {}, 9) == 9
    assert pair.call(finetune_until, two, {}, 12) == [12, 12]
    assert_equal_weights(two, one)
    ours, theirs = (load_for_classification(path, pytest.fail)[0].state_dict() for path in (two, one))
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], rtol=0, atol=1e-5)
