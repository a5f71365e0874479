"""nanoGPT's side: a checkout that the reader brought in, a curve out; its own ``train.py``, not a line changed.

``train.py`` runs as a program with the options of its README for a processor. Its seconds per step are
those of its own log (``iter 7: loss …, time 21.50ms``). Its own validation losses are estimates from
a few random windows, so each checkpoint it writes is put aside and measured afterwards, with its own
``model.py``, over the whole split (``nanogpt_exact_loss.py``).
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from homespun.common.errors import HomespunError, UsageError
from pretraining.curve import BATCH_SIZE, CONTEXT, HEADS, LAYERS, WIDTH, Curve, make_curve

CONFIG = "config/train_shakespeare_char.py"
NEEDED = ("train.py", "model.py", "configurator.py", CONFIG)
WARMUP_STEPS = 100  # of CONFIG; the schedule divides by (steps - warm-up)
SEED = 1337  # written in train.py itself; no option changes it
POLL_SECONDS = 0.25
STEP_LINE = re.compile(r"^iter (\d+): loss \S+, time ([\d.]+)ms", re.MULTILINE)
LOG_EVENT = re.compile(r"^(?:step (\d+): train loss|(saving checkpoint)|iter (\d+): )", re.MULTILINE)


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


def options(data: Path, out: Path, steps: int, interval: int) -> list[str]:
    """The README's options for a processor, then where to read and write, and checkpoints at every evaluation."""
    values = {
        "device": "cpu", "compile": False, "eval_iters": 20, "log_interval": 1,
        "block_size": CONTEXT, "batch_size": BATCH_SIZE, "n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH,
        "max_iters": steps, "lr_decay_iters": steps, "dropout": 0.0,
        "dataset": data, "out_dir": out, "eval_interval": interval, "always_save_checkpoint": True,
    }  # fmt: skip
    return [f"--{key}={value}" for key, value in values.items()]


def train_nanogpt(checkout: Path, data: Path, out: Path, steps: int, interval: int, threads: int) -> Curve:
    """Run ``train.py`` once; ``data`` and ``out`` are absolute (it joins them to its own folder otherwise)."""
    out.mkdir(parents=True)
    environment = os.environ | {
        "OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads),
        "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1",
    }  # fmt: skip
    command = [sys.executable, "train.py", CONFIG, *options(data, out, steps, interval)]
    log = out / "log.txt"
    # The log goes to a file that is looked at now and then: a pipe would wake this process at every step.
    with open(log, "wb") as sink:
        process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=sink, stderr=subprocess.STDOUT)
        try:
            while process.poll() is None:
                time.sleep(POLL_SECONDS)
                put_aside(log, out)
        finally:
            process.kill()
            process.wait()
    put_aside(log, out)
    text = log.read_text("utf-8", "replace")
    if process.returncode:
        last = (text.strip().splitlines() or ["it said nothing"])[-1]
        raise HomespunError(f"nanoGPT's train.py ended with exit code {process.returncode}: {last}")
    step_seconds = [float(found[2]) / 1000 for found in STEP_LINE.finditer(text)]
    parameters, losses = exact_losses(checkout, data, sorted(out.glob("step-*.pt")), environment)
    if len(step_seconds) < steps or steps not in losses:
        raise HomespunError(f"nanoGPT's log or checkpoints in {out} are not what this benchmark reads; see its log.txt")
    # After the checkpoint of the last step train.py makes one update more; it is not counted.
    return make_curve(step_seconds[:steps], losses, interval, parameters, "fp32", SEED)


def put_aside(log: Path, out: Path) -> None:
    """Rename the checkpoint that is complete, before the next one overwrites it.

    "saving checkpoint" is printed before the file is written; the step's own line, printed after, says it is whole.
    """
    evaluated, saved, whole = 0, -1, -1
    for found in LOG_EVENT.finditer(log.read_text("utf-8", "replace")):
        if found[1]:
            evaluated = int(found[1])
        elif found[2]:
            saved = evaluated
        elif int(found[3]) == saved:
            whole = saved
    kept = out / f"step-{whole:08d}.pt"
    if whole >= 0 and whole == saved and not kept.exists():
        (out / "ckpt.pt").rename(kept)


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
