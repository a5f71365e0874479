"""The loop: accumulation, the same bits after any interruption, and what happens when the disk or the end fails."""

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.batches.batch import IGNORED, Batch
from homespun.common.errors import HomespunError
from homespun.models.settings import GPTConfig
from homespun.training.checkpoint import list_checkpoints, verify_checkpoint
from homespun.training.loop import train, train_step
from homespun.training.losses import NextToken
from homespun.training.pace import TimedPace
from homespun.training.schedule import trapezoid
from homespun.training.settings import TrainingConfig
from homespun.training.world import World
from tests.training.process import MODEL, TRAINING, Process, batch_number, files_of, weights_file


@pytest.mark.parametrize("micro", [1, 2])
def test_accumulation_equals_the_big_batch(tmp_path: Path, tokenizer_file: Path, micro: int) -> None:
    """Though each micro-batch has another number of targets: the mean is over the targets of the step."""
    whole = Process(tmp_path, tokenizer_file, replace(TRAINING, gradient_clip=0.0))
    parts = Process(tmp_path, tokenizer_file, replace(TRAINING, gradient_clip=0.0, micro_batch_size=micro))
    results = []
    for process in (whole, parts):
        gradients: list[torch.Tensor] = []
        process.optimizer.parts[0].register_step_pre_hook(
            lambda optimizer, *_, found=gradients: found.extend(
                p.grad.clone() for group in optimizer.param_groups for p in group["params"]
            )
        )
        results.append((*train_step(process.run, 0.1), gradients))
    (loss, norm, skip, targets, gradients), (other_loss, other_norm, other_skip, other_targets, other_gradients) = (
        results
    )
    assert skip == other_skip == 0
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
        for group in plain.optimizer.groups:
            group["lr"] = rate
        plain.optimizer.step()
        record = process.diary.records[step]
        assert record["loss"] == pytest.approx(loss.item(), rel=1e-5)
        assert record["gradient_norm"] == pytest.approx(float(norm), rel=1e-4)
        assert record["learning_rate"] == rate
    for ours, theirs in zip(process.model.parameters(), plain.model.parameters(), strict=True):
        # An entry whose gradient is almost zero may move by a hundredth of a step more or less.
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_what_the_observer_sees(tmp_path: Path, tokenizer_file: Path) -> None:
    process = Process(tmp_path, tokenizer_file, replace(TRAINING, steps=11))
    assert train(process.run)
    diary, state = process.diary, process.run.state
    assert diary.trained_at == [2, 4, 6, 8, 10, 11]
    assert diary.validated_at == [5, 10, 11]
    assert diary.sampled_at == [4, 8]
    assert (state.step, state.total, state.tokens) == (11, 11, 11 * 23)
    assert all(record["tokens_per_second"] > 0 for record in diary.records)
    assert state.seconds > 0 and state.skipped == 0 and diary.skips == []
    assert [path.name for path in list_checkpoints(tmp_path)] == ["step-00000011"]


def test_watching_does_not_change_the_weights(tmp_path: Path, tokenizer_file: Path) -> None:
    often = replace(TRAINING, log_every=1, evaluate_every=1, sample_every=1, checkpoint_seconds=0.0)
    train(Process(tmp_path / "rarely", tokenizer_file, TRAINING, replace(MODEL, dropout=0.2)).run)
    train(Process(tmp_path / "often", tokenizer_file, often, replace(MODEL, dropout=0.2)).run)
    assert weights_file(tmp_path / "rarely") == weights_file(tmp_path / "often")
    assert len(list_checkpoints(tmp_path / "often")) == often.keep_checkpoints


SHAPES: dict[str, tuple[TrainingConfig, GPTConfig]] = {
    "plain": (TRAINING, MODEL),
    "dropout": (TRAINING, replace(MODEL, dropout=0.3)),
    "dropout, micro-batches, learned positions": (
        replace(TRAINING, micro_batch_size=2),
        replace(MODEL, dropout=0.1, positions="learned", normalization="layer", biases=True, feedforward="gelu"),
    ),
    "cosine, bf16": (replace(TRAINING, schedule="cosine", precision="bf16"), MODEL),
    "muon, average": (replace(TRAINING, optimizer="muon", average_decay=0.9), MODEL),
    "recomputed blocks, dropout, explicit attention": (
        replace(TRAINING, recompute=True, attention="explicit"),
        replace(MODEL, dropout=0.3),
    ),
    "all of it": (
        replace(TRAINING, optimizer="muon", average_decay=0.8, recompute=True, precision="bf16", micro_batch_size=2),
        replace(MODEL, dropout=0.2, value_embeddings=1, logit_softcap=5.0, tied_embeddings=False),
    ),
}


