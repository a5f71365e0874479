"""The base of a finetuning, kept once in its run folder: what all checkpoints leave out is found there.

In: a checkpoint, ``RUN/checkpoints/step-…``. Out: the model with all its weights: those of ``RUN/base``, with which the
finetuning began, and over them what it has moved (``homespun.training.checkpoint``). Matrices that were held in few
bits are packed again, to the same bits. Whether it is that base, its SHA-256 says, which each checkpoint names in
``made_with.json``.
"""

from pathlib import Path
from typing import Any

from homespun.common.errors import DamagedFileError
from homespun.common.files import read_json, sha256_of_file
from homespun.models.registry import build_model, build_on
from homespun.models.settings import ModelConfig, PartlyTrainedConfig
from homespun.training.checkpoint import leaves_out, load_weights

FOLDER, WEIGHTS = "base", "model.safetensors"
SHOWN = 12  # digits of a checksum that people are shown


def load_model(checkpoint: Path, config: ModelConfig) -> Any:
    """The model of ``config`` as it was trained, with the weights of ``checkpoint``.

    ``DamagedFileError`` where a base is needed that is not there, or another.
    """
    if not (isinstance(config, PartlyTrainedConfig) and leaves_out(checkpoint)):
        model = build_model(config)
        load_weights(checkpoint, model)
        return model
    base = checkpoint.parents[1] / FOLDER
    check_base(base, checkpoint)
    body = build_model(config.body)
    load_weights(base, body)
    model = build_on(config, body)
    load_weights(checkpoint, model, on_base=True)
    return model


def check_base(base: Path, checkpoint: Path) -> None:
    """It is that of the checkpoint; else a line that says what is wrong."""
    file, wanted = base / WEIGHTS, read_json(checkpoint / "made_with.json")["data"]["base"]
    if not file.is_file():
        raise DamagedFileError(
            f"{checkpoint} holds only what its finetuning has moved, and the base is missing: put {file} back (its "
            f"SHA-256 begins with {wanted[:SHOWN]})"
        )
    if (found := sha256_of_file(file)) != wanted:
        raise DamagedFileError(
            f"{file} is damaged or another base: its SHA-256 begins with {found[:SHOWN]}, that of the base of "
            f"{checkpoint} with {wanted[:SHOWN]}; put that one back"
        )
