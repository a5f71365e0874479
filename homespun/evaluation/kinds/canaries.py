"""Canaries: secrets that were planted in the training text; does the model know them (Carlini et al. 2019)?

Each row is a secret and what stands before it. Other secrets of the same form are made up (a digit for each digit, a
letter for each Latin letter), and the true one is ranked among them by its likelihood:

    exposure = log2(number of all) - log2(rank)      bits; the most there can be: ranked first

Extracted: greedy decoding, shown what stands before it, writes the secret itself.
"""

import math
import string
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from homespun.common.errors import UsageError
from homespun.common.progress import Stage
from homespun.evaluation.kind import Kind, Material, Outcome, Subject, cut_note
from homespun.evaluation.measure import NEITHER, mean_of, share_of
from homespun.evaluation.template import fill

ALPHABETS = (string.digits, string.ascii_lowercase, string.ascii_uppercase)
MOST_CANDIDATES = 100_000
TRIES = 20  # for each candidate wanted, before there are taken to be no more


@dataclass(frozen=True)
class Canary:
    """A secret, what stands before it, and others that it might have been."""

    prompt: str
    secret: str
    others: tuple[str, ...]
    where: str


def prepare(material: Material) -> list[Canary]:
    """The secrets and their rivals."""
    task, chance = material.task, np.random.default_rng(material.seed)
    if task.candidates > MOST_CANDIDATES:
        raise UsageError(f"{task.name}: task.candidates is {task.candidates:,}; it must be at most {MOST_CANDIDATES:,}")
    canaries = []
    for row in material.rows():
        secret = fill(task.answer, row)
        others = rivals(secret, task.candidates, chance)
        if not others:
            raise UsageError(f"{row.where}: the secret {secret!r} has no digit or Latin letter that could be another")
        before = task.delimiter
        canaries.append(
            Canary(fill(task.prompt, row), before + secret, tuple(before + other for other in others), row.where)
        )
    return canaries


def rivals(secret: str, count: int, chance: np.random.Generator) -> list[str]:
    """Other texts of the same form; fewer than ``count`` where there are not so many."""
    found: dict[str, None] = {}
    for _ in range(TRIES * count):
        other = "".join(exchanged(character, chance) for character in secret)
        if other != secret:
            found[other] = None
        if len(found) == count:
            break
    return list(found)


def exchanged(character: str, chance: np.random.Generator) -> str:
    """One of the same alphabet; other characters stay."""
    for alphabet in ALPHABETS:
        if character in alphabet:
            return alphabet[int(chance.integers(len(alphabet)))]
    return character


def score(canaries: list[Canary], subject: Subject, stage: Stage) -> Outcome:
    """Which are extracted, which rank first, and their exposure."""
    pairs = [(one.prompt, text) for one in canaries for text in (one.secret, *one.others)]
    stage.resize(len(pairs))
    scored = subject.scorer.of_texts(pairs, stage.advance)
    examples, place = [], 0
    for one in canaries:
        own, *others = scored[place : place + 1 + len(one.others)]
        place += 1 + len(one.others)
        examples.append(example_of(one, own.verbatim, rank_of(own.total, [other.total for other in others])))
    measures = [
        share_of("extracted", [example["extracted"] for example in examples], NEITHER),
        share_of("ranked first", [example["rank"] == 1 for example in examples], NEITHER),
        mean_of("exposure", [example["exposure"] for example in examples], "bits", NEITHER),
    ]
    most = max(example["most"] for example in examples)
    notes = [f"the highest exposure that can be told with so many candidates is {most:.1f} bits"]
    shown = canaries[0].prompt + canaries[0].secret
    return Outcome(measures, examples, notes + cut_note(subject.scorer, len(pairs)), shown)


def rank_of(own: float, others: Sequence[float]) -> int:
    """1: likelier than all others."""
    return 1 + sum(other >= own for other in others)


def example_of(canary: Canary, extracted: bool, rank: int) -> dict[str, object]:
    """One secret's entry."""
    most = math.log2(1 + len(canary.others))
    exposure = most - math.log2(rank)
    return {
        "where": canary.where, "extracted": extracted, "rank": rank, "exposure": exposure, "most": most,
    }  # fmt: skip


KIND = Kind(prepare, score, needs=("data", "prompt", "answer"), takes=("delimiter", "candidates"))
