"""The optimizers as one: who moves what, skipped steps, rates, state as tensors, parameters spread over processes."""

import math
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed
from torch import nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from homespun.common.errors import DamagedFileError, UsageError
from homespun.models.gpt import GPT
from homespun.models.settings import GPTConfig
from homespun.training.muon import POLAR_EXPRESS
from homespun.training.optimizer import Optimizers, build_optimizer, hidden_matrices
from homespun.training.settings import TrainingConfig

BOTH = pytest.mark.parametrize("name", ["adamw", "muon"])


def model_of(seed: int = 0, **values: object) -> GPT:
    torch.manual_seed(seed)
    sizes = {"vocabulary_size": 30, "context": 9, "layers": 2, "width": 16, "heads": 2, "value_embeddings": 1}
    return GPT(GPTConfig(**sizes | values))  # type: ignore[arg-type]


def config_of(name: str, **values: object) -> TrainingConfig:
    return TrainingConfig(optimizer=name, precision="fp32", **values)  # type: ignore[arg-type]


def set_gradients(model: nn.Module, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def steps(optimizer: Optimizers, model: nn.Module, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        set_gradients(model, number)
        optimizer.step()


def copies(model: nn.Module, optimizer: Optimizers) -> dict[str, torch.Tensor]:
    return {name: t.detach().clone() for name, t in (dict(model.named_parameters()) | optimizer.tensors()).items()}


@BOTH
def test_every_parameter_that_learns_is_in_one_group_and_frozen_ones_in_none(name: str) -> None:
    model = model_of()
    model.token_embedding.weight.requires_grad_(False)
    model.blocks[0].attention.output.weight.requires_grad_(False)
    optimizer = build_optimizer(model, config_of(name))
    listed = [parameter for group in optimizer.groups for parameter in group["params"]]
    assert len(listed) == len(set(listed))
    assert set(listed) == {parameter for parameter in model.parameters() if parameter.requires_grad}


def test_muon_moves_the_matrices_of_the_blocks_and_adamw_the_rest() -> None:
    model = model_of(tied_embeddings=False, positions="learned", biases=True, normalization="layer")
    blocks = {p for name, p in model.named_parameters() if name.startswith("blocks.") and p.dim() == 2}
    assert set(hidden_matrices(model)) == blocks
    adamw, muon = build_optimizer(model, config_of("muon")).parts
    assert set(muon.state) == blocks
    assert set(adamw.state) == set(model.parameters()) - blocks


@BOTH
def test_weights_decay_only_in_matrices(name: str) -> None:
    model = model_of(positions="learned", normalization="layer", biases=True)
    optimizer = build_optimizer(model, config_of(name, weight_decay=0.5, learning_rate=0.1))
    for parameter in model.parameters():
        nn.init.constant_(parameter, 1.0)
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for label, parameter in model.named_parameters():
        expected = 1 - 0.1 * 0.5 if parameter.dim() >= 2 else 1.0
        assert bool((parameter == expected).all()), label


@BOTH
def test_a_share_is_of_the_highest_rate_of_every_group(name: str) -> None:
    optimizer = build_optimizer(model_of(), config_of(name, learning_rate=0.5))
    for share in (0.25, 1.0, 0.0, 0.5):
        optimizer.set_share(share)
        assert [group["lr"] for group in optimizer.groups] == [0.5 * share] * len(optimizer.groups)


@BOTH
@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("poison", [math.nan, math.inf, 1.0])
def test_a_skipped_step_changes_nothing_and_the_next_goes_on(name: str, before: int, poison: float) -> None:
    model, undisturbed = model_of(), model_of()
    optimizer, reference = build_optimizer(model, config_of(name)), build_optimizer(undisturbed, config_of(name))
    steps(optimizer, model, before)
    steps(reference, undisturbed, before)
    old = copies(model, optimizer)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, poison)
    optimizer.step(skip=torch.ones(()))
    new = copies(model, optimizer)
    assert [label for label in old if not torch.equal(old[label], new[label])] == []
    set_gradients(model, 7)
    optimizer.step(skip=torch.zeros(()))
    steps(reference, undisturbed, 1, first=7)
    expected = copies(undisturbed, reference)
    for label, tensor in copies(model, optimizer).items():
        torch.testing.assert_close(tensor, expected[label], rtol=1e-6, atol=1e-7, msg=lambda m, n=label: f"{n}: {m}")


@BOTH
def test_gradients_are_forgotten(name: str) -> None:
    model = model_of()
    optimizer = build_optimizer(model, config_of(name))
    set_gradients(model, 0)
    optimizer.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


@BOTH
@pytest.mark.parametrize("before", [0, 3])
def test_tensors_there_and_back_give_the_same_next_steps(name: str, before: int) -> None:
    model, copy = model_of(), model_of(seed=5)
    optimizer, fresh = build_optimizer(model, config_of(name)), build_optimizer(copy, config_of(name))
    steps(optimizer, model, before)
    steps(fresh, copy, 2)
    copy.load_state_dict(model.state_dict())
    fresh.load_tensors({label: tensor.clone() for label, tensor in optimizer.tensors().items()})
    steps(optimizer, model, 3, first=before)
    steps(fresh, copy, 3, first=before)
    ours, theirs = copies(model, optimizer), copies(copy, fresh)
    assert ours.keys() == theirs.keys()
    assert [label for label in ours if not torch.equal(ours[label], theirs[label])] == []


def test_tensors_are_named_after_parameters() -> None:
    names = build_optimizer(model_of(), config_of("muon")).tensors().keys()
    assert "blocks.1.attention.query_key_value.weight/momentum" in names
    assert {f"token_embedding.weight/{field}" for field in ("step", "exp_avg", "exp_avg_sq")} <= names
    parameters = {name for name, _ in model_of().named_parameters()}
    assert {name.rsplit("/", 1)[0] for name in names} == parameters


def test_a_state_of_something_else_is_refused_by_name_and_nothing_is_loaded() -> None:
    optimizer = build_optimizer(model_of(), config_of("muon"))
    good, label = optimizer.tensors(), "blocks.0.feedforward.output.weight/momentum"
    before = {name: tensor.clone() for name, tensor in good.items()}
    loaded = {name: torch.ones_like(tensor) for name, tensor in good.items()}
    for wrong, says in (
        ({name: tensor for name, tensor in loaded.items() if name != label}, "lacks"),
        (loaded | {label: torch.ones(3, 3)}, "shape"),
        (loaded | {"elsewhere/momentum": torch.ones(1)}, "elsewhere/momentum"),
        (build_optimizer(model_of(), config_of("adamw")).tensors(), "blocks.0"),
    ):
        with pytest.raises(DamagedFileError, match=says) as raised:
            optimizer.load_tensors(wrong)
        assert "\n" not in str(raised.value)
        assert all(torch.equal(before[name], tensor) for name, tensor in optimizer.tensors().items())
    optimizer.load_tensors(loaded)
    assert all(bool((tensor == 1).all()) for tensor in optimizer.tensors().values())


def test_rounds_are_as_many_as_asked_for() -> None:
    for count in (1, 3, 5):
        _, muon = build_optimizer(model_of(), config_of("muon", orthogonal_rounds=count)).parts
        assert muon.rounds == POLAR_EXPRESS[:count]
    for count in (0, 6):
        with pytest.raises(UsageError, match=r"training\.orthogonal_rounds"):
            TrainingConfig(orthogonal_rounds=count)


@pytest.mark.parametrize("value", [-0.1, 1.5, math.nan])
def test_momentum_out_of_range_is_one_line(value: float) -> None:
    with pytest.raises(UsageError, match=r"training\.momentum"):
        TrainingConfig(momentum=value)


# ----------------------------------------------------------------------- parameters spread over processes


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[DeviceMesh]:
    """A group of this process alone: the same code paths as with many."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield torch.distributed.init_device_mesh("cpu", (1,))
    torch.distributed.destroy_process_group()


def spread_steps(mesh: DeviceMesh, name: str, rank_and_size: str = "") -> tuple[dict[str, torch.Tensor], Optimizers]:
    """Five steps, one of them skipped, of a model whose parameters are spread by rows; all of the result."""
    model = model_of()
    for module in model.modules():
        for label, parameter in list(module.named_parameters(recurse=False)):
            spread = distribute_tensor(parameter.detach(), mesh, [Shard(0)])
            module.register_parameter(label, nn.Parameter(spread))
    model.head.weight = model.token_embedding.weight
    optimizer = build_optimizer(model, config_of(name))
    whole = model_of()
    for number in range(5):
        set_gradients(whole, number)
        for parameter, like in zip(model.parameters(), whole.parameters(), strict=True):
            parameter.grad = distribute_tensor(like.grad, mesh, [Shard(0)])
        optimizer.step(skip=torch.tensor(float(number == 2)))
    tensors = dict(model.named_parameters()) | optimizer.tensors()
    return {
        label: (t.full_tensor() if isinstance(t, DTensor) else t).detach().clone() for label, t in tensors.items()
    }, optimizer


def plain_steps(name: str) -> dict[str, torch.Tensor]:
    model = model_of()
    optimizer = build_optimizer(model, config_of(name))
    for number in range(5):
        set_gradients(model, number)
        optimizer.step(skip=torch.tensor(float(number == 2)))
    return copies(model, optimizer)


@BOTH
def test_spread_parameters_take_the_same_steps(name: str, mesh: DeviceMesh) -> None:
    expected, (found, optimizer) = plain_steps(name), spread_steps(mesh, name)
    assert expected.keys() == found.keys()
    for label in expected:
        torch.testing.assert_close(found[label], expected[label], msg=lambda m, n=label: f"{n}: {m}")
    # A state that was saved by one process is spread as the parameters are.
    state = {label: tensor + 1 for label, tensor in expected.items() if "/" in label}
    optimizer.load_tensors(state)
    for label, tensor in optimizer.tensors().items():
        assert isinstance(tensor, DTensor) == (not label.endswith("/step"))
        assert torch.equal(tensor.full_tensor() if isinstance(tensor, DTensor) else tensor, state[label])
