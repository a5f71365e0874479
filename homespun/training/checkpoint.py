"""Checkpoints: folders that are whole or absent, checked by SHA-256, without a pickle.

``checkpoints/step-00000400/`` holds ``model.safetensors``, ``optimizer.safetensors`` (moments and the
random state), ``config.json`` (the model's), ``tokenizer.json``, ``state.json`` (where the run stands)
and ``manifest.json`` (a checksum for each). A folder is filled under a temporary name, synced and
renamed, so a kill at any moment leaves the previous one; the newest whole one is found again.
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from homespun.common.errors import DamagedFileError, HomespunError
from homespun.common.files import (
    TEMPORARY_PREFIX,
    atomic_folder,
    read_json,
    remove_leftovers,
    sha256_of_file,
    write_json,
)
from homespun.training.optimizer import load_optimizer_tensors, optimizer_tensors

FORMAT_VERSION = 1
NAME = re.compile(r"step-(\d{8})")
FILES = frozenset({"model.safetensors", "optimizer.safetensors", "config.json", "tokenizer.json", "state.json"})
RANDOM_STATE = "random_state"


@dataclass
class TrainingState:
    """Where a run stands. ``seconds`` of training so far, ``total`` steps as last decided."""

    step: int
    total: int
    tokens: int
    seconds: float
    threads: int
    precision: str


def save_checkpoint(
    folder: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: TrainingState,
    model_config: dict[str, Any],
    tokenizer_file: Path,
    keep: int,
) -> Path:
    """Write ``folder/step-NNNNNNNN`` and remove all but it and the ``keep - 1`` before it.

    Later steps go too: they were damaged, or this run would have continued from them.
    """
    path = folder / f"step-{state.step:08d}"
    with atomic_folder(path) as temporary:
        weights = {name: parameter.detach().contiguous() for name, parameter in model.named_parameters()}
        write_tensors(weights, temporary / "model.safetensors")
        write_tensors(
            optimizer_tensors(model, optimizer) | {RANDOM_STATE: torch.get_rng_state()},
            temporary / "optimizer.safetensors",
        )
        (temporary / "config.json").write_text(json.dumps(model_config, indent=1), "utf-8")
        shutil.copyfile(tokenizer_file, temporary / "tokenizer.json")
        (temporary / "state.json").write_text(json.dumps(asdict(state), indent=1), "utf-8")
        sums = {file.name: sha256_of_file(file) for file in sorted(temporary.iterdir())}
        write_json(temporary / "manifest.json", {"format": FORMAT_VERSION, "sha256": sums})
    kept = [found for found in list_checkpoints(folder) if found <= path][-keep:]
    for found in list_checkpoints(folder):
        if found not in kept:
            shutil.rmtree(found, ignore_errors=True)
    return path


def write_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write a safetensors file; what the system refuses (a full disk) is an ``OSError``, as everywhere else."""
    try:
        save_file(tensors, path)
    except SafetensorError as error:  # the library has the system's error in its text only
        number = re.search(r"os error (\d+)", str(error))
        code = int(number[1]) if number else 0
        raise OSError(code, os.strerror(code) if code else str(error), str(path)) from error


def list_checkpoints(folder: Path) -> list[Path]:
    """All checkpoint folders, oldest first, whether whole or not."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if NAME.fullmatch(path.name))


def verify_checkpoint(path: Path) -> None:
    """Every file there, every checksum right, the version ours; else a line that names the file."""
    manifest = read_json(path / "manifest.json")
    if not isinstance(manifest, dict) or not isinstance(manifest.get("sha256"), dict):
        raise DamagedFileError(f"checkpoint file {path / 'manifest.json'} is damaged")
    if manifest.get("format") != FORMAT_VERSION:
        raise DamagedFileError(
            f"checkpoint {path} has format {manifest.get('format')!r}, this version reads {FORMAT_VERSION}"
        )
    if manifest["sha256"].keys() != FILES:
        raise DamagedFileError(
            f"checkpoint file {path / 'manifest.json'} is damaged (it does not list what belongs there)"
        )
    for name, expected in manifest["sha256"].items():
        if not (path / name).is_file():
            raise DamagedFileError(f"checkpoint file {path / name} is missing")
        if sha256_of_file(path / name) != expected:
            raise DamagedFileError(f"checkpoint file {path / name} is damaged (its checksum differs)")


def is_whole(path: Path) -> bool:
    """``verify_checkpoint`` as a question."""
    try:
        verify_checkpoint(path)
    except HomespunError:
        return False
    return True


def rescue_leftovers(folder: Path) -> None:
    """Give whole checkpoints their name that a killed process left under a temporary one.

    Saving a step again removes the old folder before the new one takes its place; a kill in between
    would otherwise cost both.
    """
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*-step-*"):
        path = folder / leftover.name[-len("step-00000000") :]
        if NAME.fullmatch(path.name) and is_whole(leftover) and not is_whole(path):
            shutil.rmtree(path, ignore_errors=True)
            os.replace(leftover, path)


def newest_checkpoint(folder: Path, warn: Callable[[str], None], clean: bool = True) -> Path | None:
    """The newest whole checkpoint; damaged ones are named through ``warn`` and passed over.

    None if there has never been one. All damaged is an error, not a silent new start. ``clean``: clear up
    after killed processes first. Only who is about to train here may do that: to a reader, a
    checkpoint that is being written looks like one that a killed process left.
    """
    if clean:
        rescue_leftovers(folder)
        remove_leftovers(folder)
    candidates = list_checkpoints(folder)
    for path in reversed(candidates):
        try:
            verify_checkpoint(path)
        except HomespunError as error:
            warn(f"{error}; using the one before")
        else:
            return path
    if candidates:
        raise DamagedFileError(
            f"every checkpoint in {folder} is damaged; delete that folder to train again from the beginning"
        )
    return None


def load_weights(path: Path, model: nn.Module) -> None:
    """Put ``path/model.safetensors`` into ``model``; names and shapes must be exactly the model's."""
    tensors = read_tensors(path / "model.safetensors")
    parameters = dict(model.named_parameters())
    for name in sorted(parameters.keys() | tensors.keys()):
        if name not in tensors:
            raise DamagedFileError(f"{path / 'model.safetensors'} lacks the tensor {name}")
        if name not in parameters:
            raise DamagedFileError(f"{path / 'model.safetensors'} has a tensor {name} that the model does not have")
        if parameters[name].shape != tensors[name].shape:
            raise DamagedFileError(
                f"{path / 'model.safetensors'}: {name} has shape {tuple(tensors[name].shape)}, "
                f"the model needs {tuple(parameters[name].shape)}"
            )
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def load_checkpoint(path: Path, model: nn.Module, optimizer: torch.optim.Optimizer) -> TrainingState:
    """Restore weights, moments and the random state; return where the run stood."""
    load_weights(path, model)
    tensors = read_tensors(path / "optimizer.safetensors")
    torch.set_rng_state(tensors.pop(RANDOM_STATE))
    load_optimizer_tensors(model, optimizer, tensors)
    return TrainingState(**read_json(path / "state.json"))


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file; a damaged one is named."""
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedFileError(f"checkpoint file {path} cannot be read ({error})") from error
