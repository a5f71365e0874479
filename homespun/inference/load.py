"""A checkpoint or run folder in, a model and, if it reads text, its tokenizer out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.common.files import read_json
from homespun.inference.uses import USES
from homespun.models.classifier import Classifier
from homespun.models.finetuned import Finetuned
from homespun.models.settings import ModelConfig, model_settings
from homespun.models.vit import ViT
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.checkpoint import TOKENIZER, newest_checkpoint
from homespun.training.kept_base import load_model


def load_for_inference(
    run: Path, warn: Callable[[str], None], device: torch.device | None = None
) -> tuple[Any, Tokenizer]:
    """The newest whole checkpoint of the run folder ``run``."""
    checkpoint, model = load_newest(run, "text", warn)
    return (model.to(device) if device else model).eval(), load_tokenizer(checkpoint, model.config.vocabulary_size)


def load_for_classification(
    run: Path, warn: Callable[[str], None], device: torch.device | None = None
) -> tuple[Classifier, Tokenizer]:
    """The same of a model that sorts texts."""
    checkpoint, model = load_newest(run, "labelled texts", warn)
    tokenizer = load_tokenizer(checkpoint, model.config.body.vocabulary_size)
    return (model.to(device) if device else model).eval(), tokenizer


def load_tokenizer(checkpoint: Path, known: int) -> Tokenizer:
    """That of a checkpoint, with as many tokens as the model knows."""
    tokenizer = Tokenizer.load(checkpoint / TOKENIZER)
    if tokenizer.vocabulary_size != known:
        raise DamagedFileError(f"{checkpoint}: the tokenizer has {tokenizer.vocabulary_size} tokens, the model {known}")
    return tokenizer


def load_for_images(run: Path, warn: Callable[[str], None], device: torch.device | None = None) -> ViT:
    """The same of a model that reads images."""
    _, model = load_newest(run, "images", warn)
    return (model.to(device) if device else model).eval()


def load_newest(run: Path, reads: str, warn: Callable[[str], None]) -> tuple[Path, Any]:
    """The newest whole checkpoint of a run whose model reads ``reads``, and that model, as it is used."""
    checkpoint, config = find_model(run, reads, warn)
    return checkpoint, load_in_use(checkpoint, config)


def load_in_use(checkpoint: Path, config: ModelConfig) -> Any:
    """The model of a checkpoint, as it is used: of a finetuned language model the plain one that is left."""
    model = load_model(checkpoint, config)
    return model.merged() if isinstance(model, Finetuned) else model


def find_model(run: Path, reads: str, warn: Callable[[str], None]) -> tuple[Path, Any]:
    """The same, but of the model its settings only, as it was trained (``ModelConfig.in_use``: as it is used)."""
    checkpoint = find_newest(run, warn)
    try:
        config = model_settings(read_json(checkpoint / "config.json"))
    except (AttributeError, TypeError, UsageError) as error:
        raise DamagedFileError(f"{checkpoint / 'config.json'} does not fit this version ({error})") from error
    if config.in_use.reads != reads:
        raise other_reader(run, config, reads)
    return checkpoint, config


def other_reader(run: Path, config: ModelConfig, reads: str) -> UsageError:
    """What is said where the model of a run reads something else than is needed, with a command that it is good for."""
    use = USES[config.task]
    (_, command), *_ = use.commands_for(run, use.left_open)
    return UsageError(f"the model of {run} reads {config.reads}, not {reads}: {command}")


def find_newest(run: Path, warn: Callable[[str], None]) -> Path:
    """The newest whole checkpoint of a run folder; damaged ones are named through ``warn``."""
    if not run.is_dir():
        raise UsageError(f"there is no run folder {run}; make one with: homespun build SOURCE --out {run}")
    checkpoint = newest_checkpoint(run / "checkpoints", warn, clean=False)
    if checkpoint is None:
        raise HomespunError(f"{run} has no checkpoint yet; continue it with: homespun train --resume {run}")
    return checkpoint
