"""SIGKILL at random moments, SIGTERM at random steps: what each stop costs."""

import signal
from collections import Counter

from measuring import tell

from homespun.training.checkpoint import newest_checkpoint
from reliability_questions.bench import OPTIONS, Bench, last_step
from reliability_questions.moments import CONCLUDING, MOMENTS, PREPARING, REFERENCE, TRAINING, moment_of
from reliability_questions.session import finish, start, wait_until

SHARE_OF_A_RUN = 0.5  # between two kills at most: several kills fall into each run
AIMS = (PREPARING, PREPARING, REFERENCE, "", TRAINING, TRAINING, CONCLUDING)  # of a run's kills; nothing: any moment


def kill(bench: Bench, times: int) -> Counter[str]:
    """SIGKILL until there were ``times`` of them: in each run first while its data are prepared, then at random, and
    once near its end, unless it has come to it before. The run is then brought to its end."""
    counts: Counter[str] = Counter()
    number, killed = 0, 0
    while killed < times:
        number += 1
        name = f"killed-{number}"
        run, here = bench.folder / name, 0
        for aim in AIMS:
            if killed == times or not kill_once(bench, name, aim):
                break
            killed, here = killed + 1, here + 1
            counts[moment_of(run)] += 1
        finish(bench.go_on(name), bench.log(name))
        good = bench.is_same_end(name)
        counts["resumed to equal weights and result" if good else "DIFFERENT"] += here
        tell(f"run {number}: killed {here} times, {'equal' if good else 'DIFFERENT'} ({killed}/{times})")
        bench.forget(name)
    return counts


def kill_once(bench: Bench, name: str, aim: str) -> bool:
    """Begin or go on, and kill at a random moment: of the whole run, or of the stage ``aim``; False: it has ended."""
    session, run = start(bench.go_on(name), bench.log(name)), bench.folder / name
    if aim in bench.lasted:
        wait_until(lambda: run.is_dir() and MOMENTS.index(moment_of(run)) >= MOMENTS.index(aim), session)
    longest = bench.lasted.get(aim, bench.seconds * SHARE_OF_A_RUN)
    if session.wait(bench.moments.uniform(0, longest)) is not None:
        return False
    session.kill()
    return True


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
