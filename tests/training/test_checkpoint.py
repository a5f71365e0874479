"""Checkpoints: the same bits back, damage found by name, and never worse off after a failure."""

import errno
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from homespun.common.errors import DamagedFileError, HomespunError
from homespun.common.files import TEMPORARY_PREFIX
from homespun.models.gpt import GPT
from homespun.models.settings import GPTConfig
from homespun.training import checkpoint as checkpoint_module
from homespun.training.checkpoint import (
    Snapshot,
    TrainingState,
    list_checkpoints,
    load_checkpoint,
    load_weights,
    newest_checkpoint,
    save_checkpoint,
    take_snapshot,
    verify_checkpoint,
)
from homespun.training.execution import Execution
from homespun.training.guard import Guard
from homespun.training.optimizer import Optimizers, build_optimizer
from homespun.training.settings import TrainingConfig

CONFIG = GPTConfig(vocabulary_size=40, context=8, layers=2, width=16, heads=2, biases=True, normalization="layer")
FILES = [
    "config.json",
    "made_with.json",
    "manifest.json",
    "model.safetensors",
    "optimizer.safetensors",
    "state.json",
    "tokenizer.json",
]
MADE_WITH = {"configuration": {"training.sinks": ["wandb"]}, "data": {}, "tokenizer": {"identity": "ä"}}


def trained(steps: int, seed: int = 0, config: GPTConfig = CONFIG) -> tuple[GPT, Optimizers]:
    """A model after a few real updates, so that moments are not zero."""
    torch.manual_seed(seed)
    model = GPT(config)
    optimizer = build_optimizer(model, TrainingConfig(optimizer="adamw"))
    for _ in range(steps):
        tokens = torch.randint(config.vocabulary_size, (2, config.context))
        torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model, optimizer


def state_at(step: int) -> TrainingState:
    return TrainingState(step, 100, step * 64, step * 0.125, Execution("bf16", compiled=True, threads=3), 4, 2, 1)


class Saver:
    """Saves checkpoints of one model into one folder."""

    def __init__(self, folder: Path, tokenizer_file: Path) -> None:
        self.folder = folder
        self.tokenizer_file = tokenizer_file
        self.model, self.optimizer = trained(2)
        self.guard = Guard(20.0, torch.device("cpu"))
        self.guard.judge(torch.tensor(1.0), torch.tensor(3.0))

    def snapshot(self, step: int) -> Snapshot:
        return take_snapshot(self.model, {"optimizer": self.optimizer, "guard": self.guard}, state_at(step))

    def save(self, step: int, keep: int = 10) -> Path:
        documents = {"config.json": asdict(CONFIG), "made_with.json": MADE_WITH}
        return save_checkpoint(self.folder, self.snapshot(step), documents, self.tokenizer_file, keep)


@pytest.fixture
def saver(tmp_path: Path, tokenizer_file: Path) -> Saver:
    return Saver(tmp_path / "run" / "checkpoints", tokenizer_file)


def no_warning(text: str) -> None:
    raise AssertionError(f"unexpected warning: {text}")


def test_everything_comes_back_bit_by_bit(saver: Saver) -> None:
    path = saver.save(7)
    assert sorted(file.name for file in path.iterdir()) == FILES
    assert newest_checkpoint(saver.folder, no_warning) == path
    model, optimizer = trained(0, seed=99)
    guard = Guard(20.0, torch.device("cpu"))
    assert load_checkpoint(path, model, {"optimizer": optimizer, "guard": guard}) == state_at(7)
    for (name, ours), (_, theirs) in zip(model.named_parameters(), saver.model.named_parameters(), strict=True):
        assert torch.equal(ours, theirs), name
    expected, found = saver.optimizer.tensors(), optimizer.tensors()
    assert found.keys() == expected.keys()
    assert {name.rsplit("/", 1)[0] for name in found} == {name for name, _ in model.named_parameters()}
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
        assert found[name].dtype == tensor.dtype
    assert (float(guard.mean), float(guard.seen)) == (3.0, 1.0)
    assert json.loads((path / "config.json").read_text()) == asdict(CONFIG)
    assert json.loads((path / "made_with.json").read_text()) == MADE_WITH
    assert (path / "tokenizer.json").read_bytes() == saver.tokenizer_file.read_bytes()


