"""How a step is carried out changes how fast it is and what it holds, never what it computes beyond rounding."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from homespun.batches.batch import Batch
from homespun.common.errors import UsageError
from homespun.models.registry import build_model
from homespun.models.settings import GPTConfig, LSTMConfig, ModelConfig, RWKVConfig
from homespun.training.execution import Execution, apply_to_model, check_compiling, compile_step, why_not_compile
from homespun.training.losses import NextToken, Objective
from homespun.training.settings import TrainingConfig
from tests.training.process import batch_number

CONFIG = GPTConfig(
    vocabulary_size=32, context=8, layers=2, width=32, heads=4, key_value_heads=2, value_embeddings=1, logit_softcap=9.0
)
BATCH = batch_number(3)


def objective_of(execution: Execution = Execution(), config: ModelConfig = CONFIG) -> Objective:
    torch.manual_seed(0)
    model = build_model(config)
    apply_to_model(model, execution)
    return Objective(model, NextToken())


def loss_and_gradients(objective: nn.Module, batch: Batch = BATCH, seed: int = 7) -> dict[str, torch.Tensor]:
    """The loss under ``loss`` and each parameter's gradient under its name."""
    torch.manual_seed(seed)  # dropout
    objective.zero_grad()
    total, count = objective(batch)
    (total / count).backward()
    gradients = {name: parameter.grad.clone() for name, parameter in objective.named_parameters()}
    return {"loss": total.detach(), **gradients}


def close(ours: dict[str, torch.Tensor], theirs: dict[str, torch.Tensor]) -> None:
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-4, atol=1e-5, msg=lambda text, n=name: f"{n}: {text}")


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("attention", ["fused", "explicit"])
def test_recomputed_blocks_give_the_same_bits(dropout: float, attention: str) -> None:
    config = replace(CONFIG, dropout=dropout)
    plain = loss_and_gradients(objective_of(Execution(attention=attention), config))
    recomputed = loss_and_gradients(objective_of(Execution(attention=attention, recomputed=True), config))
    assert all(torch.equal(recomputed[name], tensor) for name, tensor in plain.items())
    if dropout:  # or it was not there to be remembered
        assert plain["loss"] != loss_and_gradients(objective_of(Execution(attention=attention), config), seed=8)["loss"]


def numbers_kept(objective: nn.Module) -> int:
    """How many numbers forward leaves for backward."""
    kept: list[int] = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        objective(BATCH)
    return sum(kept)


def test_recomputed_blocks_keep_little_and_run_twice() -> None:
    deep = replace(CONFIG, layers=8)
    plain, recomputed = objective_of(Execution(), deep), objective_of(Execution(recomputed=True), deep)
    assert numbers_kept(recomputed) < numbers_kept(plain) / 3
    for objective, times in ((plain, 1), (recomputed, 2)):
        calls: list[int] = []
        objective.model.blocks[3].attention_norm.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        loss_and_gradients(objective)
        assert len(calls) == times
        with torch.no_grad():
            objective(BATCH)
        assert len(calls) == times + 1  # nothing is worked out again where nobody asks for a gradient


RECURRENT = [LSTMConfig(vocabulary_size=32, context=8, layers=2, width=32),
             RWKVConfig(vocabulary_size=32, context=8, layers=2, width=32, head_width=16)]  # fmt: skip


@pytest.mark.parametrize("config", [CONFIG, *RECURRENT], ids=lambda config: config.architecture)
def test_explicit_kernels_are_the_fused_ones(config: ModelConfig) -> None:
    fused = objective_of(Execution(attention="fused"), config)
    explicit = objective_of(Execution(attention="explicit"), config)
    ours, theirs = loss_and_gradients(explicit), loss_and_gradients(fused)
    close(ours, theirs)
    assert any(not torch.equal(ours[name], theirs[name]) for name in theirs)  # it is another kernel


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")  # PyTorch's own, at the import of its compiler
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # after experts
@pytest.mark.parametrize("experts", [0, 3])
def test_a_compiled_step_is_the_eager_one(experts: int) -> None:
    if reason := why_not_compile("cpu"):
        pytest.skip(f"nothing can be compiled here: {reason}")
    small = GPTConfig(vocabulary_size=32, context=8, layers=1, width=16, heads=1, experts=experts, expert_width=32)
    eager, compiled = objective_of(config=small), compile_step(objective_of(config=small))
    for number in (1, 2):
        batch = batch_number(number)
        close(loss_and_gradients(compiled, batch), loss_and_gradients(eager, batch))
    frames = torch._dynamo.utils.counters["frames"]
    assert frames["ok"] >= 1  # it was compiled, not passed through


@pytest.mark.parametrize(
    ("config", "attention", "refused"),
    [
        (CONFIG, "explicit", False),
        (RECURRENT[0], "auto", True),
        (RECURRENT[0], "fused", True),
        (RECURRENT[1], "auto", False),
        (RECURRENT[1], "explicit", True),
    ],
)
def test_a_walk_by_positions_is_not_compiled(config: ModelConfig, attention: str, refused: bool) -> None:
    check_compiling(config, TrainingConfig(compile="auto", attention=attention))  # type: ignore[arg-type]
    asked = TrainingConfig(compile="on", attention=attention)  # type: ignore[arg-type]
    if not refused:
        check_compiling(config, asked)
        return
    with pytest.raises(UsageError, match=r"training\.compile is on.*position by position"):
        check_compiling(config, asked)


@pytest.fixture
def no_compiler() -> Iterator[str]:
    """As if CXX named a program that is not there; PyTorch reads the variable when it is imported."""
    import torch._inductor.config

    nowhere = "/nowhere/c++"
    why_not_compile.cache_clear()
    with torch._inductor.config.patch({"cpp.cxx": (None, nowhere)}):
        yield nowhere
    why_not_compile.cache_clear()


def test_without_a_compiler_it_says_so(no_compiler: str) -> None:
    reason = why_not_compile("cpu")
    assert "no C++ compiler" in reason and "install g++" in reason and "\n" not in reason


def test_a_compiler_that_fails_is_quoted_in_a_line(tmp_path: Path) -> None:
    import torch._inductor.config

    broken = tmp_path / "c++"
    broken.write_text(
        '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho first >&2\necho "cannot find -lgomp" >&2\nexit 1\n'
    )
    broken.chmod(0o755)
    assert subprocess.run([broken, "--version"], check=False).returncode == 0
    why_not_compile.cache_clear()
    with torch._inductor.config.patch({"cpp.cxx": (None, str(broken))}):
        assert why_not_compile("cpu") == "the C++ compiler does not work (cannot find -lgomp)"
    why_not_compile.cache_clear()


def test_an_execution_is_what_the_configuration_says_and_reads_well() -> None:
    training = TrainingConfig(precision="bf16", attention="explicit", compile="on", recompute=True, threads=3)
    assert Execution.of(training) == Execution("bf16", "explicit", True, True, 3)
    assert str(Execution.of(training)) == "bf16, explicit attention, compiled, recomputed blocks, 3 threads"
    assert str(Execution()) == "fp32, fused attention, eager, 1 threads"
