"""Watches the training loop and writes down what it sees: metrics, samples, the bar on the screen."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from torch import nn

from homespun.common.files import explain_os_error
from homespun.common.progress import Reporter, Stage
from homespun.pipeline.run_folder import RunFolder
from homespun.pipeline.sinks import Sink
from homespun.training.checkpoint import TrainingState
from homespun.training.validation import ExactLoss

CHARACTERS_ON_SCREEN = 240
WARNINGS_OF_SKIPPED_STEPS = 5


class Recorder:
    """An observer of the loop (``homespun.training.loop.Observer``); it never changes the run."""

    def __init__(
        self,
        run: RunFolder,
        model: Callable[[], nn.Module | None],
        write: Callable[[nn.Module, str], str],
        prompts: list[str],
        unit: str,
        temperature: float,
        reporter: Reporter,
        stage: Stage,
        sinks: Sequence[Sink] = (),
        baseline: Mapping[str, float] = MappingProxyType({}),
        keeps_best: bool = False,
    ) -> None:
        self.run = run
        self.model = model
        self.write = write
        self.prompts = prompts
        self.unit = unit
        self.temperature = temperature
        self.reporter = reporter
        self.stage = stage
        self.sinks = sinks
        self.baseline = baseline
        self.keeps_best = keeps_best
        self.steps_shown = 0
        self.lines_lost = 0
        self.validation: ExactLoss | None = None
        self.smooth_speed = 0.0
        self.final: dict[str, bool] = {}  # what is written after the last checkpoint says so

    def trained(self, record: dict[str, Any], state: TrainingState) -> None:
        self.measured({"kind": "train"} | record | where(state))
        speed = record["tokens_per_second"]
        self.smooth_speed = speed if not self.smooth_speed else 0.8 * self.smooth_speed + 0.2 * speed
        self.stage.resize(state.total)
        measured = f", validation {in_words(self.validation)}" if self.validation else ""
        self.stage.tell(f"loss {record['loss']:.3f}{measured}, {self.smooth_speed:,.0f} {self.unit}/s")
        self.stage.advance(state.step - self.steps_shown)
        self.steps_shown = state.step

    def validated(self, loss: ExactLoss, state: TrainingState) -> None:
        self.validation = loss
        bits = {} if loss.bits_per_byte is None else {"bits_per_byte": loss.bits_per_byte}
        found = {"kind": "validation", "loss": loss.loss} | bits | loss.measures
        self.measured(found | dict(self.baseline) | where(state) | self.final)

    def concluded(self, loss: ExactLoss, state: TrainingState) -> None:
        """The last word is of the last step, or of an earlier one: that is no point of the curve."""
        self.final = {"final": True}
        if not self.keeps_best:
            self.validated(loss, state)
            return
        self.validation = loss
        self.measured({"kind": "kept", "loss": loss.loss, "kept_step": state.best_at} | where(state) | self.final)

    def skipped(self, record: dict[str, Any], state: TrainingState) -> None:
        """A step that changed nothing; numbers that JSON has no word for are written as text."""
        told = {key: value if math.isfinite(value) else str(value) for key, value in record.items()}
        self.measured({"kind": "skipped"} | where(state) | told)
        if state.skipped <= WARNINGS_OF_SKIPPED_STEPS:
            loss, norm = f"loss {record['loss']:.3g}", f"gradient norm {record['gradient_norm']:.3g}"
            self.reporter.warn(f"step {record['step']:,} was skipped: {loss}, {norm} (batch {record['batch']:,})")

    def rolled_back(self, reason: str, state: TrainingState) -> None:
        """The run goes on from an earlier step; the records of what lies ahead again are dropped."""
        self.run.forget_after(state.step)
        self.measured({"kind": "rolled_back", "reason": reason} | where(state))
        self.reporter.warn(f"{reason}; back to step {state.step:,}, at half the learning rate")
        self.stage.advance(state.step - self.steps_shown)
        self.steps_shown = state.step

    def sampled(self, state: TrainingState) -> None:
        """Write a short text from each prompt; show the first."""
        model = self.model()
        assert model is not None
        for number, prompt in enumerate(self.prompts):
            text = self.written(model, prompt)
            self.write_down(
                self.run.samples,
                {"prompt": prompt, "text": text, "temperature": self.temperature} | where(state) | self.final,
            )
            if number == 0:
                title = f"step {state.step:,} ({state.step / max(1, state.total):.0%})"
                self.reporter.sample(title, prompt, text[:CHARACTERS_ON_SCREEN])

    def measured(self, record: dict[str, Any]) -> None:
        """One more line of ``metrics.jsonl``, and the same to every sink."""
        self.write_down(self.run.metrics, record)
        for sink in self.sinks:
            sink.log(record)

    def write_down(self, file: Path, record: dict[str, Any]) -> None:
        """One more line; a disk that is full costs a warning and the line, never the training."""
        try:
            self.run.append(file, record)
        except OSError as error:
            if not self.lines_lost:
                self.reporter.warn(f"{explain_os_error(error, 'cannot write')}; training goes on")
            self.lines_lost += 1

    def written(self, model: nn.Module, prompt: str) -> str:
        """What the model writes now."""
        was_training = model.training
        text = self.write(model, prompt)
        model.train(was_training)
        return text


class Bystander:
    """The observer of every process but the first: it only helps to bring a sharded model together for a sample."""

    def __init__(self, model: Callable[[], nn.Module | None]) -> None:
        self.model = model

    def trained(self, record: dict[str, Any], state: TrainingState) -> None: ...

    def skipped(self, record: dict[str, Any], state: TrainingState) -> None: ...

    def rolled_back(self, reason: str, state: TrainingState) -> None: ...

    def validated(self, loss: ExactLoss, state: TrainingState) -> None: ...

    def concluded(self, loss: ExactLoss, state: TrainingState) -> None: ...

    def sampled(self, state: TrainingState) -> None:
        self.model()


def in_words(found: ExactLoss) -> str:
    """What is said of a validation while training goes on."""
    if found.bits_per_byte is not None:
        return f"{found.bits_per_byte:.3f} bits/byte"
    told = (f"{name} {value:{'.1%' if name.endswith('accuracy') else '.3f'}}" for name, value in found.measures.items())
    return ", ".join([f"{found.loss:.3f}", *told])


def where(state: TrainingState) -> dict[str, Any]:
    """The entries that every record of a run has."""
    return {"step": state.step, "tokens": state.tokens, "seconds": round(state.seconds, 3)}
