"""A folder, a text in it, and the run that nobody disturbs, whose weights and result all others must end with."""

import dataclasses
import json
import random
import shlex
import shutil
import time
from pathlib import Path
from typing import Any

from measuring import tell

from homespun.common.files import sha256_of_file
from homespun.training.checkpoint import list_checkpoints
from reliability_questions.finetunes import BASE, command_of
from reliability_questions.moments import moment_of
from reliability_questions.session import finish, finished, start, wait_until

WORDS = "the of and to in a is that it was for on are as with his they at be this have from or one had by word but"
# A wide model that sees few tokens: a step takes about as long as writing the checkpoint does.
OPTIONS = {
    "model.width": 256, "model.layers": 2, "model.heads": 4, "model.context": 16, "tokenizer.vocabulary_size": 300,
    "training.steps": 60, "training.batch_size": 1, "training.optimizer": "adamw", "training.warmup_steps": 5,
    "training.evaluate_every": 30,
    "training.sample_every": 0, "training.log_every": 1, "training.precision": "fp32", "training.attention": "fused",
    "training.compile": "off", "training.threads": 1, "training.checkpoint_seconds": 0, "sampling.maximum_tokens": 4,
}  # fmt: skip


def write_text(path: Path) -> None:
    """Something to learn from, the same each time."""
    chance, words = random.Random(0), WORDS.split()
    path.write_text("\n".join(" ".join(chance.choices(words, k=12)) + "." for _ in range(400)), "utf-8")


def weights_of(run: Path) -> str:
    """SHA-256 of the newest checkpoint's weights."""
    return sha256_of_file(list_checkpoints(run / "checkpoints")[-1] / "model.safetensors")


MEASURED = {"seconds_training", "tokens_per_second", "peak_memory_bytes", "finished"}  # anew each time


def end_of(run: Path) -> dict[str, Any]:
    """What a run ends with: the weights of its newest checkpoint, and its result but for times and memory."""
    result = json.loads((run / "result.json").read_text("utf-8"))
    return {"weights": weights_of(run)} | {key: value for key, value in result.items() if key not in MEASURED}


@dataclasses.dataclass
class Bench:
    """A folder, a text in it, a run that nobody disturbed, and chance. ``lasted``: seconds of each of its moments."""

    folder: Path
    moments: random.Random
    command: list[str]
    seconds: float = 0.0
    wanted: str = ""
    wanted_end: dict[str, Any] = dataclasses.field(default_factory=dict)
    lasted: dict[str, float] = dataclasses.field(default_factory=dict)

    @staticmethod
    def build(folder: Path, seed: int, given: str = "", finetuned: str = "") -> "Bench":
        """``given``: another command; ``finetuned``: a kind of finetuning, of a base that is made first."""
        write_text(folder / "text.txt")
        options = OPTIONS | BASE if finetuned else OPTIONS
        told = [f"--{key}={value}" for key, value in options.items()]
        bench = Bench(folder, random.Random(seed), ["train", str(folder / "text.txt"), *told])
        if given:  # planned once, then exactly as planned
            finish([*shlex.split(given), "--out", str(folder / "planned")], folder / "planned.log")
            source = shlex.split(given)[1]
            config = str(folder / "planned" / "config.toml")
            bench.command = ["train", source, "--config", config, "--training.checkpoint-seconds=1"]
        if finetuned:
            finish(bench.begin("base"), folder / "base.log")
            bench.command = command_of(finetuned, folder, folder / "base")
        bench.watch("straight")
        bench.wanted, bench.wanted_end = weights_of(folder / "straight"), end_of(folder / "straight")
        tell(f"a run that nobody disturbs takes {bench.seconds:.1f} s")
        return bench

    def watch(self, name: str) -> None:
        """A run that nobody disturbs, and how long each of its moments lasts."""
        began, run, lasted = time.monotonic(), self.folder / name, self.lasted
        session, before = start(self.begin(name), self.log(name)), began

        def note() -> bool:
            nonlocal before
            now, moment = time.monotonic(), moment_of(run)
            lasted[moment] = lasted.get(moment, 0.0) + now - before
            before = now
            return False

        wait_until(note, session)
        finished(self.begin(name), session)
        self.seconds = time.monotonic() - began

    def begin(self, name: str) -> list[str]:
        return [*self.command, "--out", str(self.folder / name)]

    def go_on(self, name: str) -> list[str]:
        """Continue, or begin where nothing is: right for every moment."""
        there = (self.folder / name / "run.json").exists()
        return ["train", "--resume", str(self.folder / name)] if there else self.begin(name)

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def is_equal(self, name: str) -> bool:
        return weights_of(self.folder / name) == self.wanted

    def is_same_end(self, name: str) -> bool:
        """Weights and result."""
        return end_of(self.folder / name) == self.wanted_end

    def forget(self, name: str) -> None:
        shutil.rmtree(self.folder / name)


def last_step(run: Path) -> int:
    """The last step that the metrics tell of; 0 before the first."""
    try:
        return json.loads((run / "metrics.jsonl").read_text("utf-8").splitlines()[-1])["step"]
    except (OSError, ValueError, IndexError):
        return 0
