"""nanoGPT's side: a checkout that the reader brought in, a curve out; its own ``train.py`` and its README's options.

``train.py`` runs as a program. Its seconds per step are those of its own log (``iter 7: loss …, time 21.50ms``: from
one line to the next, all that lies between). Its own validation losses are estimates from a few random windows, so
each checkpoint it writes is put aside and measured afterwards, with its own ``model.py``, over the whole split
(``nanogpt_exact_loss.py``). A step whose line also holds an evaluation counts as a median step.

Its seed is a number in ``train.py``, no option. ``seed`` 1 is that file as it is (1337); for 2, 3 … a copy is made in
which 1338, 1339 … stands for this number and nothing else is changed.
"""

import contextlib
import itertools
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from homespun.common.errors import HomespunError, UsageError
from pretraining.curve import Curve, Point

CONFIG = "config/train_shakespeare_char.py"
NEEDED = ("train.py", "model.py", "configurator.py", CONFIG)
CONTEXT, BATCH_SIZE, LAYERS, HEADS, WIDTH = 64, 12, 4, 4, 128  # its README, "I only have a macbook"
RECIPE_STEPS = 2000
WARMUP_STEPS = 100  # of CONFIG; the schedule divides by (steps - warm-up)
SEED_LINE, FIRST_SEED = "torch.manual_seed(1337 + seed_offset)", 1337
POLL_SECONDS = 0.25
LOG_EVENT = re.compile(r"^(?:step (\d+): train loss|(saving checkpoint)|iter (\d+): loss \S+, time ([\d.]+)ms)")


def check_checkout(folder: Path) -> None:
    """Everything that will be run is there."""
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        raise UsageError(f"--nanogpt {folder} is not a checkout of nanoGPT: it has no {missing[0]}")


def commit_of(folder: Path) -> str | None:
    """The commit that is checked out, if git knows it."""
    with contextlib.suppress(OSError):
        found = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
        )
        return found.stdout.strip() or None
    return None


def with_seed(checkout: Path, seed: int, folder: Path) -> Path:
    """The checkout itself for seed 1; else a copy in ``folder`` with another number for its seed."""
    if seed == 1:
        return checkout
    program = (checkout / "train.py").read_text("utf-8")
    if program.count(SEED_LINE) != 1:
        raise HomespunError(f"{checkout}/train.py has no line {SEED_LINE!r}: only --seeds 1 can be run")
    copy = folder / f"nanogpt-seed-{seed}"
    for name in NEEDED:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(checkout / name, copy / name)
    line = SEED_LINE.replace(str(FIRST_SEED), str(FIRST_SEED + seed - 1))
    (copy / "train.py").write_text(program.replace(SEED_LINE, line), "utf-8")
    return copy


def options(data: Path, out: Path, steps: int, interval: int) -> list[str]:
    """The README's options for a processor, then where to read and write, and checkpoints at every evaluation."""
    values = {
        "device": "cpu", "compile": False, "eval_iters": 20, "log_interval": 1,
        "block_size": CONTEXT, "batch_size": BATCH_SIZE, "n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH,
        "max_iters": steps, "lr_decay_iters": steps, "dropout": 0.0,
        "dataset": data, "out_dir": out, "eval_interval": interval, "always_save_checkpoint": True,
    }  # fmt: skip
    return [f"--{key}={value}" for key, value in values.items()]


@dataclass
class Log:
    """What ``train.py`` has printed so far; only new lines are read, since it is looked at while the clock runs."""

    path: Path
    out: Path
    offset: int = 0
    evaluated: int = 0
    saved: int = -1
    step_seconds: list[float] = field(default_factory=list)

    def look(self) -> None:
        """Read on; put a checkpoint aside once it is whole, before the next one overwrites it.

        "saving checkpoint" is printed before the file is written; the step's own line, printed after, says it is whole.
        """
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            new = file.read()
        whole_lines = new[: new.rfind(b"\n") + 1]
        self.offset += len(whole_lines)
        for line in whole_lines.decode("utf-8", "replace").splitlines():
            if not (found := LOG_EVENT.match(line)):
                continue
            if found[1]:
                self.evaluated = int(found[1])
            elif found[2]:
                self.saved = self.evaluated
            else:
                self.step_seconds.append(float(found[4]) / 1000)
                if int(found[3]) == self.saved:
                    (self.out / "ckpt.pt").rename(self.out / f"step-{self.saved:08d}.pt")


def train_nanogpt(checkout: Path, data: Path, out: Path, steps: int, interval: int, threads: int, seed: int) -> Curve:
    """Run ``train.py`` once; ``data`` and ``out`` are absolute (it joins them to its own folder otherwise)."""
    out.mkdir(parents=True)
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads),
        "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    source = with_seed(checkout, seed, out)
    command = [sys.executable, "train.py", CONFIG, *options(data, out, steps, interval)]
    log = Log(out / "log.txt", out)
    began = time.perf_counter()
    # The log goes to a file that is looked at now and then: a pipe would wake this process at every step.
    with open(log.path, "wb") as sink:
        process = subprocess.Popen(command, cwd=source, env=environment, stdout=sink, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                log.look()
        finally:
            process.kill()
            process.wait()
    elapsed = time.perf_counter() - began
    log.look()
    if process.returncode:
        last = (log.path.read_text("utf-8", "replace").strip().splitlines() or ["it said nothing"])[-1]
        raise HomespunError(f"nanoGPT's train.py ended with exit code {process.returncode}: {last}")
    parameters, losses = exact_losses(checkout, data, sorted(out.glob("step-*.pt")), environment)
    if len(log.step_seconds) <= steps or steps not in losses:
        raise HomespunError(f"nanoGPT's log or checkpoints in {out} are not what this benchmark reads; see its log.txt")
    points = clean_points(log.step_seconds, losses, interval)
    # Its lines hold all of its loop, evaluations too; the rest of the process is its start and its end.
    start = elapsed - sum(log.step_seconds)
    usual = median_step(log.step_seconds, interval)
    return Curve(parameters, "fp32", FIRST_SEED + seed - 1, BATCH_SIZE * CONTEXT, usual, start, points)


def median_step(step_seconds: list[float], interval: int) -> float:
    """Seconds of a step whose line holds neither the start nor an evaluation."""
    return statistics.median(seconds for step, seconds in enumerate(step_seconds) if step % interval)


def clean_points(step_seconds: list[float], losses: dict[int, float], interval: int) -> tuple[Point, ...]:
    """``step_seconds[i]``: its line of update i (from 0); ``losses[n]``: exact loss after n updates."""
    usual = median_step(step_seconds, interval)
    clean = [seconds if step % interval else usual for step, seconds in enumerate(step_seconds)]
    elapsed = [0.0, *itertools.accumulate(clean)]
    return tuple(Point(step, elapsed[step], loss) for step, loss in sorted(losses.items()))


def exact_losses(
    checkout: Path, data: Path, checkpoints: list[Path], environment: dict[str, str]
) -> tuple[int, dict[int, float]]:
    """Parameters, and the exact validation loss after each number of updates."""
    program = Path(__file__).with_name("nanogpt_exact_loss.py")
    command = [sys.executable, str(program), str(checkout), str(data / "val.bin"), str(CONTEXT), *map(str, checkpoints)]
    found = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if found.returncode:
        last = (found.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise HomespunError(f"nanoGPT's checkpoints could not be evaluated: {last}")
    answer = json.loads(found.stdout.strip().splitlines()[-1])
    return answer["parameters"], {int(step): loss for step, loss in answer["losses"].items()}
