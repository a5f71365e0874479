"""Reliability: kill -9 a build at random moments, resume it, compare the final weights bit by bit.

    python benchmarks/kill_and_resume.py my-texts/ --kills 20

First one uninterrupted build, planned as any other; its recorded configuration (the same steps, the same
threads) is then built again and again, each time killed at a random moment between start and end, and
resumed. Every time the run must finish and the weights must be the same bytes. Exit code 0 if all are.
"""

import argparse
import hashlib
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOMESPUN = [sys.executable, "-m", "homespun"]


def weights_of(run: Path) -> str:
    """SHA-256 of the newest checkpoint's weights."""
    newest = sorted((run / "checkpoints").glob("step-*"))[-1]
    return hashlib.sha256((newest / "model.safetensors").read_bytes()).hexdigest()


def run_to_the_end(arguments: list[str]) -> float:
    """Run a command that must succeed; its seconds."""
    began = time.monotonic()
    subprocess.run([*HOMESPUN, *arguments], check=True, capture_output=True)
    return time.monotonic() - began


def kill_at(seconds: float, arguments: list[str]) -> bool:
    """Start a command and kill it after ``seconds``; False if it was done before."""
    process = subprocess.Popen([*HOMESPUN, *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGKILL)
        process.wait()
        return True
    return False


def state_of(run: Path) -> str:
    """How far the killed run had come, in words."""
    checkpoints = sorted((run / "checkpoints").glob("step-*"))
    if checkpoints:
        return f"after {checkpoints[-1].name}"
    files = sorted(path.name for path in run.glob("*")) if run.exists() else []
    return f"with {', '.join(files) or 'nothing'}"


def main() -> int:
    """Print a line for each kill and the count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", nargs="+", help="what build is given")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=0.5, help="of the uninterrupted build")
    parser.add_argument("--seed", type=int, default=1, help="of the random moments")
    options = parser.parse_args()
    moments, equal = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        first, straight = Path(folder) / "first", Path(folder) / "straight"
        run_to_the_end(["build", *options.source, "--minutes", str(options.minutes), "--out", str(first)])
        recipe = [*options.source, "--config", str(first / "config.toml"), "--training.checkpoint-seconds", "1"]
        whole = run_to_the_end(["build", *recipe, "--out", str(straight)])
        wanted = weights_of(straight)
        print(f"uninterrupted: {whole:.1f} seconds, equal to the planned run: {weights_of(first) == wanted}")
        for number in range(1, options.kills + 1):
            run, moment = Path(folder) / f"killed-{number}", moments.uniform(0, whole)
            killed = kill_at(moment, ["build", *recipe, "--out", str(run)])
            state = state_of(run) if killed else "after it was done"
            # --resume continues what is there, or begins where nothing is: right for every moment.
            run_to_the_end(["build", *recipe, "--out", str(run), "--resume"])
            same = weights_of(run) == wanted
            equal += same
            print(f"{number:3}. killed at {moment:5.1f} s {state}: {'equal' if same else 'DIFFERENT'}", flush=True)
    print(f"{equal} of {options.kills} finished with equal weights")
    return 0 if equal == options.kills else 1


if __name__ == "__main__":
    sys.exit(main())
