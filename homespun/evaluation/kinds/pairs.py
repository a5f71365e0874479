"""Minimal pairs: of two texts that differ in one thing, is the right one likelier (Warstadt et al. 2020, "BLiMP")?

By the probability of the whole text. What both begin with is as likely in both, so only what comes after it is asked.
"""

from dataclasses import dataclass

from homespun.common.errors import UsageError
from homespun.common.progress import Stage
from homespun.evaluation.kind import Kind, Material, Outcome, Subject, cut_note
from homespun.evaluation.likelihood import Request, shared_length
from homespun.evaluation.measure import mean_of, share_of
from homespun.evaluation.template import fill
from homespun.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Pair:
    """Two texts."""

    good: str
    bad: str
    where: str


def prepare(material: Material) -> list[Pair]:
    """The pairs."""
    task, pairs = material.task, []
    for row in material.rows():
        pair = Pair(fill(task.good, row), fill(task.bad, row), row.where)
        if pair.good == pair.bad or not pair.good or not pair.bad:
            raise UsageError(f"{row.where}: the two texts are the same, or one is empty")
        pairs.append(pair)
    return pairs


def score(pairs: list[Pair], subject: Subject, stage: Stage) -> Outcome:
    """How often the right text is likelier, and by how much on average."""
    stage.resize(2 * len(pairs))
    scored = subject.scorer.of_requests(requests_of(pairs, subject.tokenizer), stage.advance)
    margins = [good.total - bad.total for good, bad in zip(scored[::2], scored[1::2], strict=True)]
    measures = [share_of("accuracy", [margin > 0 for margin in margins]), mean_of("margin", margins, "nats")]
    examples = [
        {"where": pair.where, "right": pair.good, "wrong": pair.bad, "margin": margin}
        for pair, margin in zip(pairs, margins, strict=True)
    ]
    shown = f"{pairs[0].good}\n  against\n{pairs[0].bad}"
    notes = ["by chance 50.0% would be right", *cut_note(subject.scorer, len(scored))]
    return Outcome(measures, examples, notes, shown)


def requests_of(pairs: list[Pair], tokenizer: Tokenizer) -> list[Request]:
    """Two for each pair: the rest of a text, one token at least, after the tokens that both begin with."""
    encoded = tokenizer.encode_lists([text for pair in pairs for text in (pair.good, pair.bad)])
    requests = []
    for good, bad in zip(encoded[::2], encoded[1::2], strict=True):
        common = min(shared_length(good, bad), len(good) - 1, len(bad) - 1)
        requests += [Request([tokenizer.end_of_text, *ids[:common]], ids[common:]) for ids in (good, bad)]
    return requests


KIND = Kind(prepare, score, needs=("data", "good", "bad"))