@pytest.mark.parametrize("name", SHAPES)
def test_an_interrupted_run_ends_with_the_same_bytes(tmp_path: Path, tokenizer_file: Path, name: str) -> None:
    config, model = SHAPES[name]
    straight = Process(tmp_path / "straight", tokenizer_file, config, model)
    assert train(straight.run)
    expected = files_of(tmp_path / "straight")
    for stops in ([7], [0, 1, 13]):
        folder = tmp_path / f"stopped-{stops}"
        for stop in stops:
            process = Process(folder, tokenizer_file, config, model).stop_at(stop)
            assert not train(process.run)
            assert process.run.state.step == stop
        last = Process(folder, tokenizer_file, config, model)
        assert last.run.state.step == stops[-1]
        assert train(last.run)
        assert files_of(folder) == expected, stops  # weights; moments, the guard's and the average's state
        assert last.run.state.tokens == straight.run.state.tokens
        assert last.warnings == []


def test_what_must_matter_to_the_bits_does(tmp_path: Path, tokenizer_file: Path) -> None:
    """Or the test above would compare what is always the same."""
    for name, (config, model) in SHAPES.items():
        train(Process(tmp_path / name, tokenizer_file, replace(config, steps=4), model).run)
    assert len({weights_file(tmp_path / name) for name in SHAPES}) == len(SHAPES)


def test_each_step_and_each_process_draws_numbers_of_its_own(tmp_path: Path, tokenizer_file: Path) -> None:
    seeds: list[int] = []

    class Listening(NextToken):
        def loss(self, model: Any, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
            seeds.append(torch.initial_seed())
            return super().loss(model, batch)

    process = Process(tmp_path, tokenizer_file, task=Listening())
    for rank in (0, 1):
        process.run.world = World(rank=rank)
        for step in range(5):
            process.run.state.step = step
            train_step(process.run, 0.1)
    assert len(seeds) == len(set(seeds)) == 10


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


def test_a_last_step_that_ruins_the_weights_is_not_saved_as_the_result(tmp_path: Path, tokenizer_file: Path) -> None:
    ruinous = replace(TRAINING, steps=1, learning_rate=1e38, warmup_steps=0, decay_fraction=0.0)
    process = Process(tmp_path, tokenizer_file, ruinous)
    with pytest.raises(HomespunError, match="not finite"):
        train(process.run)
    assert list_checkpoints(tmp_path) == []
    assert process.diary.validated_at == []


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("stop", [9, 10_000])
def test_a_full_disk_at_the_end_or_on_leaving_is_one_line_and_leaves_the_checkpoint_before(
    tmp_path: Path, tokenizer_file: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    assert not train(Process(tmp_path / "full", tokenizer_file).stop_at(6).run)
    before = weights_file(tmp_path / "full")
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", full)
        with pytest.raises(HomespunError, match="the disk is full; free some space and run the same command again"):
            train(Process(tmp_path / "full", tokenizer_file).stop_at(stop).run)
    assert weights_file(tmp_path / "full") == before
    verify_checkpoint(list_checkpoints(tmp_path / "full")[-1])
    assert train(Process(tmp_path / "full", tokenizer_file).run)  # the same command again
    assert train(Process(tmp_path / "straight", tokenizer_file).run)
    assert files_of(tmp_path / "full") == files_of(tmp_path / "straight")


def test_it_learns(tmp_path: Path, tokenizer_file: Path) -> None:
    process = Process(tmp_path, tokenizer_file, replace(TRAINING, steps=150, warmup_steps=10, log_every=10))
    process.run.batch = lambda number: batch_number(0)
    train(process.run)
    losses = [record["loss"] for record in process.diary.records]
    assert losses[0] > 1.5
    assert losses[-1] < 0.5 * losses[0]
    assert losses[-1] < 0.5
