"""Blocks divided among two processes do what whole ones do: the same losses, gradients and weights."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor

from homespun.batches.batch import Batch
from homespun.common.errors import UsageError
from homespun.models.arithmetic import parameter_count
from homespun.models.registry import build_model
from homespun.models.settings import SETTINGS, GPTConfig, ModelConfig
from homespun.training.division import divide_blocks
from homespun.training.execution import Execution, apply_to_model
from homespun.training.gradients import limit_gradients
from homespun.training.losses import NextToken
from homespun.training.memory import training_memory
from homespun.training.optimizer import build_optimizer
from homespun.training.parallel import check_blocks
from homespun.training.precision import autocast
from homespun.training.settings import TrainingConfig
from homespun.training.sharding import local, whole
from homespun.training.world import World
from tests.training.parallel.processes import Processes

SMALL = GPTConfig(vocabulary_size=61, context=12, layers=2, width=24, heads=4, head_width=10)
GPT2 = {
    "feedforward": "gelu",
    "positions": "learned",
    "normalization": "layer",
    "biases": True,
    "query_key_norm": False,
}
SHAPES: dict[str, dict[str, Any]] = {
    "qwen3": {},
    "gpt2": GPT2,
    "gpt1": GPT2 | {"norm_order": "post"},
    "qwen2": {"query_key_value_biases": True, "query_key_norm": False},
    "layer norm of heads, with biases": {"normalization": "layer", "biases": True},
    "speed": {"feedforward": "relu2", "value_embeddings": 2, "logit_softcap": 15.0, "tied_embeddings": False},
    "banded": {"window": 4, "window_every": 2, "key_value_heads": 4},
}
EXECUTIONS = {
    "eager": Execution(),
    "explicit attention": Execution(attention="explicit"),
    "recomputed": Execution(recomputed=True),
}
CPU = torch.device("cpu")


def new_model(config: ModelConfig) -> nn.Module:
    """The same numbers each time; also those that a new model has at zero."""
    torch.manual_seed(0)
    model = build_model(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.05)
    return model


def batch_of(config: GPTConfig, seed: int = 1) -> Batch:
    tokens = torch.randint(config.vocabulary_size, (3, 13), generator=torch.Generator().manual_seed(seed))
    return Batch(tokens[:, :-1], tokens[:, 1:])


def divided(config: ModelConfig, world: World) -> nn.Module:
    model = new_model(config)
    divide_blocks(model, init_device_mesh("cpu", (world.size,)))
    return model


def differences(world: World, config: GPTConfig, execution: Execution) -> dict[str, float]:
    """How far the divided model is from the whole one: loss, gradient norm, and gradients, by name."""
    losses, norms, gradients = [], [], []
    for model in (new_model(config), divided(config, world)):
        apply_to_model(model, execution)
        for seed in (1, 2):  # two micro-batches
            with autocast(CPU, execution.precision):
                loss, _ = NextToken().loss(model, batch_of(config, seed))
            loss.backward()
        losses.append(loss.detach())
        gradients.append({name: whole(parameter.grad) for name, parameter in model.named_parameters()})
        norms.append(limit_gradients(model, 0.0))
    found = {"loss": float((losses[0] - losses[1]).abs()), "norm": float((norms[0] - norms[1]).abs())}
    first, second = gradients
    assert first.keys() == second.keys() and all(gradient.any() for gradient in first.values())
    return found | {name: float((first[name] - second[name]).abs().max()) for name in first}


@pytest.mark.parametrize("execution", EXECUTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_loss_and_gradients_are_those_of_the_whole_model(shape: str, execution: str, pair: Processes) -> None:
    for found in pair.call(differences, replace(SMALL, **SHAPES[shape]), EXECUTIONS[execution]):
        assert max(found.values()) < 3e-5, found


def test_in_half_numbers_they_are_the_same_up_to_rounding(pair: Processes) -> None:
    for found in pair.call(differences, SMALL, Execution("bf16")):
        assert found["loss"] < 0.5 and found["norm"] < 0.5, found


def bytes_held(world: World, config: GPTConfig, training: TrainingConfig) -> tuple[int, int]:
    """Of weights and of moments, in this process."""
    model = divided(config, world)
    optimizer = build_optimizer(model, training)
    moments = [tensor for tensor in optimizer.tensors().values() if tensor.dim()]
    storages = [{local(t).untyped_storage() for t in some} for some in (list(model.parameters()), moments)]
    weights, kept = (sum(storage.nbytes() for storage in some) for some in storages)
    return weights, kept


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_process_holds_as_much_as_is_estimated(shape: str, optimizer: str, pair: Processes) -> None:
    config, training = replace(SMALL, **SHAPES[shape]), TrainingConfig(optimizer=optimizer)  # pyrefly: ignore
    memory = training_memory(config, training, 1, parts=2)
    assert memory.weights == 4 * parameter_count(config.part_of(2))
    for found in pair.call(bytes_held, config, training):
        assert found == (memory.weights, memory.moments)


def test_of_a_deep_model_a_process_holds_nearly_half(pair: Processes) -> None:
    config, training = replace(SMALL, layers=12, width=64, heads=4, head_width=0), TrainingConfig()
    for weights, moments in pair.call(bytes_held, config, training):
        assert weights < 0.51 * 4 * parameter_count(config)
        assert moments < 0.52 * training_memory(config, training, 1).moments


def kept_activations(world: World, config: GPTConfig) -> int:
    """Bytes that autograd keeps of a forward pass, parameters apart."""
    model = divided(config, world) if world.size > 1 else build_model(config.part_of(2))
    own = {local(tensor).untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = local(tensor).untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        hidden = model.hidden(batch_of(config).inputs)
        assert hidden.requires_grad
        return sum(kept.values())


def test_it_keeps_the_activations_of_a_model_of_its_part(pair: Processes) -> None:
    wanted = kept_activations(World(), SMALL)
    for found in pair.call(kept_activations, SMALL):
        assert found == pytest.approx(wanted, rel=0.02)


def weights_after_steps(world: World, config: GPTConfig, training: TrainingConfig) -> dict[str, torch.Tensor]:
    """What this process holds of each parameter that all have whole, and all of the others."""
    model = divided(config, world).train()
    optimizer = build_optimizer(model, training)
    for step in range(5):
        torch.manual_seed(step)
        loss, _ = NextToken().loss(model, batch_of(config, step))
        loss.backward()
        limit_gradients(model, 1.0)
        optimizer.step(torch.zeros(()))
        optimizer.zero_grad()
    assert any(isinstance(parameter, DTensor) for parameter in model.parameters())
    return {name: whole(parameter.detach()).clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_with_dropout_the_processes_stay_the_same_to_the_last_bit(optimizer: str, pair: Processes) -> None:
    training = TrainingConfig(optimizer=optimizer, precision="fp32")  # pyrefly: ignore
    first, second = pair.call(weights_after_steps, replace(SMALL, dropout=0.2, biases=True), training)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("architecture", [name for name in SETTINGS if name != "gpt"])
def test_other_architectures_are_refused_in_one_line(architecture: str) -> None:
    model, training = SETTINGS[architecture](), TrainingConfig(parallel="tensor")
    check_blocks(model, training, World())
    with pytest.raises(UsageError) as raised:
        check_blocks(model, training, World(0, 2))
    line = f"training.parallel is tensor, but the layers of {architecture} are not made for it; take another way"
    assert str(raised.value).startswith(line) and "\n" not in str(raised.value)


def test_groups_must_be_of_one_size() -> None:
    training = TrainingConfig(parallel="tensor", tensor_size=2)
    check_blocks(SMALL, training, World(0, 4))
    with pytest.raises(UsageError, match=r"training\.tensor_size 2 does not divide the 3 processes"):
        check_blocks(SMALL, training, World(0, 3))
    assert [training.parts_of_block(processes) for processes in (1, 2, 8)] == [1, 2, 2]
    assert replace(training, parallel="sharded").parts_of_block(8) == 1
