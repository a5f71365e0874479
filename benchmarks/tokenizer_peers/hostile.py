"""Texts that are made to be slow: one letter, spaces, joined emoji, random bytes; a first pass, beside English."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from measuring import table

from tokenizer_peers.contender import Prepared, certain_border_before
from tokenizer_peers.contenders import CONTENDERS
from tokenizer_peers.encode import Effort, measure_case, number
from tokenizer_peers.processes import Field, one_line

ENGLISH = "English"
RANDOM = "random bytes"


def write_texts(english: Path, size: int, folder: Path) -> Iterator[tuple[str, Path]]:
    """English up to ``size`` bytes, and as much of each hostile text."""
    head = english.read_bytes()[:size]
    head = head[: certain_border_before(head, len(head)) or len(head)]
    man_and_joiner = "\U0001f468\u200d".encode()
    texts = {
        ENGLISH: head,
        "one letter": b"a" * len(head),
        "spaces": b" " * len(head),
        "joined emoji": man_and_joiner * (len(head) // len(man_and_joiner)),
        RANDOM: random.Random(1).randbytes(len(head)),
    }
    for name, raw in texts.items():
        path = folder / f"{name}.txt"
        path.write_bytes(raw)
        yield name, path


def measure(field: Field, files: Prepared, texts: list[tuple[str, Path]], repeats: int, folder: Path) -> dict[str, Any]:
    """By text: what ``measure_case`` finds, on one thread, without later passes."""
    results = {}
    for name, path in texts:
        takers = {
            who: version for who, version in field.versions.items() if name != RANDOM or CONTENDERS[who].takes_bytes
        }
        effort = Effort(repeats, passes=0, budget_s=0, as_str=False)
        results[name] = measure_case(Field(takers, field.peers_python, field.limit_s), files, path, 1, effort, folder)
    return results


def show(title: str, results: dict[str, Any]) -> str:
    """MB/s by text, and how much of the speed on English is left; mismatches and failures below."""
    names = list(results[ENGLISH])
    rows, notes = [], []
    for name in names:
        english = results[ENGLISH][name].get("cold_mb_s")
        cells = []
        for text, case in results.items():
            found = case.get(name)
            speed = found.get("cold_mb_s") if found else None
            if found is None:
                cells.append("takes str only")
            elif speed is None:
                cells.append("failed")
                notes.append(f"{name}, {text}: {one_line(found['error'])}")
            else:
                share = f" (x{number(speed / english)})" if english and text != ENGLISH else ""
                cells.append(f"{number(speed)}{share}, {found['memory_peak'] / 1e6:.0f} MB")
                if "mismatch" in found:
                    why = " (bytes that are no UTF-8: nobody says how to split them)" if text == RANDOM else ""
                    notes.append(f"!!! {text}{why}: {found['mismatch']}")
        rows.append([name, *cells])
    return "\n".join([table([title, *results], rows), *notes])
