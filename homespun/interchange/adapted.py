"""A run and adapters that are named on the command line -> one base in memory that speaks with any of them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from homespun.common.errors import UsageError
from homespun.inference.adapters import BASE, Adapters
from homespun.inference.load import load_for_inference
from homespun.interchange.huggingface.peft.onto_base import bring
from homespun.interchange.huggingface.peft.reading import AdapterFolder


def load_adapted(
    run: Path, told: Sequence[str], warn: Callable[[str], None], device: torch.device | None = None
) -> Adapters:
    """``told``: ``FOLDER`` or ``NAME=FOLDER`` of each adapter. The first is in use; without any, the model alone."""
    folders = named_folders(told)
    opened = {name: AdapterFolder.open(folder, warn) for name, folder in folders.items()}  # before the long reading
    model, tokenizer = load_for_inference(run, warn, device)
    tensors = {name: parameter.detach() for name, parameter in model.named_parameters()}
    adapters = Adapters(model, tokenizer)
    for name, folder in opened.items():
        brought = bring(folder, model.config, tensors, tokenizer, warn)
        adapters.add(name, brought.adapter, brought.tokenizer)
    adapters.use(next(iter(folders), None))
    return adapters


def named_folders(told: Sequence[str]) -> dict[str, Path]:
    """Folders by their names; where none is given, that of the folder."""
    folders: dict[str, Path] = {}
    for one in told:
        name, separator, folder = one.partition("=")
        if not separator or Path(one).exists():
            name, folder = Path(one).resolve().name, one
        if not name or name.split() != [name] or name in (BASE, *folders):
            raise UsageError(
                f"--adapter {one}: the name {name!r} is taken, or no name; give one: --adapter NAME=FOLDER"
            )
        folders[name] = Path(folder)
    return folders
