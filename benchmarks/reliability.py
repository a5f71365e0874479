"""Does a stop, whatever its kind, cost anything? Runs are killed, stopped, damaged and starved, and counted.

    python benchmarks/reliability.py kill --times 100
    python benchmarks/reliability.py kill --times 20 --command "build my-texts/ --minutes 0.5"
    python benchmarks/reliability.py kill --times 20 --finetune preferences
    python benchmarks/reliability.py sigterm --times 20
    python benchmarks/reliability.py damage --times 200
    python benchmarks/reliability.py full-disk
    python benchmarks/reliability.py read-only

``kill``       SIGKILL at random moments, several to a run, each followed by ``train --resume``; saving takes a good
               share of the time, so that many fall into a save. Also from the first second on, with the text unread,
               and while the result is worked out. ``--finetune KIND`` kills finetunings of a base instead.
``sigterm``    SIGTERM at random steps; the run must save, say how to go on, and leave with exit code 130.
``damage``     one file of the newest checkpoint truncated, flipped in one bit, deleted, or replaced by another file or
               by that of another checkpoint; the file must be named, and the checkpoint before it used.
``full-disk``  a small file system of its own is filled while the run goes on, then freed; where none can be mounted,
               files may not grow (RLIMIT_FSIZE).
``read-only``  a closed folder at the beginning, a closed run, and checkpoints that are closed while training.

At the end of each but ``damage`` the weights must be the bytes of a run that nobody disturbed, and of ``kill`` also
all figures of the result that no clock has measured. The processes are forked from one that has imported everything:
importing takes longer than such a run itself. ``--json`` prints the counts for programs. Exit code 0 if every one of
them is as it should be.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measuring import exit_with, machine, machine_lines, table, tell
from reliability_questions.bench import Bench
from reliability_questions.damage import damage
from reliability_questions.disks import full_disk, read_only, with_small_disk
from reliability_questions.finetunes import KINDS as FINETUNES
from reliability_questions.stops import kill, sigterm

QUESTIONS = {"kill": kill, "sigterm": sigterm, "damage": damage, "full-disk": full_disk, "read-only": read_only}
TIMES = {"kill": 100, "sigterm": 20, "damage": 200, "full-disk": 1, "read-only": 1}
OWN_MOUNTS = ["unshare", "--map-root-user", "--mount"]  # file systems of our own, without being root on most Linuxes


def main() -> int:
    """One question; a table of counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("question", choices=QUESTIONS)
    parser.add_argument("--times", type=int, help="how often (kill 100, sigterm 20, damage 200)")
    parser.add_argument("--command", default="", help='kill: a command instead, as "build my-texts/ --minutes 0.5"')
    parser.add_argument("--finetune", default="", choices=FINETUNES, help="kill: such a finetuning instead")
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
            bench = Bench.build(folder, options.seed, options.command, options.finetune)
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