def test_a_model_that_has_not_trained_yet(saver: Saver) -> None:
    saver.model, saver.optimizer = trained(0)
    model, optimizer = trained(3, seed=5)
    assert load_checkpoint(saver.save(0), model, {"optimizer": optimizer, "guard": saver.guard}).step == 0
    assert all(not bool(tensor.any()) for tensor in optimizer.tensors().values())


def test_a_snapshot_is_of_its_moment(saver: Saver) -> None:
    """Training goes on while it is written: neither weights nor moments nor the state may follow."""
    state = state_at(7)
    moving = {"optimizer": saver.optimizer, "guard": saver.guard}
    snapshot = take_snapshot(saver.model, moving, state)
    weights = {name: tensor.clone() for name, tensor in snapshot.weights.items()}
    moments = {name: tensor.clone() for name, tensor in snapshot.moving.items()}
    for parameter in saver.model.parameters():
        parameter.grad = torch.ones_like(parameter)
    saver.optimizer.step()
    saver.guard.judge(torch.tensor(1.0), torch.tensor(9.0))
    state.step = 8
    assert snapshot.state == state_at(7)
    assert moments.keys() >= {"guard/mean", "guard/seen", "optimizer/final_norm.weight/exp_avg"}
    for kept, copied in ((snapshot.weights, weights), (snapshot.moving, moments)):
        assert all(torch.equal(kept[name], copied[name]) for name in copied)


def test_the_moments_of_another_optimizer_are_refused_in_one_line(saver: Saver) -> None:
    path = saver.save(7)
    muon = build_optimizer(saver.model, TrainingConfig(optimizer="muon"))
    with pytest.raises(DamagedFileError, match="the state of the optimizer") as raised:
        load_checkpoint(path, saver.model, {"optimizer": muon})
    assert "\n" not in str(raised.value)


def test_tied_weights_are_stored_once_and_stay_tied(saver: Saver) -> None:
    path = saver.save(1)
    assert "head.weight" not in load_file(path / "model.safetensors")
    model, optimizer = trained(0, seed=3)
    load_checkpoint(path, model, {"optimizer": optimizer})
    assert model.head.weight is model.token_embedding.weight


def test_only_the_newest_stay(saver: Saver) -> None:
    for step in (5, 10, 15):
        saver.save(step, keep=2)
    assert [path.name for path in list_checkpoints(saver.folder)] == ["step-00000010", "step-00000015"]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "deleted"])
def test_damage_is_found_by_name_and_the_one_before_is_used(saver: Saver, name: str, damage: str) -> None:
    before, newest = saver.save(10), saver.save(20)
    file = newest / name
    raw = file.read_bytes()
    file.unlink()
    if damage != "deleted":
        middle = len(raw) // 2
        flipped = raw[:middle] + bytes([raw[middle] ^ 0x10]) + raw[middle + 1 :]
        file.write_bytes({"truncated": raw[:-1], "empty": b"", "flipped": flipped}[damage])
        if name == "manifest.json" and damage == "truncated":
            file.write_bytes(raw[:-3])  # its last byte is a line feed: without it the file is still whole
    warnings: list[str] = []
    assert newest_checkpoint(saver.folder, warnings.append) == before
    assert len(warnings) == 1
    # A flip in the manifest's own checksums looks like damage to the file that they belong to.
    assert str(newest if (name, damage) == ("manifest.json", "flipped") else file) in warnings[0]
    assert "\n" not in warnings[0]
    with pytest.raises(HomespunError):
        verify_checkpoint(newest)


