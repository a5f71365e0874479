"""The loop: accumulation, the same bits after any interruption, and what happens when training goes wrong."""

import errno
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.batches.batch import IGNORED, Batch
from homespun.common.errors import HomespunError
from homespun.models.gpt import GPT
from homespun.models.settings import GPTConfig
from homespun.training.checkpoint import (
    TrainingState,
    list_checkpoints,
    load_checkpoint,
    newest_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from homespun.training.loop import TrainingRun, train, train_step
from homespun.training.losses import NextToken
from homespun.training.optimizer import build_optimizer
from homespun.training.pace import FixedPace, TimedPace
from homespun.training.schedule import trapezoid
from homespun.training.settings import TrainingConfig
from homespun.training.validation import ExactLoss, exact_loss

CPU = torch.device("cpu")
MODEL = GPTConfig(vocabulary_size=32, context=8, layers=2, width=32, heads=2)
TRAINING = TrainingConfig(
    steps=14, batch_size=4, learning_rate=1e-2, warmup_steps=3, log_every=2, evaluate_every=5, sample_every=4,
    checkpoint_seconds=1e9, precision="fp32",
)  # fmt: skip


def batch_number(number: int) -> Batch:
    """A pure function of the number; some targets do not count, in each row another share."""
    generator = torch.Generator().manual_seed(number)
    tokens = torch.randint(32, (4, 9), generator=generator)
    targets = tokens[:, 1:].clone()
    targets[0, 3:] = IGNORED
    targets[2, ::2] = IGNORED
    return Batch(tokens[:, :-1], targets)


class Diary:
    """An observer that writes down what it sees."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []
        self.trained_at: list[int] = []
        self.validated_at: list[int] = []
        self.sampled_at: list[int] = []

    def trained(self, record: dict[str, Any], state: TrainingState) -> None:
        self.records.append(record)
        self.trained_at.append(state.step)

    def validated(self, loss: ExactLoss, state: TrainingState) -> None:
        self.validated_at.append(state.step)

    def sampled(self, state: TrainingState) -> None:
        self.sampled_at.append(state.step)


class Process:
    """What a process that trains in ``folder`` has: fresh objects, and the newest checkpoint if there is one."""

    def __init__(
        self, folder: Path, tokenizer_file: Path, config: TrainingConfig = TRAINING, model: GPTConfig = MODEL
    ) -> None:
        torch.manual_seed(config.seed)
        self.model, self.diary, self.folder = GPT(model), Diary(), folder
        self.optimizer = build_optimizer(self.model, config)
        found = newest_checkpoint(folder, lambda text: None)
        state = TrainingState(0, config.steps, 0, 0.0, 1, "fp32")
        if found:
            torch.manual_seed(12345)  # whatever the new process has drawn: the checkpoint's state counts
            state = load_checkpoint(found, self.model, self.optimizer)

        def save(state: TrainingState) -> None:
            keep = config.keep_checkpoints
            save_checkpoint(folder, self.model, self.optimizer, state, asdict(model), tokenizer_file, keep)

        def validate(precision: str) -> ExactLoss:
            return exact_loss(self.model, NextToken(), [batch_number(999)], 32, CPU, precision)

        self.run = TrainingRun(
            self.model, self.optimizer, NextToken(), batch_number, validate, save, config, FixedPace(), self.diary,
            CPU, state,
        )  # fmt: skip

    def stop_at(self, step: int) -> "Process":
        self.run.stop_requested = lambda: self.run.state.step >= step
        return self


def weights_file(folder: Path) -> bytes:
    return (list_checkpoints(folder)[-1] / "model.safetensors").read_bytes()


@pytest.mark.parametrize("micro", [1, 2])
def test_accumulation_equals_the_big_batch(tmp_path: Path, tokenizer_file: Path, micro: int) -> None:
    """Though each micro-batch has another number of targets: the mean is over the targets of the step."""
    whole = Process(tmp_path, tokenizer_file, replace(TRAINING, gradient_clip=0.0))
    parts = Process(tmp_path, tokenizer_file, replace(TRAINING, gradient_clip=0.0, micro_batch_size=micro))
    results = []
    for process in (whole, parts):
        gradients: list[torch.Tensor] = []
        process.optimizer.register_step_pre_hook(
            lambda optimizer, *_, found=gradients: found.extend(
                p.grad.clone() for group in optimizer.param_groups for p in group["params"]
            )
        )
        results.append((*train_step(process.run, 1e-3), gradients))
    (loss, norm, targets, gradients), (other_loss, other_norm, other_targets, other_gradients) = results
    assert targets == other_targets == 4 * 8 - 5 - 4
    torch.testing.assert_close(loss, other_loss, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(norm, other_norm, rtol=1e-5, atol=1e-6)
    assert len(gradients) == len(other_gradients) > 10
    for ours, theirs in zip(gradients, other_gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_step_is_the_textbooks(tmp_path: Path, tokenizer_file: Path) -> None:
    """Loss, clipping to the norm, the rate of the schedule, AdamW: three steps in plain PyTorch beside the loop."""
    config = replace(TRAINING, steps=3, gradient_clip=0.5, log_every=1)
    process = Process(tmp_path / "ours", tokenizer_file, config)
    plain = Process(tmp_path / "plain", tokenizer_file, config)
    assert train(process.run)
    plain.model.train()
    for step in range(3):
        batch = batch_number(step)
        logits = plain.model(batch.inputs).flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(logits, batch.targets.flatten(), ignore_index=IGNORED)
        plain.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(plain.model.parameters(), 0.5)
        rate = 1e-2 * trapezoid(step, 3, config)
        for group in plain.optimizer.param_groups:
            group["lr"] = rate
        plain.optimizer.step()
        record = process.diary.records[step]
        assert record["loss"] == pytest.approx(loss.item(), rel=1e-5)
        assert record["gradient_norm"] == pytest.approx(float(norm), rel=1e-4)
        assert record["learning_rate"] == rate
    for ours, theirs in zip(process.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_what_the_observer_sees(tmp_path: Path, tokenizer_file: Path) -> None:
    process = Process(tmp_path, tokenizer_file, replace(TRAINING, steps=11))
    assert train(process.run)
    diary, state = process.diary, process.run.state
    assert diary.trained_at == [2, 4, 6, 8, 10, 11]
    assert diary.validated_at == [5, 10, 11]
    assert diary.sampled_at == [4, 8]
    assert (state.step, state.total, state.tokens) == (11, 11, 11 * 23)
    assert all(record["tokens_per_second"] > 0 for record in diary.records)
    assert state.seconds > 0
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000011"]


def test_watching_does_not_change_the_weights(tmp_path: Path, tokenizer_file: Path) -> None:
    often = replace(TRAINING, log_every=1, evaluate_every=1, sample_every=1, checkpoint_seconds=0.0)
    train(Process(tmp_path / "rarely", tokenizer_file, TRAINING, replace(MODEL, dropout=0.2)).run)
    train(Process(tmp_path / "often", tokenizer_file, often, replace(MODEL, dropout=0.2)).run)
    assert weights_file(tmp_path / "rarely") == weights_file(tmp_path / "often")
    assert len(list_checkpoints(tmp_path / "often")) == often.keep_checkpoints


SHAPES = {
    "plain": (TRAINING, MODEL),
    "dropout": (TRAINING, replace(MODEL, dropout=0.3)),
    "dropout, micro-batches, learned positions": (
        replace(TRAINING, micro_batch_size=2),
        replace(MODEL, dropout=0.1, positions="learned", normalization="layer", biases=True, feedforward="gelu"),
    ),
    "cosine, bf16": (replace(TRAINING, schedule="cosine"), MODEL),
}


@pytest.mark.parametrize("name", SHAPES)
def test_an_interrupted_run_ends_with_the_same_bytes(tmp_path: Path, tokenizer_file: Path, name: str) -> None:
    config, model = SHAPES[name]
    straight = Process(tmp_path / "straight", tokenizer_file, config, model)
    if "bf16" in name:
        straight.run.state.precision = "bf16"
    assert train(straight.run)
    for stops in ([1], [7], [13], [2, 3, 9], [0, 5]):
        folder = tmp_path / f"stopped-{stops}"
        for stop in stops:
            process = Process(folder, tokenizer_file, config, model).stop_at(stop)
            process.run.state.precision = straight.run.state.precision
            assert not train(process.run)
            assert process.run.state.step == stop
        last = Process(folder, tokenizer_file, config, model)
        assert (last.run.state.step, last.run.state.precision) == (stops[-1], straight.run.state.precision)
        assert train(last.run)
        assert weights_file(folder) == weights_file(tmp_path / "straight"), stops
        for file in ("optimizer.safetensors", "config.json"):  # moments and random numbers too
            paths = [list_checkpoints(tmp_path / run)[-1] / file for run in (f"stopped-{stops}", "straight")]
            assert paths[0].read_bytes() == paths[1].read_bytes()
        assert last.run.state.tokens == straight.run.state.tokens


def test_after_damage_the_run_goes_on_from_the_one_before_to_the_same_bytes(
    tmp_path: Path, tokenizer_file: Path
) -> None:
    train(Process(tmp_path / "straight", tokenizer_file).run)
    for stop in (4, 8):
        train(Process(tmp_path / "damaged", tokenizer_file).stop_at(stop).run)
    (tmp_path / "damaged/step-00000008/optimizer.safetensors").write_bytes(b"\0" * 100)
    process = Process(tmp_path / "damaged", tokenizer_file)
    assert process.run.state.step == 4
    train(process.run)
    assert weights_file(tmp_path / "damaged") == weights_file(tmp_path / "straight")


def test_a_finished_run_that_is_started_again_stays_as_it_is(tmp_path: Path, tokenizer_file: Path) -> None:
    train(Process(tmp_path, tokenizer_file).run)
    before = weights_file(tmp_path)
    again = Process(tmp_path, tokenizer_file)
    assert train(again.run)
    assert again.diary.trained_at == []
    assert weights_file(tmp_path) == before


def test_a_timed_run_has_the_weights_of_a_run_with_its_final_total(tmp_path: Path, tokenizer_file: Path) -> None:
    """Not the clock but the number of steps decides; the number may be anything."""
    timed = Process(tmp_path / "timed", tokenizer_file, replace(TRAINING, steps=60))
    timed.run.pace = TimedPace(0.5, TRAINING)
    assert train(timed.run)
    fixed = Process(tmp_path / "fixed", tokenizer_file, replace(TRAINING, steps=timed.run.state.step))
    assert train(fixed.run)
    assert weights_file(tmp_path / "timed") == weights_file(tmp_path / "fixed")


def poison(process: Process, at: int, spoil: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """From step ``at`` on, the loss goes through ``spoil``."""
    honest = NextToken()

    class Spoiled:
        def loss(self, model: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
            total, count = honest.loss(model, batch)
            return (spoil(total) if process.run.state.step >= at else total), count

    process.run.task = Spoiled()


SPOILS = {
    "not a number": lambda total: total * float("nan"),
    "infinite": lambda total: total * float("inf"),
    # The loss is a number, its gradient is not: sqrt has an infinite slope at 0.
    "only the gradient": lambda total: total.detach() + (total - total.detach()).sqrt(),
}


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
@pytest.mark.parametrize("at", [6, 7, 13])
def test_a_loss_that_is_no_number_stops_the_run_and_the_checkpoint_before_survives(
    tmp_path: Path, tokenizer_file: Path, spoil: Callable[[torch.Tensor], torch.Tensor], at: int
) -> None:
    process = Process(tmp_path, tokenizer_file, replace(TRAINING, checkpoint_seconds=0.0))
    poison(process, at, spoil)
    with pytest.raises(HomespunError, match=r"not finite at step .*lower training\.learning_rate") as raised:
        train(process.run)
    assert "\n" not in str(raised.value)
    assert len(list_checkpoints(tmp_path)) == 2
    found = newest_checkpoint(tmp_path, lambda text: None)
    assert found is not None
    again = Process(tmp_path, tokenizer_file)
    assert again.run.state.step == at - at % 2
    assert all(bool(parameter.isfinite().all()) for parameter in again.model.parameters())


@pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
def test_poisoned_weights_are_not_saved_on_leaving_either(
    tmp_path: Path, tokenizer_file: Path, spoil: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    """Ctrl-C between the step that failed and the line of metrics that would have told."""
    process = Process(tmp_path, tokenizer_file, replace(TRAINING, log_every=10)).stop_at(7)
    poison(process, 6, spoil)
    with pytest.raises(HomespunError, match="not finite"):
        train(process.run)
    assert list_checkpoints(tmp_path) == []


def test_a_last_step_that_ruins_the_weights_is_not_saved_as_the_result(tmp_path: Path, tokenizer_file: Path) -> None:
    process = Process(tmp_path, tokenizer_file, replace(TRAINING, steps=1, learning_rate=1e38, warmup_steps=0,
                                                        decay_fraction=0.0))  # fmt: skip
    with pytest.raises(HomespunError, match="not finite"):
        train(process.run)
    assert list_checkpoints(tmp_path) == []
    assert process.diary.validated_at == []


def test_a_full_disk_while_saving_leaves_the_checkpoint_before(
    tmp_path: Path, tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not train(Process(tmp_path, tokenizer_file).stop_at(6).run)
    before = weights_file(tmp_path)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", full)
        with pytest.raises(HomespunError, match="the disk is full; free some space and run the same command again"):
            train(Process(tmp_path, tokenizer_file).run)
    assert weights_file(tmp_path) == before
    verify_checkpoint(list_checkpoints(tmp_path)[-1])
    train(Process(tmp_path, tokenizer_file).run)  # the same command again
    train(Process(tmp_path / "straight", tokenizer_file).run)
    assert weights_file(tmp_path) == weights_file(tmp_path / "straight")


def test_it_learns(tmp_path: Path, tokenizer_file: Path) -> None:
    process = Process(tmp_path, tokenizer_file, replace(TRAINING, steps=150, warmup_steps=10, log_every=10))
    process.run.batch = lambda number: batch_number(0)
    train(process.run)
    losses = [record["loss"] for record in process.diary.records]
    assert losses[0] > 1.5
    assert losses[-1] < 0.5 * losses[0]
    assert losses[-1] < 0.5
