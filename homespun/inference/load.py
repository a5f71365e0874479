"""A checkpoint or run folder in, a model and its tokenizer out."""

from collections.abc import Callable
from pathlib import Path

import torch

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.common.files import read_json
from homespun.models.language_model import LanguageModel
from homespun.models.registry import build_model
from homespun.models.settings import model_settings
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.checkpoint import load_weights, newest_checkpoint


def load_for_inference(
    run: Path, warn: Callable[[str], None], device: torch.device | None = None
) -> tuple[LanguageModel, Tokenizer]:
    """The newest whole checkpoint of the run folder ``run``."""
    if not run.is_dir():
        raise UsageError(f"there is no run folder {run}; make one with: homespun build SOURCE --out {run}")
    checkpoint = newest_checkpoint(run / "checkpoints", warn, clean=False)
    if checkpoint is None:
        raise HomespunError(f"{run} has no checkpoint yet; continue it with: homespun train --resume {run}")
    try:
        config = model_settings(read_json(checkpoint / "config.json"))
    except (AttributeError, TypeError, UsageError) as error:
        raise DamagedFileError(f"{checkpoint / 'config.json'} does not fit this version ({error})") from error
    model = build_model(config)
    load_weights(checkpoint, model)
    tokenizer = Tokenizer.load(checkpoint / "tokenizer.json")
    if tokenizer.vocabulary_size != config.vocabulary_size:
        raise DamagedFileError(
            f"{checkpoint}: the tokenizer has {tokenizer.vocabulary_size} tokens, the model {config.vocabulary_size}"
        )
    return (model.to(device) if device else model).eval(), tokenizer