@pytest.mark.parametrize("name", FILES)
def test_a_flip_anywhere_is_found(saver: Saver, name: str) -> None:
    path = saver.save(10)
    raw = (path / name).read_bytes()
    for place in range(0, len(raw), max(1, len(raw) // 60)):
        for bit in (0, 3, 5):
            (path / name).write_bytes(raw[:place] + bytes([raw[place] ^ 1 << bit]) + raw[place + 1 :])
            with pytest.raises(HomespunError):
                verify_checkpoint(path)
    (path / name).write_bytes(raw)
    verify_checkpoint(path)


@pytest.mark.parametrize("content", ["[]", "null", "{}", '{"format": 2, "sha256": []}', '{"format": 9, "sha256": {}}'])
def test_a_manifest_that_is_something_else(saver: Saver, content: str) -> None:
    path = saver.save(10)
    (path / "manifest.json").write_text(content)
    with pytest.raises(DamagedFileError, match=str(path)):
        verify_checkpoint(path)


def test_a_manifest_that_lists_too_little_vouches_for_nothing(saver: Saver) -> None:
    path = saver.save(10)
    manifest = json.loads((path / "manifest.json").read_text())
    del manifest["sha256"]["model.safetensors"]
    (path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DamagedFileError, match=r"manifest\.json"):
        verify_checkpoint(path)


def test_all_damaged_is_an_error_and_not_a_new_start(saver: Saver) -> None:
    for step in (10, 20):
        (saver.save(step) / "model.safetensors").write_bytes(b"")
    warnings: list[str] = []
    with pytest.raises(DamagedFileError, match="every checkpoint in"):
        newest_checkpoint(saver.folder, warnings.append)
    assert len(warnings) == 2


def test_no_checkpoint_yet_is_none(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "never", no_warning) is None
    (tmp_path / "notes.txt").write_text("something else")
    assert newest_checkpoint(tmp_path, no_warning) is None


def test_after_a_fall_back_the_new_checkpoint_survives_and_the_damaged_one_goes(saver: Saver) -> None:
    """Step 20 is damaged, training went on from 10 and saves 15: 15 is now the newest, whatever is kept."""
    saver.save(10)
    (saver.save(20) / "model.safetensors").write_bytes(b"")
    new = saver.save(15, keep=1)
    assert list_checkpoints(saver.folder) == [new]
    assert newest_checkpoint(saver.folder, no_warning) == new


def test_leftovers_of_killed_saves_are_removed(saver: Saver) -> None:
    path = saver.save(10)
    leftover = saver.folder / f"{TEMPORARY_PREFIX}4194999-step-00000020"
    leftover.mkdir()
    (leftover / "model.safetensors").write_bytes(b"half")
    assert newest_checkpoint(saver.folder, no_warning) == path
    assert [entry.name for entry in saver.folder.iterdir()] == [path.name]


def test_a_whole_checkpoint_under_its_temporary_name_is_used(saver: Saver) -> None:
    """The kill came between the removal of an older folder of the same step and the rename."""
    path = saver.save(10)
    path.rename(saver.folder / f"{TEMPORARY_PREFIX}4194999-{path.name}")
    assert newest_checkpoint(saver.folder, no_warning) == path
    verify_checkpoint(path)


def test_a_reader_does_not_touch_what_a_writer_is_writing(saver: Saver) -> None:
    """Somebody generates text while the run trains: the checkpoint being written stays."""
    path = saver.save(10)
    writing = saver.folder / f"{TEMPORARY_PREFIX}{os.getppid()}-step-00000020"
    writing.mkdir()
    (writing / "model.safetensors").write_bytes(b"half")
    assert newest_checkpoint(saver.folder, no_warning, clean=False) == path
    assert (writing / "model.safetensors").exists()


def test_saving_the_same_step_again_replaces_it(saver: Saver) -> None:
    path = saver.save(10)
    first = load_file(path / "model.safetensors")
    saver.model, saver.optimizer = trained(4, seed=8)
    assert saver.save(10) == path
    verify_checkpoint(path)
    second = load_file(path / "model.safetensors")
    assert any(not torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda tensors: tensors.pop("final_norm.weight"), "lacks the tensor final_norm.weight"),
        (lambda tensors: tensors.update(extra=torch.zeros(2)), "has a tensor extra that the model does not have"),
        (lambda tensors: tensors.update({"final_norm.weight": torch.zeros(3)}), r"final_norm.weight has shape \(3,\)"),
    ],
)
def test_weights_of_another_model_are_refused_in_one_line(saver: Saver, change: object, says: str) -> None:
    path = saver.save(10)
    tensors = load_file(path / "model.safetensors")
    change(tensors)  # type: ignore[operator]
    save_file(tensors, path / "model.safetensors")
    model, _ = trained(0, seed=4)
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    with pytest.raises(DamagedFileError, match=says) as raised:
        load_weights(path, model)
    assert "\n" not in str(raised.value)
    assert str(path / "model.safetensors") in str(raised.value)
    assert all(torch.equal(parameter, before[name]) for name, parameter in model.named_parameters())


