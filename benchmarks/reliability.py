"""Does a stop, whatever its kind, cost anything? Runs are killed, stopped, damaged and starved, and counted.

    python benchmarks/reliability.py kill --times 100
    python benchmarks/reliability.py kill --times 20 --command "build my-texts/ --minutes 0.5"
    python benchmarks/reliability.py sigterm --times 20
    python benchmarks/reliability.py damage --times 200
    python benchmarks/reliability.py full-disk
    python benchmarks/reliability.py read-only

``kill``       SIGKILL at random moments, several to a run, each followed by ``train --resume``; saving takes a good
               share of the time, so that many fall into a save. Also from the first second on, with the text unread.
``sigterm``    SIGTERM at random steps; the run must save, say how to go on, and leave with exit code 130.
``damage``     one file of the newest checkpoint truncated, flipped in one bit, deleted, or replaced by another file or
               by that of another checkpoint; the file must be named, and the checkpoint before it used.
``full-disk``  a small file system of its own is filled while the run goes on, then freed; where none can be mounted,
               files may not grow (RLIMIT_FSIZE).
``read-only``  a closed folder at the beginning, a closed run, and checkpoints that are closed while training.

At the end of each but ``damage`` the weights must be the bytes of a run that nobody disturbed. The
processes are forked from one that has imported everything: importing takes longer than such a run itself.
``--json`` prints the counts for programs. Exit code 0 if every one of them is as it should be.
"""

import argparse
import contextlib
import dataclasses
import json
import multiprocessing
import os
import random
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from measuring import exit_with, machine, machine_lines, table, tell

import homespun.pipeline.build  # noqa: F401  once, for all the processes that are forked from this one
from homespun.cli.main import run as run_command
from homespun.common.errors import HomespunError
from homespun.common.files import sha256_of_file
from homespun.training.checkpoint import NAME, list_checkpoints, newest_checkpoint

WORDS = "the of and to in a is that it was for on are as with his they at be this have from or one had by word but"
# A wide model that sees few tokens: a step takes about as long as writing the checkpoint does.
OPTIONS = {
    "model.width": 256, "model.layers": 2, "model.heads": 4, "model.context": 16, "tokenizer.vocabulary_size": 300,
    "training.steps": 60, "training.batch_size": 1, "training.optimizer": "adamw", "training.warmup_steps": 5,
    "training.evaluate_every": 30,
    "training.sample_every": 0, "training.log_every": 1, "training.precision": "fp32", "training.attention": "fused",
    "training.compile": "off", "training.threads": 1, "training.checkpoint_seconds": 0, "sampling.maximum_tokens": 4,
}  # fmt: skip
STEPS_BEFORE_TROUBLE = 10
SHARE_OF_A_RUN = 0.5  # between two kills at most: several kills fall into each run
FORK = multiprocessing.get_context("fork")


@dataclasses.dataclass
class Session:
    """A ``homespun`` command in a process of its own; what it says goes to ``log``."""

    process: Any
    log: Path

    def wait(self, seconds: float | None = None) -> int | None:
        """Its exit code, None if it still runs after ``seconds``."""
        self.process.join(seconds)
        return self.process.exitcode

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.process.pid, number)
        self.process.join()

    def said(self) -> str:
        return self.log.read_text("utf-8", "replace")


def start(arguments: list[str], log: Path, prepare: Callable[[], None] = lambda: None) -> Session:
    """Begin a command; ``prepare`` runs in its process before it."""
    process = FORK.Process(target=work, args=(arguments, log, prepare))
    process.start()
    return Session(process, log)


def work(arguments: list[str], log: Path, prepare: Callable[[], None]) -> None:
    """What the forked process does."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    prepare()
    code = run_command(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def finish(arguments: list[str], log: Path) -> float:
    """A command that must succeed; its seconds."""
    began, session = time.monotonic(), start(arguments, log)
    if session.wait():
        raise HomespunError(f"homespun {shlex.join(arguments)} failed: {session.said().strip().splitlines()[-1]}")
    return time.monotonic() - began


def write_text(path: Path) -> None:
    """Something to learn from, the same each time."""
    chance, words = random.Random(0), WORDS.split()
    path.write_text("\n".join(" ".join(chance.choices(words, k=12)) + "." for _ in range(400)), "utf-8")


def weights_of(run: Path) -> str:
    """SHA-256 of the newest checkpoint's weights."""
    return sha256_of_file(list_checkpoints(run / "checkpoints")[-1] / "model.safetensors")


