"""The average of the weights: the recursion written out, its place at the end of a run, and after an interruption."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from homespun.training.average import WeightAverage
from homespun.training.checkpoint import list_checkpoints, read_tensors
from homespun.training.loop import train
from tests.training.process import TRAINING, Process


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.999, 1.0])
def test_it_is_the_recursion(decay: float) -> None:
    """Number by number: a share of 1 - decay, or while that is longer of a quarter of the way so far."""
    torch.manual_seed(0)
    model = nn.Linear(2, 2)
    average = WeightAverage(model, decay)
    expected = {name: parameter.flatten().tolist() for name, parameter in model.named_parameters()}
    for step in range(1, 60):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn(parameter.shape))
        average.follow(step)
        share = max(1 - decay, 1 / (step / 4 + 1))
        for name, parameter in model.named_parameters():
            now = parameter.flatten().tolist()
            expected[name] = [old + share * (new - old) for old, new in zip(expected[name], now, strict=True)]
    for name, tensor in average.tensors().items():
        torch.testing.assert_close(tensor.flatten(), torch.tensor(expected[name]), rtol=1e-5, atol=1e-5)


def test_weights_that_stand_still_are_their_own_average() -> None:
    model = nn.Linear(3, 2)
    average = WeightAverage(model, 0.9)
    for step in range(1, 20):
        average.follow(step)
    assert all(torch.equal(average.tensors()[name], parameter) for name, parameter in model.named_parameters())


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_ends_with_the_averages_and_trains_without_them(
    tmp_path: Path, tokenizer_file: Path, optimizer: str
) -> None:
    """Beside a run without an average: the same steps, and its weights after each, averaged by hand."""
    config = replace(TRAINING, optimizer=optimizer)
    plain = Process(tmp_path / "plain", tokenizer_file, config)
    averaged = Process(tmp_path / "averaged", tokenizer_file, replace(config, average_decay=0.8))
    expected = {name: parameter.detach().clone() for name, parameter in plain.model.named_parameters()}
    step_in_full = plain.optimizer.step

    def step_and_average(skip: torch.Tensor | None = None) -> None:
        step_in_full(skip)
        share = max(1 - 0.8, 1 / ((plain.run.state.step + 1) / 4 + 1))
        for name, parameter in plain.model.named_parameters():
            expected[name] += share * (parameter.detach() - expected[name])

    plain.optimizer.step = step_and_average  # type: ignore[method-assign]
    assert train(plain.run) and train(averaged.run)
    assert [record["loss"] for record in averaged.diary.records] == [record["loss"] for record in plain.diary.records]
    saved = read_tensors(list_checkpoints(tmp_path / "averaged")[-1] / "model.safetensors")
    last = read_tensors(list_checkpoints(tmp_path / "plain")[-1] / "model.safetensors")
    assert saved.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(saved[name], tensor, rtol=1e-5, atol=1e-6)
        assert not torch.equal(saved[name], last[name])


def test_the_last_loss_is_that_of_the_averages(tmp_path: Path, tokenizer_file: Path) -> None:
    process = Process(tmp_path, tokenizer_file, replace(TRAINING, average_decay=0.9))
    losses = []
    process.run.observer.concluded = lambda loss, state: losses.append(loss)  # type: ignore[method-assign]
    assert train(process.run)
    assert process.average is not None
    assert losses[-1] == process.run.validate("fp32")
    for name, parameter in process.model.named_parameters():
        assert torch.equal(parameter, process.average.averages[name])


def test_one_that_was_loaded_follows_as_before() -> None:
    torch.manual_seed(1)
    model, again = nn.Linear(4, 3), nn.Linear(4, 3)
    average, loaded = WeightAverage(model, 0.7), WeightAverage(again, 0.7)
    average.follow(1)
    loaded.load_tensors({name: tensor.clone() for name, tensor in average.tensors().items()})
    again.load_state_dict(model.state_dict())
    for step in (2, 3):
        with torch.no_grad():
            model.weight.mul_(0.5)
            again.weight.mul_(0.5)
        average.follow(step)
        loaded.follow(step)
    assert all(torch.equal(average.tensors()[name], tensor) for name, tensor in loaded.tensors().items())
