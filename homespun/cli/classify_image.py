"""``homespun classify-image RUN PICTURE…``: what pictures show, by a model that was trained on images."""

import json
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from homespun.cli.terminal import choose_reporter
from homespun.common.errors import UsageError


def classify_image(
    run: Annotated[Path, Parameter(help="a run folder")],
    /,
    *pictures: Annotated[Path, Parameter(help="PNG files; or .npz files of images and labels")],
    device: Annotated[str, Parameter(help="cpu, cuda …; auto: a GPU where there is one")] = "auto",
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="all probabilities, for programs")] = False,
) -> None:
    """Name what pictures show: the likeliest classes and their probabilities.

    homespun classify-image runs/digits seven.png
    """
    if not pictures:
        raise UsageError("no PICTURE: name PNG files, or an .npz file of images and labels")
    from homespun.images.read import read_pictures
    from homespun.inference.images import classify, in_words
    from homespun.inference.load import load_for_images
    from homespun.training.device import choose_device

    model = load_for_images(run, choose_reporter().warn, choose_device(device))
    answers, right, told = [], 0, 0
    for path in pictures:
        shown = read_pictures(path, model.config.image_size, model.config.channels)
        rankings = classify(model, shown.pixels)
        answers += [
            {"picture": name, "classes": dict(ranking)} for name, ranking in zip(shown.names, rankings, strict=True)
        ]
        right += sum(ranking[0][0] == label for ranking, label in zip(rankings, shown.labels, strict=False))
        told += len(shown.labels)
    if json_output:
        print(json.dumps(answers, indent=1, ensure_ascii=False))
        return
    for answer in answers:
        print(f"{answer['picture']}: {in_words(list(answer['classes'].items()))}")
    if told:
        print(f"{right:,} of {told:,} labels named rightly: {right / told:.2%}")
