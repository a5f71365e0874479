"""``homespun classify RUN "TEXT"…``: sort texts into classes, by a model that was finetuned for it."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from homespun.cli.terminal import choose_reporter
from homespun.cli.texts import texts_asked
from homespun.common.errors import UsageError

CHARACTERS_SHOWN = 80


def classify(
    run: Annotated[Path, Parameter(help="a run folder that homespun finetune classify made")],
    /,
    *texts: Annotated[str, Parameter(help="what to sort")],
    file: Annotated[
        Path | None, Parameter(help="sort each line of this file; - is standard input", allow_leading_hyphen=True)
    ] = None,
    device: Annotated[str, Parameter(help="cpu, cuda …; auto: a GPU where there is one")] = "auto",
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="all probabilities, for programs")] = False,
) -> None:
    """Sort texts: the likeliest classes and their probabilities.

    homespun classify runs/spam "You have won a prize! Call now."
    """
    lines = texts_asked(texts, file, "sort")
    if empty := [number for number, line in enumerate(lines, 1) if not line.strip()]:
        raise UsageError(f"text {empty[0]:,} is empty; there is nothing to sort")
    from homespun.inference.classify import classify_texts
    from homespun.inference.images import in_words
    from homespun.inference.load import load_for_classification
    from homespun.training.device import choose_device

    model, tokenizer = load_for_classification(run, choose_reporter().warn, choose_device(device))
    rankings = classify_texts(model, tokenizer, lines)
    if json_output:
        answers = [
            {"text": line, "label": ranking[0][0], "classes": dict(ranking)}
            for line, ranking in zip(lines, rankings, strict=True)
        ]
        print(json.dumps(answers, indent=1, ensure_ascii=False))
        return
    for line, ranking in zip(lines, rankings, strict=True):
        print(f"{' '.join(line.split())[:CHARACTERS_SHOWN]}: {in_words(ranking)}")
