"""``homespun translate RUN "TEXT"…``: into the language that the run was trained for, one line for each text."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from homespun.cli.terminal import choose_reporter
from homespun.cli.texts import texts_asked
from homespun.inference.settings import BeamConfig


def translate(
    run: Annotated[Path, Parameter(help="a run folder of a model that was trained on pairs of texts")],
    /,
    *texts: Annotated[str, Parameter(help="what to translate")],
    file: Annotated[
        Path | None,
        Parameter(help="translate each line of this file; - is standard input", allow_leading_hyphen=True),
    ] = None,
    adapter: Annotated[
        str | None, Parameter(help="a folder with a LoRA adapter in PEFT's layout, for this model")
    ] = None,
    device: Annotated[str, Parameter(help="cpu, cuda …; auto: a GPU where there is one")] = "auto",
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="one JSON object at the end")] = False,
    beam: Annotated[BeamConfig, Parameter(name="*")] = BeamConfig(),
) -> None:
    """Translate texts with a model that was trained on pairs.

    homespun translate runs/german "A man is sleeping."
    """
    lines = texts_asked(texts, file, "translate")
    from homespun.inference.translate import Translator
    from homespun.inference.uses import TRANSLATE, check_use
    from homespun.interchange.adapted import load_adapted
    from homespun.training.device import choose_device

    reporter = choose_reporter()
    loaded = load_adapted(run, [adapter] if adapter else [], reporter.warn, choose_device(device))
    model = loaded.model
    check_use(model.config, TRANSLATE, run)
    found = Translator(model, loaded.tokenizer).translate(lines, beam)
    if json_output:
        print(json.dumps({"translations": [asdict(one) for one in found]}, indent=1, ensure_ascii=False))
    else:
        print("\n".join(" ".join(one.text.splitlines()) for one in found))
    if cut := [number for number, one in enumerate(found, 1) if not one.complete]:
        more = f" and {len(cut) - 1:,} more" if len(cut) > 1 else ""
        reporter.warn(f"text {cut[0]:,}{more}: longer than the {model.config.context} tokens of the model, cut off")
