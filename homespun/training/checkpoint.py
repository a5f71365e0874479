"""Checkpoints: folders that are whole or absent, checked by SHA-256, without a pickle.

``checkpoints/step-00000400/`` holds ``model.safetensors``, ``optimizer.safetensors`` (all else that moves:
moments, the guard's and the average's state, the best weights so far), ``config.json`` (the model's),
``tokenizer.json`` if it reads text, ``made_with.json`` (the configuration and the data of the run), ``state.json``
(where it stands, and which step was the best) and ``manifest.json`` (a checksum for each).

Of a finetuning that holds a part of its base still, ``model.safetensors`` has what moves alone; ``left_out`` of
``manifest.json`` names the rest, which is in ``base/`` beside ``checkpoints/`` (``homespun.training.kept_base``): under
the same names without ``body.``, or as the matrices that are packed of it.

A folder is filled under a temporary name, synced and renamed, so a kill at any moment leaves the previous one; the
newest whole one is found again.

Tensors are whole, whatever number of processes they were spread over, so any number can go on with them.
Random numbers need no place here: every step draws from a seed of its own (``homespun.training.loop``).
"""

import json
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

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
from homespun.models.stored import held_still, stored_tensors
from homespun.training.execution import Execution
from homespun.training.sharding import placed_like, whole

FORMAT_VERSION = 3
READABLE = (2, 3)  # until version 3 nothing was left out
NAME = re.compile(r"step-(\d{8})")
TOKENIZER = "tokenizer.json"
FILES = frozenset({"model.safetensors", "optimizer.safetensors", "config.json", "made_with.json", "state.json"})


@dataclass
class TrainingState:
    """Where a run stands. ``seconds`` of training so far, ``total`` steps as last decided.

    ``skipped`` steps changed nothing (``homespun.training.guard``), the last ``in_vain`` of them in a row up to here;
    each of ``rollbacks`` has halved the rate. Of the evaluations so far the newest was at step ``judged_at``, the best
    at ``best_at`` (``homespun.training.best``); ``worse`` in a row have followed it.
    """

    step: int
    total: int
    tokens: int
    seconds: float
    execution: Execution
    skipped: int = 0
    in_vain: int = 0
    rollbacks: int = 0
    judged_at: int = 0
    best_at: int = 0
    best_loss: float | None = None
    worse: int = 0


class Moving(Protocol):
    """Something besides the weights that changes as a run goes on."""

    def tensors(self) -> dict[str, torch.Tensor]: ...

    def load_tensors(self, tensors: dict[str, torch.Tensor]) -> None: ...


@dataclass(frozen=True)
class Snapshot:
    """A moment of a run, copied so that training may go on while it is written.

    ``left_out``: names of weights that the run's base has.
    """

    weights: dict[str, torch.Tensor]
    moving: dict[str, torch.Tensor]
    state: TrainingState
    left_out: tuple[str, ...] = ()


def take_snapshot(
    model: nn.Module, moving: dict[str, Moving], state: TrainingState, copy: bool = True, keep_it: bool = True
) -> Snapshot:
    """What moves, as whole tensors in the memory of the processor; every process of a run must call at the same step.

    ``copy`` False: for writing before anything changes. ``keep_it`` False: only help the others to theirs.
    """

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        found = whole(tensor.detach())
        return found.to("cpu", copy=copy).contiguous() if keep_it else found.new_empty(0)

    still = held_still(model)
    return Snapshot(
        {name: keep(tensor) for name, tensor in stored_tensors(model).items() if name not in still},
        {f"{part}/{name}": keep(tensor) for part, thing in moving.items() for name, tensor in thing.tensors().items()},
        replace(state),
        tuple(sorted(still)),
    )


