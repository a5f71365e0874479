"""A disk that is full, a folder that is closed: for a while, and to the end."""

import contextlib
import os
import resource
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

from reliability_questions.bench import Bench, last_step, weights_of
from reliability_questions.session import finish, refused, start, wait_until

STEPS_BEFORE_TROUBLE = 10


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