@dataclasses.dataclass
class Bench:
    """A folder, a text in it, a run that nobody disturbed, and chance."""

    folder: Path
    moments: random.Random
    command: list[str]
    seconds: float = 0.0
    wanted: str = ""

    @staticmethod
    def build(folder: Path, seed: int, given: str) -> "Bench":
        write_text(folder / "text.txt")
        options = [f"--{key}={value}" for key, value in OPTIONS.items()]
        bench = Bench(folder, random.Random(seed), ["train", str(folder / "text.txt"), *options])
        if given:  # planned once, then exactly as planned
            finish([*shlex.split(given), "--out", str(folder / "planned")], folder / "planned.log")
            source = shlex.split(given)[1]
            config = str(folder / "planned" / "config.toml")
            bench.command = ["train", source, "--config", config, "--training.checkpoint-seconds=1"]
        bench.seconds = finish(bench.begin("straight"), folder / "straight.log")
        bench.wanted = weights_of(folder / "straight")
        tell(f"a run that nobody disturbs takes {bench.seconds:.1f} s")
        return bench

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

    def forget(self, name: str) -> None:
        shutil.rmtree(self.folder / name)


def moment_of(run: Path) -> str:
    """What a killed process was doing, by what it left."""
    checkpoints = run / "checkpoints"
    if not (run / "tokens" / "manifest.json").exists():
        return "before training"
    if checkpoints.is_dir() and any(not NAME.fullmatch(path.name) for path in checkpoints.iterdir()):
        return "while saving"
    return "while training"


def kill(bench: Bench, times: int) -> Counter[str]:
    """SIGKILL at random moments of runs, until there were ``times`` of them; each run is then brought to its end."""
    counts: Counter[str] = Counter()
    number, killed = 0, 0
    while killed < times:
        number += 1
        name = f"killed-{number}"
        here = 0
        while killed < times:
            session = start(bench.go_on(name), bench.log(name))
            if session.wait(bench.moments.uniform(0, bench.seconds * SHARE_OF_A_RUN)) is not None:
                break
            session.kill()
            killed, here = killed + 1, here + 1
            counts[moment_of(bench.folder / name)] += 1
        finish(bench.go_on(name), bench.log(name))
        counts["resumed to equal weights" if bench.is_equal(name) else "DIFFERENT"] += here
        tell(
            f"run {number}: killed {here} times, {'equal' if bench.is_equal(name) else 'DIFFERENT'} ({killed}/{times})"
        )
        bench.forget(name)
    return counts


def sigterm(bench: Bench, times: int) -> Counter[str]:
    """SIGTERM when a random step is first seen in the metrics."""
    counts: Counter[str] = Counter()
    for number in range(1, times + 1):
        name = f"stopped-{number}"
        run, step = bench.folder / name, bench.moments.randrange(1, OPTIONS["training.steps"] - 5)
        session = start(bench.begin(name), bench.log(name))
        while session.wait(0.002) is None and last_step(run) < step:
            pass
        session.kill(signal.SIGTERM)
        told = session.wait() == 130 and f"homespun train --resume {run}" in session.said()
        saved = newest_checkpoint(run / "checkpoints", ignore, clean=False)
        kept = saved is not None and int(saved.name[-8:]) >= step
        finish(bench.go_on(name), bench.log(name))
        counts["saved, said how to go on" if told and kept else "NOT SAVED"] += 1
        counts["resumed to equal weights" if bench.is_equal(name) else "DIFFERENT"] += 1
        bench.forget(name)
    return counts


def ignore(line: str) -> None:
    """A warning that nobody needs."""


def last_step(run: Path) -> int:
    """The last step that the metrics tell of; 0 before the first."""
    try:
        return json.loads((run / "metrics.jsonl").read_text("utf-8").splitlines()[-1])["step"]
    except (OSError, ValueError, IndexError):
        return 0


def truncated(newest: Path, before: Path, file: str, chance: random.Random) -> None:
    size = (newest / file).stat().st_size
    os.truncate(newest / file, chance.randrange(size))


def flipped(newest: Path, before: Path, file: str, chance: random.Random) -> None:
    raw = bytearray((newest / file).read_bytes())
    raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
    (newest / file).write_bytes(raw)


def deleted(newest: Path, before: Path, file: str, chance: random.Random) -> None:
    (newest / file).unlink()


