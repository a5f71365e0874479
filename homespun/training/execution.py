"""How a step is carried out on this machine, apart from what it computes: precision, kernels, compiling.

``Execution`` is a small record that is chosen once per run (``homespun.training.machine`` measures), kept with every
checkpoint, and applied here to a model that knows nothing of it. Another execution of the same step gives
the same numbers up to rounding, and the same execution the same bits.
"""

import functools
import subprocess
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from homespun.common.errors import UsageError
from homespun.layers.attention import use_attention
from homespun.layers.equal_part import EqualPart
from homespun.layers.experts import Experts
from homespun.layers.recurrence import use_recurrence
from homespun.models.settings import ModelConfig
from homespun.training.settings import TrainingConfig

# What compiled steps need besides the compiler: OpenMP, and Python's own headers, which are often a package apart.
PROBE = "#include <cmath>\n#include <omp.h>\n#include <Python.h>\nint threads() { return omp_get_max_threads(); }\n"


@dataclass(frozen=True)
class Execution:
    """One way to carry out a step.

    ``precision`` of matrix products (fp32, bf16), ``attention`` kernel, whether steps are ``compiled``, whether blocks
    are ``recomputed`` in the backward pass instead of keeping their activations, and processor ``threads``.
    """

    precision: str = "fp32"
    attention: str = "fused"
    compiled: bool = False
    recomputed: bool = False
    threads: int = 1

    @staticmethod
    def of(training: TrainingConfig) -> "Execution":
        """As configured; nothing may be ``auto`` any more."""
        return Execution(
            training.precision, training.attention, training.compile == "on", training.recompute, training.threads
        )

    def __str__(self) -> str:
        words = [self.precision, f"{self.attention} attention", "compiled" if self.compiled else "eager"]
        return ", ".join([*words, *(["recomputed blocks"] if self.recomputed else []), f"{self.threads} threads"])


def apply_to_model(model: nn.Module, execution: Execution) -> None:
    """Kernels and recomputation, in place; before the model is sharded or replicated."""
    use_attention(model, execution.attention)
    use_recurrence(model, execution.attention)
    if execution.recomputed:
        for module in model.modules():
            if isinstance(module, EqualPart):
                module.forward = functools.partial(recompute, module.forward)  # type: ignore[method-assign]


def recompute(forward, *inputs):  # as the forward that it stands for
    """Keep only the inputs of ``forward``; work its activations out again when the gradient needs them.

    Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost": about a third more operations.
    """
    if not torch.is_grad_enabled():
        return forward(*inputs)
    return checkpoint(forward, *inputs, use_reentrant=False)


def compile_step(objective: nn.Module) -> nn.Module:
    """The objective compiled for batches of one shape, in place: names of parameters stay what they are."""
    for module in objective.modules():
        if isinstance(module, Experts):  # how many rows each of them has changes from step to step
            module.forward = torch.compiler.disable(module.forward)  # type: ignore[method-assign]
    objective.compile(dynamic=False)
    return objective


def check_compiling(model: ModelConfig, training: TrainingConfig) -> None:
    """``UsageError`` if it is asked for where a compiler would unroll every position, or begin anew at most steps."""
    if training.compile == "on" and not model.one_shape:
        raise UsageError(
            f"training.compile is on, but the batches of {model.architecture} are of many lengths, and a compiled step "
            "fits one; leave it off"
        )
    kernels = model.kernels if training.attention == "auto" else (training.attention,)
    if training.compile == "on" and set(kernels) <= set(model.stepwise):
        raise UsageError(
            f"training.compile is on, but {model.architecture} goes through a text position by position, which nobody "
            "compiles in good time; leave it off"
        )


@functools.cache
def why_not_compile(device_type: str) -> str:
    """Why steps cannot be compiled here, in a few words; empty if they can. Nothing is run but the compiler itself."""
    if device_type == "cuda":
        try:
            import triton  # noqa: F401  # pyrefly: ignore
        except ImportError:
            return "triton is not installed"
        return ""
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        compiler = get_cpp_compiler()
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "try.cpp"
            source.write_text(PROBE)
            headers = f"-I{sysconfig.get_path('include')}"
            command = [compiler, "-fopenmp", headers, "-c", str(source), "-o", str(Path(folder) / "try.o")]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
    except subprocess.CalledProcessError as error:
        last = (error.stderr.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"])[-1]
        return f"the C++ compiler does not work ({last})"
    except Exception as error:  # PyTorch raises a class of its own, InvalidCxxCompiler, among others
        return f"no C++ compiler ({type(error).__name__}: install g++)"
    return ""
