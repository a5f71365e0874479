"""Is the plan true? For finished builds: the time asked and taken, the loss expected and reached.

    python benchmarks/plan_vs_reached.py runs/*

Runs made with `homespun build … --minutes M` are listed; seconds are the run's own account of all its stages.
"""

import argparse
import json
import sys
from pathlib import Path

HEAD = ("run", "minutes", "seconds", "of the time", "million tokens", "width x layers", "expected", "reached", "off",
        "gzip -9", "xz")  # fmt: skip


def row(run: Path) -> tuple[str, ...] | None:
    """One finished, timed run as words; None for any other folder."""
    try:
        record, plan, result, corpus = (
            json.loads((run / name).read_text("utf-8"))
            for name in ("run.json", "plan.json", "result.json", "corpus/manifest.json")
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    if not plan["timed"]:
        return None
    expected, reached = plan["expected"]["validation_bits_per_byte"], result["bits_per_byte"]
    model = json.loads((run / "model.json").read_text("utf-8"))["architecture"]
    return (
        run.name,
        f"{plan['minutes']:g}",
        f"{record['seconds_total']:.0f}",
        f"{record['seconds_total'] / plan['minutes'] / 60:.0%}",
        f"{result['tokens_seen'] / 1e6:.2f}",
        f"{model['width']} x {model['layers']}",
        f"{expected:.3f}",
        f"{reached:.3f}",
        f"{reached / expected - 1:+.1%}",
        f"{corpus['compression']['gzip_bits_per_byte']:.3f}",
        f"{corpus['compression']['xz_bits_per_byte']:.3f}",
    )


def main() -> int:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=Path, help="run folders")
    rows = [found for run in parser.parse_args().runs if (found := row(run))]
    for cells in (HEAD, ("---",) * len(HEAD), *rows):
        print("| " + " | ".join(cells) + " |")
    return 0 if rows else 1


if __name__ == "__main__":
    sys.exit(main())