def from_another_checkpoint(newest: Path, before: Path, file: str, chance: random.Random) -> None:
    (newest / file).write_bytes((before / file).read_bytes())


def from_another_file(newest: Path, before: Path, file: str, chance: random.Random) -> None:
    other = chance.choice([path for path in sorted(newest.iterdir()) if path.name != file])
    (newest / file).write_bytes(other.read_bytes())


DAMAGES = (truncated, flipped, deleted, from_another_checkpoint, from_another_file)


def damage(bench: Bench, times: int) -> Counter[str]:
    """Every kind of damage to every file of a checkpoint in turn, and what ``newest_checkpoint`` makes of it."""
    counts: Counter[str] = Counter()
    before, newest = list_checkpoints(bench.folder / "straight" / "checkpoints")[-2:]
    files = sorted(path.name for path in newest.iterdir())
    cases = [(change, file) for change in DAMAGES for file in files if not is_the_same(change, newest, before, file)]
    for number in range(times):
        change, file = cases[number % len(cases)]
        copy = bench.folder / "damaged"
        for checkpoint in (before, newest):
            shutil.copytree(checkpoint, copy / checkpoint.name)
        change(copy / newest.name, copy / before.name, file, bench.moments)
        warnings: list[str] = []
        found = newest_checkpoint(copy, warnings.append)
        good = found == copy / before.name and file_is_named("\n".join(warnings), copy / newest.name, file)
        counts[f"{change.__name__.replace('_', ' ')}: named, and the one before used" if good else "MISSED"] += 1
        shutil.rmtree(copy)
    return counts


def is_the_same(change: Callable[..., None], newest: Path, before: Path, file: str) -> bool:
    """Files that two checkpoints share (the tokenizer) are no damage to each other."""
    return change is from_another_checkpoint and (newest / file).read_bytes() == (before / file).read_bytes()


def file_is_named(line: str, checkpoint: Path, file: str) -> bool:
    """The damaged file; a manifest that does not belong there is noticed by what it says of the others."""
    return str(checkpoint) in line if file == "manifest.json" else str(checkpoint / file) in line


def full_disk(bench: Bench, times: int) -> Counter[str]:
    """No room for a checkpoint for a while, then until the end; there must be warnings, one line, equal weights."""
    counts: Counter[str] = Counter()
    disk = bench.folder / "disk"
    for number in range(1, times + 1):
        run, log = (disk if disk.is_dir() else bench.folder) / f"full-{number}", bench.log(f"full-{number}")
        command = [*bench.command, "--out", str(run)]
        if disk.is_dir():
            good = full_for_a_while(command, log, run) and weights_of(run) == bench.wanted
            counts["full for a while: warned, went on, equal weights" if good else "FAILED"] += 1
            shutil.rmtree(run)
        told = full_to_the_end(command, log, run, limit_files if not disk.is_dir() else lambda: None)
        finish(["train", "--resume", str(run)], log)
        good = told and weights_of(run) == bench.wanted
        counts["full to the end: one line, then resumed to equal weights" if good else "FAILED"] += 1
        shutil.rmtree(run)
    return counts


def full_for_a_while(command: list[str], log: Path, run: Path) -> bool:
    """Fill the disk that ``run`` lies on, and free it once the run has complained; whether it went on to its end."""
    session = start(command, log)
    wait_until(lambda: last_step(run) >= STEPS_BEFORE_TROUBLE, session)
    fill(run.parent)
    wait_until(lambda: "no checkpoint at step" in session.said(), session)
    went_on = session.wait(0) is None
    (run.parent / "filler").unlink()
    return went_on and session.wait() == 0


def full_to_the_end(command: list[str], log: Path, run: Path, prepare: Callable[[], None]) -> bool:
    """No room from some step on; whether the run ended with one line about it. There is room again afterwards."""
    session = start(command, log, prepare)
    wait_until(lambda: last_step(run) >= STEPS_BEFORE_TROUBLE, session)
    if prepare is not limit_files:
        fill(run.parent)
    told = refused(session)
    (run.parent / "filler").unlink(missing_ok=True)
    return told


