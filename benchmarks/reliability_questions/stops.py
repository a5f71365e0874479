"""SIGKILL at random moments, SIGTERM at random steps: what each stop costs."""

import signal
from collections import Counter
from pathlib import Path

from measuring import tell

from homespun.training.checkpoint import NAME, newest_checkpoint
from reliability_questions.bench import OPTIONS, Bench, last_step
from reliability_questions.session import finish, start

SHARE_OF_A_RUN = 0.5  # between two kills at most: several kills fall into each run


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
