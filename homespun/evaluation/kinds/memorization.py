"""Memorization: how much of its training text does a model say verbatim (Carlini et al. 2023)?

Passages of the training text, from anywhere in it; the model is shown the beginning, and counted is how much of the
rest greedy decoding would write exactly. The same of the validation text, which it has never seen, is what can be
guessed: only what is above that was learned by heart.
"""

import numpy as np

from homespun.common.errors import UsageError
from homespun.common.progress import Stage
from homespun.evaluation.kind import Kind, Material, Outcome, Subject, cut_note
from homespun.evaluation.likelihood import Request, Scored, encode_pairs
from homespun.evaluation.measure import NEITHER, Measure, mean_of, share_of
from homespun.evaluation.passages import cut_in_two, passages

Asked = dict[str, list[tuple[str, str]]]
SPLITS = {"train": "", "validation": ", unseen text"}


def prepare(material: Material) -> Asked:
    """Passages of both splits, each in two parts."""
    task = material.task
    length = task.prompt_characters + task.answer_characters
    count = min(task.samples, material.limit or task.samples)
    asked = {}
    for split in SPLITS:
        found = passages(material.run_texts(split), count, length, material.seed)
        asked[split] = [cut_in_two(passage, task.prompt_characters) for passage in found]
    if not asked["train"]:
        raise UsageError(f"no training text is as long as {length:,} characters; lower task.prompt_characters")
    return asked


def score(asked: Asked, subject: Subject, stage: Stage) -> Outcome:
    """Whole passages said verbatim, and how far on average."""
    stage.resize(sum(map(len, asked.values())))
    measures: list[Measure] = []
    examples = []
    most = max(1, min(subject.scorer.window, subject.model.config.context) // 2)
    shortened = 0
    for split, pairs in asked.items():
        requests = encode_pairs(pairs, subject.tokenizer)
        shortened += sum(len(one.continuation) > most for one in requests)
        requests = [Request(one.context, one.continuation[:most]) for one in requests]
        scored = subject.scorer.of_requests(requests, stage.advance)
        if scored:
            measures += measures_of(scored, SPLITS[split])
        examples += [
            {"split": split, "prompt": prompt, "right": rest, "verbatim tokens": leading(one), "of": len(one.nats)}
            for (prompt, rest), one in zip(pairs, scored, strict=True)
        ]
    asked_of = sum(map(len, asked.values()))
    notes = cut_note(subject.scorer, asked_of)
    if shortened:
        notes.append(f"of {shortened:,} of {asked_of:,} passages only the first {most:,} tokens were asked for")
    prompt, rest = asked["train"][0]
    return Outcome(measures, examples, notes, f"{prompt}|{rest}")


def measures_of(scored: list[Scored], remark: str) -> list[Measure]:
    """Of one split."""
    runs = [leading(one) for one in scored]
    return [
        share_of(f"said verbatim{remark}", [one.verbatim for one in scored], NEITHER),
        mean_of(f"tokens until the first difference{remark}", runs, better=NEITHER),
    ]


def leading(scored: Scored) -> int:
    """How many tokens are right before the first wrong one."""
    wrong = np.flatnonzero(~scored.greedy)
    return int(wrong[0]) if len(wrong) else len(scored.greedy)


KIND = Kind(prepare, score, needs=(), takes=("samples", "prompt_characters", "answer_characters"))