def save_checkpoint(
    folder: Path, snapshot: Snapshot, documents: dict[str, dict[str, Any]], tokenizer_file: Path | None, keep: int
) -> Path:
    """Write ``folder/step-NNNNNNNN`` and remove all but it and the ``keep - 1`` before it.

    ``documents``: what ``config.json`` and ``made_with.json`` say. Models of images have no tokenizer. Later steps go
    too: they were damaged, or this run would have continued from them.
    """
    path = folder / checkpoint_name(snapshot.state.step)
    with atomic_folder(path) as temporary:
        write_tensors(snapshot.weights, temporary / "model.safetensors")
        write_tensors(snapshot.moving, temporary / "optimizer.safetensors")
        for name, content in (documents | {"state.json": asdict(snapshot.state)}).items():
            (temporary / name).write_text(json.dumps(content, indent=1), "utf-8")
        if tokenizer_file is not None:
            shutil.copyfile(tokenizer_file, temporary / TOKENIZER)
        sums = {file.name: sha256_of_file(file) for file in sorted(temporary.iterdir())}
        manifest: dict[str, Any] = {"format": FORMAT_VERSION, "sha256": sums}
        if snapshot.left_out:
            manifest["left_out"] = snapshot.left_out
        write_json(temporary / "manifest.json", manifest)
    kept = [found for found in list_checkpoints(folder) if found <= path][-keep:]
    for found in list_checkpoints(folder):
        if found not in kept:
            shutil.rmtree(found, ignore_errors=True)
    return path


def write_tensors(tensors: dict[str, torch.Tensor], path: Path, metadata: dict[str, str] | None = None) -> None:
    """Write a safetensors file; what the system refuses (a full disk) is an ``OSError``, as everywhere else."""
    try:
        save_file(tensors, path, metadata)
    except SafetensorError as error:  # the library has the system's error in its text only
        number = re.search(r"os error (\d+)", str(error))
        code = int(number[1]) if number else 0
        raise OSError(code, os.strerror(code) if code else str(error), str(path)) from error


def checkpoint_name(step: int) -> str:
    """The folder of a step; names are in the order of steps."""
    return f"step-{step:08d}"


def step_of(path: Path) -> int:
    """The inverse of ``checkpoint_name``."""
    return int(path.name.removeprefix("step-"))


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
    if manifest.get("format") not in READABLE:
        raise DamagedFileError(
            f"checkpoint {path} has format {manifest.get('format')!r}, this version reads {FORMAT_VERSION}"
        )
    if manifest["sha256"].keys() not in (FILES, FILES | {TOKENIZER}):
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


def leaves_out(path: Path) -> bool:
    """Whether some weights of a checkpoint are those of the run's base, and only there."""
    return bool(read_json(path / "manifest.json").get("left_out"))


def load_weights(path: Path, model: nn.Module, on_base: bool = False) -> None:
    """Put ``path/model.safetensors`` into ``model``; names and shapes must be exactly the model's.

    ``on_base``: the model was made of its base, so what it holds still may be missing, and stays as it is.
    """
    tensors = read_tensors(path / "model.safetensors")
    there = held_still(model) - tensors.keys() if on_base else set()
    wanted = {name: tensor for name, tensor in stored_tensors(model).items() if name not in there}
    for name in sorted(wanted.keys() | tensors.keys()):
        if name not in tensors:
            raise DamagedFileError(f"{path / 'model.safetensors'} lacks the tensor {name}")
        if name not in wanted:
            raise DamagedFileError(f"{path / 'model.safetensors'} has a tensor {name} that the model does not have")
        if wanted[name].shape != tensors[name].shape:
            raise DamagedFileError(
                f"{path / 'model.safetensors'}: {name} has shape {tuple(tensors[name].shape)}, "
                f"the model needs {tuple(wanted[name].shape)}"
            )
    with torch.no_grad():
        for name, tensor in wanted.items():
            tensor.copy_(placed_like(tensors[name], tensor))


def load_checkpoint(path: Path, model: nn.Module, moving: dict[str, Moving]) -> TrainingState:
    """Restore weights and all else that moves; return where the run stood. ``model`` is one that a run begins with."""
    load_weights(path, model, on_base=True)
    tensors = read_tensors(path / "optimizer.safetensors")
    for part, thing in moving.items():
        prefix = f"{part}/"
        thing.load_tensors(
            {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        )
    record = read_json(path / "state.json")
    return TrainingState(**(record | {"execution": Execution(**record["execution"])}))


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """All tensors of a safetensors file; a damaged one is named."""
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise DamagedFileError(f"checkpoint file {path} cannot be read ({error})") from error