def limit_files() -> None:
    """No file of this process may reach the size of a checkpoint's; the write fails instead of ending the process."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.RLIM_INFINITY))


def fill(disk: Path) -> None:
    """Until there is no room at all."""
    with open(disk / "filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 20, 1 << 12):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)) == size:
                    pass


def wait_until(what: Callable[[], bool], session: Session) -> None:
    """Until it is so, or the session has ended."""
    while not what() and session.wait(0.002) is None:
        pass


def read_only(bench: Bench, times: int) -> Counter[str]:
    """Folders that may not be written to: refused at the beginning, or warned of while the run goes on."""
    counts: Counter[str] = Counter()
    for number in range(1, times + 1):
        run, log = bench.folder / f"closed-{number}", bench.log(f"closed-{number}")
        begin, go_on = [*bench.command, "--out", str(run)], ["train", "--resume", str(run)]
        run.mkdir()
        with closed(run):
            counts["a closed folder: one line" if refused(start(begin, log)) else "FAILED"] += 1
        run.rmdir()
        shutil.copytree(bench.folder / "straight", run)
        (run / "result.json").unlink()
        with closed(run):
            counts["a closed run: one line" if refused(start(go_on, log)) else "FAILED"] += 1
        shutil.rmtree(run)
        session = start(begin, log)
        wait_until(lambda run=run: last_step(run) >= STEPS_BEFORE_TROUBLE, session)
        with closed(run / "checkpoints"):
            told = refused(session) and "no checkpoint at step" in session.said()
        finish(go_on, log)
        good = told and weights_of(run) == bench.wanted
        counts["closed while training: warned, one line, resumed to equal weights" if good else "FAILED"] += 1
        shutil.rmtree(run)
    return counts


@contextlib.contextmanager
def closed(folder: Path) -> Iterator[None]:
    """``folder`` cannot be written to. Permissions mean nothing to root, who gets a file system that is read-only."""
    if os.geteuid():
        folder.chmod(0o555)
        yield
        folder.chmod(0o755)
        return
    subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", str(folder)], check=True)
    yield
    subprocess.run(["umount", str(folder)], check=True)


def refused(session: Session) -> bool:
    """Exit code 1 and one line of ours."""
    code = session.wait()
    return code == 1 and len([line for line in session.said().splitlines() if line.startswith("homespun: ")]) == 1


QUESTIONS = {"kill": kill, "sigterm": sigterm, "damage": damage, "full-disk": full_disk, "read-only": read_only}
TIMES = {"kill": 100, "sigterm": 20, "damage": 200, "full-disk": 1, "read-only": 1}
OWN_MOUNTS = ["unshare", "--map-root-user", "--mount"]  # file systems of our own, without being root on most Linuxes


def with_small_disk(folder: Path) -> bool:
    """Mount a disk of 150 MB on ``folder/disk``, if this is allowed."""
    disk = folder / "disk"
    disk.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=150m", "none", str(disk)], capture_output=True, check=False
    )
    if done.returncode:
        disk.rmdir()
    return done.returncode == 0


def main() -> int:
    """One question; a table of counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=QUESTIONS)
    parser.add_argument("--times", type=int, help="how often (kill 100, sigterm 20, damage 200)")
    parser.add_argument("--command", default="", help='kill: a command instead, as "build my-texts/ --minutes 0.5"')
    parser.add_argument("--seed", type=int, default=1, help="of the random moments")
    parser.add_argument("--json", action="store_true", help="print every count")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.question in ("full-disk", "read-only") and not options.inside:
        unshared = [*OWN_MOUNTS, sys.executable, *sys.argv, "--inside"]
        if subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode == 0:
            return subprocess.call(unshared)
    facts, began = machine(), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if options.question == "full-disk" and not with_small_disk(folder):
            tell("no small disk can be mounted: files are limited in size instead")
        try:
            bench = Bench.build(folder, options.seed, options.command)
            times = options.times or TIMES[options.question]
            counts = QUESTIONS[options.question](bench, times)
        finally:
            if (folder / "disk").is_dir():
                subprocess.run(["umount", str(folder / "disk")], check=False)
    report = {"question": options.question, "times": times, "seconds": round(time.monotonic() - began)}
    if options.json:
        print(json.dumps(report | {"counts": counts, "machine": facts}, indent=1))
    else:
        print("\n".join(machine_lines(facts)))
        print(table((options.question, "count"), [(what, str(count)) for what, count in sorted(counts.items())]))
        print(f"{times} times in {report['seconds']} s")
    return 1 if any(what.isupper() or what.startswith("NOT ") for what, count in counts.items() if count) else 0


if __name__ == "__main__":
    exit_with(main)