@pytest.mark.parametrize("content", [b"", b"not tensors at all", b"\xff" * 64])
def test_a_file_that_is_no_tensor_file_is_one_line(saver: Saver, content: bytes) -> None:
    path = saver.save(10)
    (path / "model.safetensors").write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"model\.safetensors") as raised:
        load_weights(path, saver.model)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("place", ["copyfile", "write_json", "fsync"])
def test_a_full_disk_leaves_the_previous_checkpoint(saver: Saver, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = saver.save(10)

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "somewhere")

    module = {"copyfile": shutil, "write_json": checkpoint_module, "fsync": os}[place]
    with monkeypatch.context() as patched:
        patched.setattr(module, place, full)
        with pytest.raises(HomespunError, match="the disk is full; free some space"):
            saver.save(20, keep=1)
    assert [entry.name for entry in saver.folder.iterdir()] == [path.name]
    verify_checkpoint(path)
    saver.save(20)  # space was freed


@pytest.fixture
def small_files_only() -> Iterator[None]:
    """The system refuses to let any file grow beyond a few blocks, as a full disk or a quota does."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    previous = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, previous)


def test_a_write_that_the_system_refuses_is_one_line(saver: Saver, small_files_only: None) -> None:
    """The tensors are written by a library with an error of its own; it must not come out as a traceback."""
    with pytest.raises(HomespunError) as raised:
        saver.save(20)
    assert "\n" not in str(raised.value)
    assert "cannot write" in str(raised.value)
    assert list(saver.folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_one_line(saver: Saver) -> None:
    saver.folder.parent.parent.joinpath("run").write_text("a file stands where the run should be")
    with pytest.raises(HomespunError, match="cannot write"):
        saver.save(10)


KILLED = """
import os, sys, torch
from pathlib import Path
import homespun.common.files as files
from homespun.models.gpt import GPT
from homespun.models.settings import GPTConfig
from homespun.training.checkpoint import TrainingState, save_checkpoint, take_snapshot
from homespun.training.execution import Execution
torch.set_num_threads(1)
folder, tokenizer = Path(sys.argv[1]), Path(sys.argv[2])
model = GPT(GPTConfig(vocabulary_size=40, context=8, layers=1, width=16, heads=2))
documents = {"config.json": {}, "made_with.json": {}}
def save(step):
    state = TrainingState(step, 9, 0, 0.0, Execution())
    save_checkpoint(folder, take_snapshot(model, {}, state), documents, tokenizer, 1)
save(1)
sync = files.sync
def die(path):
    if path.name == "manifest.json":
        os.kill(os.getpid(), 9)
    sync(path)
files.sync = die
save(2)
"""


def test_a_process_killed_while_saving_leaves_a_checkpoint_that_is_whole(tmp_path: Path, tokenizer_file: Path) -> None:
    folder = tmp_path / "checkpoints"
    ended = subprocess.run([sys.executable, "-c", KILLED, str(folder), str(tokenizer_file)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert len(list(folder.iterdir())) == 2  # the whole one, and what was under way
    found = newest_checkpoint(folder, no_warning)
    assert found is not None
    verify_checkpoint(found)
    assert not list(folder.glob(f"{TEMPORARY_PREFIX}*"))
