"""What a finetuning needs of its base: weights and tokenizer, kept in the run, which then needs the base no more.

In: the run folder of the base. Out: ``base/`` and ``tokenizer.json`` in that of the finetuning. Of a base that was
itself finetuned, the plain model is kept that is left of it.

Where the weights are those of the base's checkpoint as it lies on the disk, they are a second name for the same bytes
(a hard link): files of checkpoints are replaced or removed and never written to, so neither run changes them for the
other. Where there can be no link there is a copy.
"""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from homespun.common.errors import DamagedFileError
from homespun.common.files import atomic_folder, read_json, sha256_of_file, write_json
from homespun.common.progress import Reporter
from homespun.inference.load import find_model, load_in_use, load_tokenizer
from homespun.models.more_tokens import with_vocabulary
from homespun.pipeline.run_folder import RunFolder
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.checkpoint import write_tensors
from homespun.training.kept_base import WEIGHTS


def base_stage(
    run: RunFolder, base: Path, reporter: Reporter, change: Callable[[Tokenizer], Tokenizer] = lambda same: same
) -> None:
    """The base's newest weights and its tokenizer. Tokens that ``change`` adds to it get rows in the model."""
    if (run.base / "manifest.json").exists():
        return
    checkpoint, config = find_model(base, "text", reporter.warn)
    model = load_in_use(checkpoint, config)
    tokenizer = load_tokenizer(checkpoint, model.config.vocabulary_size)
    changed = change(tokenizer)
    if tokenizer.chat_template not in (None, changed.chat_template):
        reporter.warn("the base's chat template is of a form that is not known here; the run has its own in its place")
    changed.save(run.tokenizer)
    longer = with_vocabulary(model, changed.vocabulary_size)
    with atomic_folder(run.base) as folder:
        if longer is model and config.in_use == config:
            with contextlib.suppress(OSError):
                os.link(checkpoint / WEIGHTS, folder / WEIGHTS)
        if not (folder / WEIGHTS).exists():
            write_tensors(weights_of(longer), folder / WEIGHTS)
        write_json(
            folder / "manifest.json", {"checkpoint": checkpoint.name, "sha256": sha256_of_file(folder / WEIGHTS)}
        )


def weights_of(model: Any) -> dict[str, Any]:
    """As a checkpoint has them."""
    return {name: parameter.detach().contiguous() for name, parameter in model.named_parameters()}


def verify_base(run: RunFolder) -> None:
    """What is kept is whole."""
    if not (run.base / WEIGHTS).is_file():
        raise DamagedFileError(f"{run.base / WEIGHTS} is missing; put it back, or begin a new run")
    if sha256_of_file(run.base / WEIGHTS) != read_json(run.base / "manifest.json")["sha256"]:
        raise DamagedFileError(f"{run.base / WEIGHTS} is damaged (its checksum differs); begin a new run")
