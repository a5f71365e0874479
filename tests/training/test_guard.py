"""Steps that are not to be trusted: which ones are skipped, that they change nothing, and how a run goes on."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.common.errors import HomespunError
from homespun.models.settings import GPTConfig
from homespun.training.checkpoint import list_checkpoints, newest_checkpoint
from homespun.training.guard import STEPS_TO_KNOW_BY, Guard
from homespun.training.loop import STEPS_IN_VAIN, train
from tests.training.process import (
    CPU,
    MODEL,
    SPOILS,
    TRAINING,
    Process,
    files_of,
    larger_by,
    spoiled,
)

Spoil = Callable[[torch.Tensor], torch.Tensor]
EACH_SPOIL = pytest.mark.parametrize("spoil", SPOILS.values(), ids=SPOILS)
# For runs that must know what is usual. Nothing is measured on the way: that takes most of the time.
LONG = replace(TRAINING, steps=70, evaluate_every=1000, sample_every=0, log_every=5)
SMALL = GPTConfig(vocabulary_size=32, context=8, layers=1, width=16, heads=1)


def naive_verdicts(pairs: list[tuple[float, float]], factor: float) -> list[bool]:
    """The rule in plain Python: the mean of all good norms so far, of about the last fifty once there are more.

    A norm counts for ``factor`` times the mean before it at most.
    """
    mean, seen, verdicts = 0.0, 0, []
    for loss, norm in pairs:
        bad = not (math.isfinite(loss) and math.isfinite(norm))
        bad = bad or (bool(factor) and seen >= STEPS_TO_KNOW_BY and norm > factor * mean)
        verdicts.append(bad)
        if not bad:
            memory = min(seen / (seen + 1), 0.98)
            learned = min(norm, factor * mean) if factor and seen else norm
            mean = memory * mean + (1 - memory) * learned
            seen += 1
    return verdicts


def verdicts(guard: Guard, pairs: list[tuple[float, float]]) -> list[bool]:
    return [bool(guard.judge(torch.tensor(loss), torch.tensor(norm))) for loss, norm in pairs]


ODD = st.sampled_from([math.nan, math.inf, -math.inf, 1e6, 0.0])


@settings(deadline=None, max_examples=60)
@given(
    usual=st.lists(st.floats(0.5, 2.0), min_size=45, max_size=60),
    then=st.lists(st.tuples(st.floats(0, 10) | ODD, st.floats(0.1, 100) | ODD), max_size=25),
    factor=st.sampled_from([0.0, 10.0, 20.0]),
)
def test_verdicts_follow_the_rule(usual: list[float], then: list[tuple[float, float]], factor: float) -> None:
    pairs = [(1.0, norm) for norm in usual] + then
    assert verdicts(Guard(factor, CPU), pairs) == naive_verdicts(pairs, factor)


def test_the_mean_never_learns_from_what_was_skipped() -> None:
    guard, untouched = Guard(20.0, CPU), Guard(20.0, CPU)
    for number in range(200):
        good = (torch.tensor(1.0), torch.tensor(1.0 + number % 7))
        guard.judge(*good)
        untouched.judge(*good)
        for bad in (math.nan, math.inf, 1e6):
            if number >= STEPS_TO_KNOW_BY or bad != 1e6:
                assert bool(guard.judge(torch.tensor(1.0), torch.tensor(bad)))
    assert torch.equal(guard.mean, untouched.mean) and torch.equal(guard.seen, untouched.seen)


@pytest.mark.parametrize("seed", range(5))
def test_ordinary_noise_is_never_skipped(seed: int) -> None:
    """Norms that fall by a factor of ten and scatter as those of real runs do, some of them fivefold."""
    generator = torch.Generator().manual_seed(seed)
    scatter = torch.exp(0.4 * torch.randn(3000, generator=generator))
    norms = scatter * torch.linspace(3.0, 0.3, 3000)
    guard = Guard(20.0, CPU)
    assert not any(verdicts(guard, [(1.0, norm) for norm in norms.tolist()]))


def test_before_anything_is_known_only_what_is_no_number_is_skipped() -> None:
    for before, expected in ((STEPS_TO_KNOW_BY - 1, False), (STEPS_TO_KNOW_BY, True)):
        guard = Guard(20.0, CPU)
        verdicts(guard, [(1.0, 1.0)] * before)
        assert bool(guard.judge(torch.tensor(1.0), torch.tensor(1e6))) == expected


def test_its_state_comes_back() -> None:
    guard, fresh = Guard(20.0, CPU), Guard(20.0, CPU)
    verdicts(guard, [(1.0, 1.0 + number % 3) for number in range(60)])
    fresh.load_tensors(guard.tensors())
    pairs = [(1.0, norm) for norm in (1.0, 30.0, 60.0, math.nan, 2.0)]
    assert verdicts(fresh, pairs) == verdicts(guard, pairs) == [False, False, True, True, False]


@EACH_SPOIL
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_step_without_a_number_changes_nothing_and_the_run_goes_on(
    tmp_path: Path, tokenizer_file: Path, spoil: Spoil, optimizer: str
) -> None:
    config = replace(TRAINING, optimizer=optimizer, micro_batch_size=2)
    process = spoiled(tmp_path, tokenizer_file, config, spoil, lambda state: state.step == 6)
    around: dict[int, dict[str, torch.Tensor]] = {}
    make = process.run.batch

    def batch(number: int):
        around[number] = process.everything()
        return make(number)

    process.run.batch = batch
    assert train(process.run)
    before, after = around[6], around[7]
    assert before.keys() == after.keys() and len(before) > 20
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert any(not torch.equal(before[name], around[8][name]) for name in before)
    [record] = process.diary.skips
    assert (record["step"], record["batch"]) == (6, 6)
    assert not (math.isfinite(record["loss"]) and math.isfinite(record["gradient_norm"]))
    assert process.run.state.skipped == 1 and process.diary.reasons == []
    assert all(math.isfinite(record["loss"]) for record in process.diary.records)
    assert process.diary.trained_at == [2, 4, 6, 8, 10, 12, 14]
    assert all(bool(parameter.isfinite().all()) for parameter in process.model.parameters())


@pytest.mark.parametrize(("step", "factor", "skipped"), [(60, 1e6, True), (60, 1e4, True), (60, 1.5, False),
                                                         (30, 1e6, False)])  # fmt: skip
def test_a_gradient_far_out_of_line_is_skipped_once_it_is_known_what_is_usual(
    tmp_path: Path, tokenizer_file: Path, step: int, factor: float, skipped: bool
) -> None:
    process = spoiled(tmp_path, tokenizer_file, LONG, larger_by(factor), lambda state: state.step == step, SMALL)
    assert train(process.run)
    assert process.diary.skipped_steps == ([step] if skipped else [])
    if skipped:
        [record] = process.diary.skips
        assert record["gradient_norm"] > 0.1 * factor and math.isfinite(record["loss"])


def test_a_run_without_accidents_skips_nothing(tmp_path: Path, tokenizer_file: Path) -> None:
    process = Process(tmp_path, tokenizer_file, replace(LONG, steps=150, warmup_steps=10), SMALL)
    assert train(process.run)
    assert (process.diary.skips, process.run.state.skipped) == ([], 0)


def test_killed_and_resumed_the_same_steps_are_skipped(tmp_path: Path, tokenizer_file: Path) -> None:
    """Also an outlier soon after, which the new process knows only from the checkpoint."""

    def process_in(folder: str) -> Process:
        return spoiled(
            tmp_path / folder, tokenizer_file, LONG, larger_by(1e4), lambda state: state.step in (58, 59, 64), SMALL
        )

    straight = process_in("straight")
    assert train(straight.run)
    assert straight.diary.skipped_steps == [58, 59, 64]
    skipped: list[int] = []
    for stop in (57, 59, 61, 10_000):
        process = process_in("stopped").stop_at(stop)
        assert train(process.run) == (stop == 10_000)
        skipped += process.diary.skipped_steps
    assert skipped == [58, 59, 64]
    assert process.run.state.skipped == 3
    assert files_of(tmp_path / "stopped") == files_of(tmp_path / "straight")


def test_five_in_vain_go_back_to_the_checkpoint_and_on_at_half_the_rate(tmp_path: Path, tokenizer_file: Path) -> None:
    """The oracle: a run that was stopped at that checkpoint and goes on with half the rate."""
    config = replace(TRAINING, log_every=1)
    assert not train(Process(tmp_path / "oracle", tokenizer_file, config).stop_at(4).run)
    assert train(Process(tmp_path / "oracle", tokenizer_file, replace(config, learning_rate=5e-3)).run)

    assert not train(Process(tmp_path / "ours", tokenizer_file, config).stop_at(4).run)
    process = spoiled(
        tmp_path / "ours", tokenizer_file, config, SPOILS["not a number"],
        lambda state: state.step >= 7 and not state.rollbacks,
    )  # fmt: skip
    assert train(process.run)
    diary, state = process.diary, process.run.state
    assert diary.skipped_steps == [7, 8, 9, 10, 11] and len(diary.skips) == STEPS_IN_VAIN
    assert diary.back_at == [4]
    assert len(diary.reasons) == 1 and "not finite at step 11, and 5 steps in a row were skipped" in diary.reasons[0]
    assert (state.rollbacks, state.skipped, state.in_vain) == (1, 5, 0)
    assert diary.trained_at == [5, 6, 7, *range(5, 15)]
    rates = [record["learning_rate"] for record in diary.records]
    assert [2 * rate for rate in rates[3:6]] == rates[:3]
    assert files_of(tmp_path / "ours") == files_of(tmp_path / "oracle")


def test_four_in_vain_do_not_go_back(tmp_path: Path, tokenizer_file: Path) -> None:
    config = replace(TRAINING, log_every=1, checkpoint_seconds=0.0)
    process = spoiled(tmp_path, tokenizer_file, config, SPOILS["infinite"], lambda state: 5 <= state.step <= 8)
    assert train(process.run)
    assert process.diary.skipped_steps == [5, 6, 7, 8] and process.diary.reasons == []


def test_nothing_is_saved_between_steps_in_vain(tmp_path: Path, tokenizer_file: Path) -> None:
    """Else the newest checkpoint would be of the very weights that have gone astray."""
    config = replace(TRAINING, log_every=1, checkpoint_seconds=0.0, keep_checkpoints=100)
    process = spoiled(
        tmp_path, tokenizer_file, config, SPOILS["infinite"], lambda state: state.step >= 6 and not state.rollbacks
    )
    present: list[int] = []
    process.run.observer.rolled_back = (
        lambda reason, state: present.extend(  # type: ignore[method-assign]
            int(path.name[-8:]) for path in list_checkpoints(tmp_path)
        )
    )
    assert train(process.run)
    assert present == [1, 2, 3, 4, 5, 6]


@EACH_SPOIL
def test_after_three_times_in_vain_the_run_stops_with_the_reason(
    tmp_path: Path, tokenizer_file: Path, spoil: Spoil
) -> None:
    config = replace(TRAINING, checkpoint_seconds=0.0)
    process = spoiled(tmp_path, tokenizer_file, config, spoil, lambda state: state.step >= 4)
    with pytest.raises(
        HomespunError, match=r"not finite at step 9.*3 times the rate was halved in vain: lower"
    ) as raised:
        train(process.run)
    assert "\n" not in str(raised.value)
    assert process.diary.back_at == [4, 4, 4]
    assert process.diary.skipped_steps == [4, 5, 6, 7, 8, 9] * 4
    found = newest_checkpoint(tmp_path, lambda text: None)
    assert found is not None and found.name == "step-00000004"
    assert train(Process(tmp_path, tokenizer_file).run)  # with the cause taken away it goes on


def test_an_outlier_in_vain_is_told_as_such(tmp_path: Path, tokenizer_file: Path) -> None:
    config = replace(LONG, checkpoint_seconds=0.0)
    process = spoiled(
        tmp_path, tokenizer_file, config, larger_by(1e4), lambda state: state.step >= 55 and not state.rollbacks, SMALL
    )
    assert train(process.run)
    [reason] = process.diary.reasons
    assert "times as large as usual at step 59" in reason and "not finite" not in reason
    times = float(reason.split("the gradient is ")[1].split()[0].replace(",", ""))
    assert 1e3 < times < 1e5


def test_without_a_checkpoint_the_run_stops_with_the_reason(tmp_path: Path, tokenizer_file: Path) -> None:
    process = spoiled(tmp_path, tokenizer_file, TRAINING, SPOILS["not a number"], lambda state: state.step >= 1)
    with pytest.raises(HomespunError, match=r"not finite at step 5.*there is no checkpoint yet: lower") as raised:
        train(process.run)
    assert "\n" not in str(raised.value)
    assert list_checkpoints(tmp_path) == []


def test_a_rollback_is_not_forgotten_by_the_process_that_goes_on(tmp_path: Path, tokenizer_file: Path) -> None:
    config = replace(TRAINING, log_every=1, checkpoint_seconds=0.0)

    def process_in(folder: str) -> Process:
        return spoiled(
            tmp_path / folder, tokenizer_file, config, SPOILS["not a number"],
            lambda state: state.step >= 3 and not state.rollbacks,
        )  # fmt: skip

    assert train(process_in("straight").run)
    for stop in (9, 12, 10_000):
        process = process_in("stopped").stop_at(stop)
        train(process.run)
    assert process.diary.reasons == [] and process.run.state.rollbacks == 1
    assert files_of(tmp_path / "stopped") == files_of(tmp_path / "straight")


def test_leaving_amid_bad_steps_saves_sound_weights(tmp_path: Path, tokenizer_file: Path) -> None:
    """Ctrl-C between the step that failed and the line of metrics that would have told."""
    config = replace(TRAINING, log_every=10)
    process = spoiled(tmp_path, tokenizer_file, config, SPOILS["not a number"], lambda state: state.step in (6, 7, 8))
    assert not train(process.stop_at(8).run)
    assert process.diary.skipped_steps == [6, 7]
    again = spoiled(tmp_path, tokenizer_file, config, SPOILS["not a number"], lambda state: state.step == 8, MODEL)
    assert (again.run.state.step, again.run.state.skipped, again.run.state.in_vain) == (8, 2, 2)
    assert all(bool(parameter.isfinite().all()) for parameter in again.model.parameters())
    assert train(again.run)
    assert again.diary.skipped_steps == [8]
