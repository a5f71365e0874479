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
``damage``     one file of the newest checkpoint truncated, flipped in one bit, deleted, emptied, or swapped with another
               file or checkpoint; the file must be named, and the checkpoint before it used.
``full-disk``  files may not grow beyond a limit (RLIMIT_FSIZE): no checkpoint fits, and then it does again.
``read-only``  the folder of checkpoints, or the run folder, may not be written to.

At the end of ``kill``, ``sigterm`` and ``full-disk`` the weights must be the bytes of a run that nobody disturbed. The
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measuring import exit_with, machine, machine_lines, table, tell

import homespun.pipeline.build  # imported here, once, for all the processes that are forked from this one
from homespun.cli.main import run as homespun
from homespun.common.errors import DamagedFileError, HomespunError
from homespun.common.files import sha256_of_file
from homespun.training.checkpoint import NAME, list_checkpoints, newest_checkpoint, verify_checkpoint

WORDS = "the of and to in a is that it was for on are as with his they at be this have from or one had by word but"
# A wide model that sees few tokens: a step takes about as long as writing the checkpoint does.
OPTIONS = {
    "model.width": 256, "model.layers": 2, "model.heads": 4, "model.context": 16, "tokenizer.vocabulary_size": 300,
    "training.steps": 60, "training.batch_size": 2, "training.warmup_steps": 5, "training.evaluate_every": 30,
    "training.sample_every": 0, "training.log_every": 1, "training.precision": "fp32", "training.attention": "fused",
    "training.compile": "off", "training.threads": 1, "training.checkpoint_seconds": 0, "sampling.maximum_tokens": 4,
}  # fmt: skip
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
    code = homespun(arguments)
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
            if session.wait(bench.moments.uniform(0, bench.seconds * 0.6)) is not None:
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
        saved = newest_checkpoint(run / "checkpoints", lambda line: None, clean=False)
        kept = saved is not None and int(saved.name[-8:]) >= step
        finish(bench.go_on(name), bench.log(name))
        counts["saved, said how to go on" if told and kept else "NOT SAVED"] += 1
        counts["resumed to equal weights" if bench.is_equal(name) else "DIFFERENT"] += 1
        bench.forget(name)
    return counts


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
        with contextlib.suppress(DamagedFileError):
            found = newest_checkpoint(copy, warnings.append)
            named = len(warnings) == 1 and file_is_named(warnings[0], copy / newest.name, file)
            right = found == copy / before.name
            verify_checkpoint(copy / before.name)
            counts[f"{change.__name__.replace('_', ' ')}: named, and the one before used"] += named and right
            counts["MISSED"] += not (named and right)
            if not (named and right):
                tell(f"{change.__name__} {file}: {warnings}, {found}")
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
    for number in range(1, times + 1):
        name = f"full-{number}"
        disk = bench.folder / "disk"
        if disk.is_dir():
            run, limit = disk / name, lambda: None
        else:
            run, limit = bench.folder / name, limit_files
        command, log = [*bench.command, "--out", str(run)], bench.log(name)
        if disk.is_dir():  # full for a while: saving pauses, training does not
            session = start(command, log)
            wait_until(lambda: last_step(run) >= 10, session)
            fill(disk)
            wait_until(lambda: "no checkpoint at step" in session.said(), session)
            (disk / "filler").unlink()
            paused = session.wait() == 0 and weights_of(run) == bench.wanted
            counts["full for a while: warned, went on, equal weights" if paused else "FAILED"] += 1
            shutil.rmtree(run)
        session = start(command, log, limit)
        if disk.is_dir():
            wait_until(lambda: last_step(run) >= 10, session)
            fill(disk)
        code = session.wait()
        told = code == 1 and [line for line in session.said().splitlines() if line.startswith("homespun: ")]
        (disk / "filler").unlink(missing_ok=True)
        finish(["train", "--resume", str(run)], log)
        equal = weights_of(run) == bench.wanted
        counts["full to the end: one line, then resumed to equal weights" if told and equal else "FAILED"] += 1
        shutil.rmtree(run)
    return counts


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
        run.mkdir()
        run.chmod(0o555)
        session = start([*bench.command, "--out", str(run)], log, without_privileges)
        counts["a closed folder: one line" if refused(session) else "FAILED"] += 1
        run.rmdir()
        shutil.copytree(bench.folder / "straight", run)
        (run / "result.json").unlink()
        run.chmod(0o555)
        session = start(["train", "--resume", str(run)], log, without_privileges)
        counts["a closed run: one line" if refused(session) else "FAILED"] += 1
        shutil.rmtree(run)
        run.mkdir()
        run.chmod(0o777)
        session = start([*bench.command, "--out", str(run)], log, without_privileges)
        wait_until(lambda run=run: last_step(run) >= 10, session)
        owner = (run / "checkpoints").stat().st_uid
        if os.geteuid() == 0:
            os.chown(run / "checkpoints", 0, 0)
        (run / "checkpoints").chmod(0o555)
        told = refused(session) and "no checkpoint at step" in session.said()
        (run / "checkpoints").chmod(0o777)
        os.chown(run / "checkpoints", owner, -1)
        finish(["train", "--resume", str(run)], log)
        equal = weights_of(run) == bench.wanted
        counts["closed while training: warned, one line, resumed to equal weights" if told and equal else "FAILED"] += 1
        shutil.rmtree(run)
    return counts


def refused(session: Session) -> bool:
    """Exit code 1 and one line of ours."""
    code = session.wait()
    return code == 1 and len([line for line in session.said().splitlines() if line.startswith("homespun: ")]) == 1


def without_privileges() -> None:
    """Permissions mean nothing to root: become nobody."""
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)


QUESTIONS = {"kill": kill, "sigterm": sigterm, "damage": damage, "full-disk": full_disk, "read-only": read_only}
TIMES = {"kill": 100, "sigterm": 20, "damage": 200, "full-disk": 1, "read-only": 1}
SMALL_DISK = ["unshare", "--map-root-user", "--mount"]  # a file system of our own needs no other rights on most Linuxes


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
    if options.question == "full-disk" and not options.inside:
        unshared = [*SMALL_DISK, sys.executable, *sys.argv, "--inside"]
        if subprocess.run([*SMALL_DISK, "true"], capture_output=True, check=False).returncode == 0:
            return subprocess.call(unshared)
    facts, began = machine(), time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        if options.inside and not with_small_disk(folder):
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
