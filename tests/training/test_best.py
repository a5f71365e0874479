"""The best weights: those of the lowest loss, the same after any interruption; patience ends a run, and no sooner."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file

from homespun.common.errors import UsageError
from homespun.common.files import read_json
from homespun.training.best import ends_early, is_better, is_over, note
from homespun.training.checkpoint import TrainingState, list_checkpoints
from homespun.training.execution import Execution
from homespun.training.loop import train
from homespun.training.validation import ExactLoss
from tests.training.process import TRAINING, Process, files_of, weights_file

BEST = replace(TRAINING, keep="best", evaluate_every=2)
NAN = float("nan")


def told(process: Process, losses: dict[int, float]) -> Process:
    """The validation says so at these steps, and at all others 9."""
    process.run.validate = lambda _: ExactLoss(losses.get(process.run.state.step, 9.0), None, 1)
    return process


@given(st.lists(st.sampled_from([0.5, 1.0, 2.0, NAN, float("inf")]), max_size=12), st.integers(0, 4))
def test_the_first_of_the_lowest_is_the_best(losses: list[float], patience: int) -> None:
    state, config = TrainingState(0, 100, 0, 0.0, Execution()), replace(TRAINING, patience=patience)
    for step, loss in enumerate(losses, 1):
        state.step = step
        note(state, loss, is_better(state, loss))
    numbers = [loss for loss in losses if loss < float("inf")]
    assert state.best_loss == min(numbers, default=None)
    assert state.best_at == (1 + losses.index(min(numbers)) if numbers else 0)
    assert state.worse == len(losses) - state.best_at and state.judged_at == len(losses)
    assert ends_early(state, config) == is_over(state, config) == (patience > 0 and state.worse >= patience)


@pytest.mark.parametrize(
    ("losses", "best"), [({4: 1.0, 8: 2.0}, 4), ({4: 1.0, 8: 1.0, 14: 1.0}, 4), ({14: 1.0}, 14), ({2: NAN, 6: 3.0}, 6)]
)
def test_the_weights_of_that_step_are_kept(
    tmp_path: Path, tokenizer_file: Path, losses: dict[int, float], best: int
) -> None:
    process = told(Process(tmp_path / "best", tokenizer_file, BEST), losses)
    assert train(process.run)
    straight = Process(tmp_path / "straight", tokenizer_file).stop_at(best)
    train(straight.run)
    assert weights_file(tmp_path / "best") == weights_file(tmp_path / "straight")
    state = read_json(tmp_path / "best" / "step-00000014" / "state.json")
    assert (state["best_at"], state["best_loss"], state["step"]) == (best, losses[best], 14)
    assert process.diary.validated_at == [2, 4, 6, 8, 10, 12, 14, 14]  # the last of them of what is kept
    assert not any(
        name.startswith("best/") for name in load_file(tmp_path / "best/step-00000014/optimizer.safetensors")
    )


def test_to_keep_the_best_changes_no_step(tmp_path: Path, tokenizer_file: Path) -> None:
    best = told(Process(tmp_path / "best", tokenizer_file, BEST), {6: 1.0})
    last = Process(tmp_path / "last", tokenizer_file, replace(BEST, keep="last"))
    assert train(best.run) and train(last.run)
    assert [one["loss"] for one in best.diary.records] == [one["loss"] for one in last.diary.records]
    assert weights_file(tmp_path / "best") != weights_file(tmp_path / "last")


@pytest.mark.parametrize("keep", ["best", "last"])
def test_patience_ends_it(tmp_path: Path, tokenizer_file: Path, keep: str) -> None:
    config = replace(BEST, keep=keep, patience=2, log_every=3)  # pyrefly: ignore
    process = told(Process(tmp_path / "patient", tokenizer_file, config), {2: 3.0, 4: 2.0, 6: 2.5, 8: 2.0, 10: 1.0})
    assert train(process.run)
    assert process.run.state.step == 8 and process.run.state.total == 14 and process.run.state.worse == 2
    assert process.diary.trained_at == [3, 6, 8]  # what was still unread is told
    straight = Process(tmp_path / "straight", tokenizer_file).stop_at(4 if keep == "best" else 8)
    train(straight.run)
    assert weights_file(tmp_path / "patient") == weights_file(tmp_path / "straight")
    before = files_of(tmp_path / "patient", "model.safetensors", "state.json")
    again = told(Process(tmp_path / "patient", tokenizer_file, config), {})
    assert train(again.run) and again.diary.trained_at == []  # it stays at its end
    now = files_of(tmp_path / "patient", "model.safetensors", "state.json")
    assert now["model.safetensors"] == before["model.safetensors"]
    assert again.run.state.best_at == process.run.state.best_at


@pytest.mark.parametrize("stops", [[4], [5], [3, 4, 9], [13], [14]])
@pytest.mark.parametrize("patience", [0, 3])
def test_an_interrupted_run_keeps_the_same(
    tmp_path: Path, tokenizer_file: Path, stops: list[int], patience: int
) -> None:
    """The copy goes with the checkpoint, so that it is there when nothing better follows."""
    config, losses = replace(BEST, patience=patience), {4: 1.0, 6: 2.0, 12: 1.5}
    straight = told(Process(tmp_path / "straight", tokenizer_file, config), losses)
    assert train(straight.run)
    for stop in stops:
        train(told(Process(tmp_path / "stopped", tokenizer_file, config), losses).stop_at(stop).run)
    last = told(Process(tmp_path / "stopped", tokenizer_file, config), losses)
    assert train(last.run)
    assert files_of(tmp_path / "stopped") == files_of(tmp_path / "straight")
    assert last.run.state.best_at == straight.run.state.best_at == 4
    assert last.run.state.worse == straight.run.state.worse


def test_after_a_rollback_what_was_lost_is_not_the_best(tmp_path: Path, tokenizer_file: Path) -> None:
    """The copy and its record are those of the checkpoint."""
    assert not train(told(Process(tmp_path, tokenizer_file, BEST), {2: 5.0}).stop_at(3).run)
    process = told(Process(tmp_path, tokenizer_file, BEST), {4: 1.0})
    assert process.best is not None
    kept = {name: tensor.clone() for name, tensor in process.best.weights.items()}
    assert not train(process.stop_at(6).run)
    restored = process.restore()
    assert restored is not None and restored.best_at == 4
    shutil.rmtree(list_checkpoints(tmp_path)[-1])
    restored = process.restore()
    assert restored is not None and (restored.best_at, restored.best_loss) == (2, 5.0)
    assert kept.keys() == process.best.weights.keys()
    assert all(torch.equal(tensor, process.best.weights[name]) for name, tensor in kept.items())


def test_best_and_average_exclude_each_other() -> None:
    with pytest.raises(UsageError, match="either of them, not both"):
        replace(TRAINING, keep="best", average_decay=0.9)
    with pytest.raises(UsageError, match=r"training\.patience is -1"):
        replace(TRAINING, patience=-1)
