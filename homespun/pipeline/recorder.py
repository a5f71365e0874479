"""Watches the training loop and writes down what it sees: metrics, samples, the bar on the screen."""

from pathlib import Path
from typing import Any

from homespun.batches.next_token import NextTokenBatches
from homespun.common.files import explain_os_error
from homespun.common.progress import Reporter, Stage
from homespun.inference.engine import Engine
from homespun.inference.settings import SamplingConfig
from homespun.inference.stream import stream_text
from homespun.models.gpt import GPT
from homespun.pipeline.run_folder import RunFolder
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.checkpoint import TrainingState
from homespun.training.validation import ExactLoss

CHARACTERS_ON_SCREEN = 240


class Recorder:
    """An observer of the loop (``homespun.training.loop.Observer``); it never changes the run."""

    def __init__(
        self,
        run: RunFolder,
        model: GPT,
        tokenizer: Tokenizer,
        batches: NextTokenBatches,
        sampling: SamplingConfig,
        prompts: list[str],
        reporter: Reporter,
        stage: Stage,
    ) -> None:
        self.run = run
        self.model = model
        self.tokenizer = tokenizer
        self.batches = batches
        self.sampling = sampling
        self.prompts = prompts
        self.reporter = reporter
        self.stage = stage
        self.steps_shown = 0
        self.lines_lost = 0
        self.validation: ExactLoss | None = None
        self.smooth_speed = 0.0

    def trained(self, record: dict[str, Any], state: TrainingState) -> None:
        self.write_down(self.run.metrics, {"kind": "train"} | record | where(state))
        speed = record["tokens_per_second"]
        self.smooth_speed = speed if not self.smooth_speed else 0.8 * self.smooth_speed + 0.2 * speed
        self.stage.resize(state.total)
        bits = f", validation {self.validation.bits_per_byte:.3f} bits/byte" if self.validation else ""
        self.stage.tell(f"loss {record['loss']:.3f}{bits}, {self.smooth_speed:,.0f} tokens/s")
        self.stage.advance(state.step - self.steps_shown)
        self.steps_shown = state.step

    def validated(self, loss: ExactLoss, state: TrainingState) -> None:
        self.validation = loss
        self.write_down(
            self.run.metrics,
            {"kind": "validation", "loss": loss.loss, "bits_per_byte": loss.bits_per_byte} | where(state),
        )

    def sampled(self, state: TrainingState) -> None:
        """Write a short text from each prompt; show the first."""
        for number, prompt in enumerate(self.prompts):
            text = self.write(prompt)
            self.write_down(
                self.run.samples,
                {"prompt": prompt, "text": text, "temperature": self.sampling.temperature} | where(state),
            )
            if number == 0:
                title = f"step {state.step:,} ({state.step / max(1, state.total):.0%})"
                self.reporter.sample(title, prompt, text[:CHARACTERS_ON_SCREEN])

    def write_down(self, file: Path, record: dict[str, Any]) -> None:
        """One more line; a disk that is full costs a warning and the line, never the training."""
        try:
            self.run.append(file, record)
        except OSError as error:
            if not self.lines_lost:
                self.reporter.warn(f"{explain_os_error(error, 'cannot write')}; training goes on")
            self.lines_lost += 1

    def write(self, prompt: str) -> str:
        """What the model writes now."""
        was_training = self.model.training
        pieces = stream_text(Engine(self.model), self.tokenizer, prompt, self.sampling)
        text = "".join(pieces)
        self.model.train(was_training)
        return text


def where(state: TrainingState) -> dict[str, Any]:
    """The entries that every record of a run has."""
    return {"step": state.step, "tokens": state.tokens, "seconds": round(state.seconds, 3)}
