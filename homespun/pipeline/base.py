"""What a finetuning needs of its base: weights and tokenizer, copied into the run, which then needs the base no more.

In: the run folder of the base. Out: ``base/`` and ``tokenizer.json`` in that of the finetuning. Of a base that was
itself finetuned, the plain model is copied that is left of it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from homespun.common.errors import DamagedFileError
from homespun.common.files import atomic_folder, read_json, sha256_of_file, write_json
from homespun.common.progress import Reporter
from homespun.inference.load import load_newest, load_tokenizer
from homespun.models.more_tokens import with_vocabulary
from homespun.pipeline.run_folder import RunFolder
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.checkpoint import write_tensors

WEIGHTS = "model.safetensors"


def base_stage(
    run: RunFolder, base: Path, reporter: Reporter, change: Callable[[Tokenizer], Tokenizer] = lambda same: same
) -> None:
    """Copies of the base's newest weights and tokenizer. Tokens that ``change`` adds to it get rows in the model."""
    if (run.base / "manifest.json").exists():
        return
    checkpoint, model = load_newest(base, "text", reporter.warn)
    tokenizer = load_tokenizer(checkpoint, model.config.vocabulary_size)
    changed = change(tokenizer)
    if tokenizer.chat_template not in (None, changed.chat_template):
        reporter.warn("the base's chat template is of a form that is not known here; the run has its own in its place")
    changed.save(run.tokenizer)
    model = with_vocabulary(model, changed.vocabulary_size)
    with atomic_folder(run.base) as folder:
        write_tensors(weights_of(model), folder / WEIGHTS)
        write_json(
            folder / "manifest.json", {"checkpoint": checkpoint.name, "sha256": sha256_of_file(folder / WEIGHTS)}
        )


def weights_of(model: Any) -> dict[str, Any]:
    """As a checkpoint has them."""
    return {name: parameter.detach().contiguous() for name, parameter in model.named_parameters()}


def verify_base(run: RunFolder) -> None:
    """The copy is whole."""
    if sha256_of_file(run.base / WEIGHTS) != read_json(run.base / "manifest.json")["sha256"]:
        raise DamagedFileError(f"{run.base / WEIGHTS} is damaged (its checksum differs); begin a new run")
