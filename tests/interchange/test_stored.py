"""Files of tensors: what the library writes is read, what is damaged is refused, pickles are not opened."""

import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.interchange.stored import open_tensors
from homespun.interchange.stored.safetensors_file import TYPES
from tests.damaged_arrays import HEADERS, encrypt, write_archive

TENSORS = {
    "a": torch.arange(6, dtype=torch.float32).view(2, 3),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "odd": torch.tensor([1, 2, 3], dtype=torch.uint8),
    "empty": torch.zeros(0, 4),
    "one": torch.tensor(3.0),
}


def write(path: Path, header: Any, data: bytes = b"", length: int | None = None) -> Path:
    """A file with any header, and any claim of its length."""
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw) if length is None else length) + raw + data)
    return path


def complaint(path: Path, error: type[HomespunError] = DamagedFileError) -> str:
    """The one line that a file gets, which names it."""
    with pytest.raises(error) as raised:
        source = open_tensors(path)
        for name in source.names():
            source.read(name)
    assert "\n" not in str(raised.value)
    assert path.name in str(raised.value)
    return str(raised.value)


def test_what_the_library_wrote(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "model.safetensors", {"format": "pt"})
    source = open_tensors(tmp_path)
    assert set(source.names()) == set(TENSORS)
    for name, tensor in TENSORS.items():
        assert source.shape(name) == tuple(tensor.shape)
        assert TYPES[source.type_name(name)] == tensor.dtype
        assert source.is_float(name) == tensor.is_floating_point()
        assert torch.equal(source.read(name), tensor)


@settings(deadline=None, max_examples=60)
@given(
    shapes=st.lists(st.lists(st.integers(0, 4), max_size=3), max_size=5),
    kinds=st.lists(st.sampled_from(sorted(TYPES)), min_size=5, max_size=5),
    seed=st.integers(0, 99),
)
def test_any_tensors_that_the_library_writes(
    tmp_path_factory: pytest.TempPathFactory, shapes: list[list[int]], kinds: list[str], seed: int
) -> None:
    chance = torch.Generator().manual_seed(seed)
    tensors = {
        f"t{number}": (4 * torch.rand(shape, generator=chance)).to(TYPES[kind])
        for number, (shape, kind) in enumerate(zip(shapes, kinds, strict=False))
    }
    path = tmp_path_factory.mktemp("drawn") / "x.safetensors"
    save_file(tensors, path)
    source = open_tensors(path)
    assert set(source.names()) == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(source.read(name).flatten().view(torch.uint8), tensor.flatten().view(torch.uint8))


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "data", "length", "says"),
    [
        (b"", b"", 0, "cut off: it has only 8 bytes"),
        ({}, b"", 10**15, "its header would have 1,000,000,000,000,000 bytes"),
        ({}, b"", 2**64 - 1, "its header would have"),
        ({}, b"", 50, "its header has 50 bytes, the whole file 10"),
        (b"[1]", b"", None, "no JSON object"),
        (b"{,}", b"", None, "not JSON"),
        (b"\xff\xfe", b"", None, "not JSON"),
        (b"[" * 90_000, b"", None, "nested too deep"),
        (b'{"a": 1, "a": 2}', b"", None, "'a' stands twice"),
        ({"a": 3}, b"", None, "its header about 'a'"),
        ({"a": ENTRY | {"shape": [-1]}}, bytes(8), None, "its header about 'a'"),
        ({"a": ENTRY | {"shape": [2.0]}}, bytes(8), None, "its header about 'a'"),
        ({"a": ENTRY | {"shape": "2"}}, bytes(8), None, "its header about 'a'"),
        ({"a": ENTRY | {"data_offsets": [0]}}, bytes(8), None, "its header about 'a'"),
        ({"a": ENTRY | {"dtype": "F99"}}, bytes(8), None, "the type 'F99'"),
        ({"a\nb": ENTRY}, bytes(8), None, r"its header about 'a\nb'"),
        ({"a": ENTRY | {"dtype": 7}}, bytes(8), None, "its header about 'a'"),
        ({"a": ENTRY | {"shape": [3]}}, bytes(8), None, r"a of shape (3,) and type F32 needs 12 bytes"),
        ({"a": ENTRY | {"shape": [2**62, 2**62]}}, bytes(8), None, "needs"),
        ({"a": ENTRY}, bytes(7), None, "a ends at byte 8, there are 7"),
        ({"a": ENTRY}, bytes(9), None, "1 bytes behind the last tensor"),
        ({"a": ENTRY, "b": ENTRY}, bytes(16), None, "b begins at byte 0, the one before it ends at 8"),
        ({"a": ENTRY, "b": ENTRY | {"data_offsets": [12, 20]}}, bytes(20), None, "b begins at byte 12"),
    ],
)
def test_a_damaged_file(header: Any, data: bytes, length: int | None, says: str, tmp_path: Path) -> None:
    assert says in complaint(write(tmp_path / "model.safetensors", header, data, length))


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file(TENSORS, path)
    whole = path.read_bytes()
    for size in range(0, len(whole), 7):
        path.write_bytes(whole[:size])
        complaint(path)


@settings(deadline=None, max_examples=150)
@given(data=st.data())
def test_a_changed_byte_of_the_header_never_crashes(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    path = tmp_path_factory.mktemp("flipped") / "model.safetensors"
    save_file(TENSORS, path)
    raw = bytearray(path.read_bytes())
    header = 8 + int.from_bytes(raw[:8], "little")
    raw[data.draw(st.integers(0, header - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(raw)
    try:
        source = open_tensors(path)
        for name in source.names():
            source.read(name)
    except DamagedFileError as error:
        assert "\n" not in str(error)


def shards(folder: Path) -> dict[str, str]:
    """Two files and their index."""
    save_file({"a": TENSORS["a"]}, folder / "model-00001-of-00002.safetensors")
    save_file({"half": TENSORS["half"]}, folder / "model-00002-of-00002.safetensors")
    places = {"a": "model-00001-of-00002.safetensors", "half": "model-00002-of-00002.safetensors"}
    write_index(folder, places)
    return places


def write_index(folder: Path, places: Any) -> None:
    """As the library does."""
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": places}))


def test_shards(tmp_path: Path) -> None:
    shards(tmp_path)
    source = open_tensors(tmp_path)
    assert list(source.names()) == ["a", "half"]
    assert torch.equal(source.read("half"), TENSORS["half"])
    assert source.file("half").name == "model-00002-of-00002.safetensors"
    assert source.is_float("a") and source.type_name("half") == "BF16" and source.shape("a") == (2, 3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"a": "model-00002-of-00002.safetensors"}, "lacks the tensor 'a', which model.safetensors.index.json lists"),
        (
            {"half": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"},
            "says is in model-00001",
        ),
        ({"b": "model-00002-of-00002.safetensors"}, "lacks the tensor 'b', which model.safetensors.index.json lists"),
        ({"b": "model-00003-of-00002.safetensors"}, "model-00003-of-00002.safetensors is missing"),
        ({"b": "../../secret.safetensors"}, "must lie beside the index"),
        ({"b": "/etc/passwd"}, "must lie beside the index"),
        ({"b": 3}, "no weight_map"),
    ],
)
def test_an_index_that_contradicts_its_files(change: dict[str, Any], says: str, tmp_path: Path) -> None:
    write_index(tmp_path, shards(tmp_path) | change)
    with pytest.raises(DamagedFileError, match=r"safetensors") as raised:
        open_tensors(tmp_path)
    assert says in str(raised.value) and "\n" not in str(raised.value)


def test_a_tensor_that_the_index_does_not_list(tmp_path: Path) -> None:
    places = shards(tmp_path)
    save_file({"half": TENSORS["half"], "c": TENSORS["a"]}, tmp_path / places["half"])
    with pytest.raises(DamagedFileError, match=r"has the tensor c, which .* does not list"):
        open_tensors(tmp_path)


@pytest.mark.parametrize("index", ["[]", "{}", '{"weight_map": {}}', "{"])
def test_a_damaged_index(index: str, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)
    assert complaint(tmp_path / "model.safetensors.index.json")


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt", "weights.pth", "x.pkl"])
def test_a_pickle_is_never_opened(name: str, tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "exploded",))

    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    for path in (tmp_path, tmp_path / name):
        with pytest.raises(HomespunError, match=r"is a pickle.*torch.load.*weights_only=True") as raised:
            open_tensors(path)
        assert name in str(raised.value) and "\n" not in str(raised.value)
    assert not (tmp_path / "exploded").exists()


def test_a_pickle_under_another_name(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(pickle.dumps({"a": 1}))
    assert "is a pickle" in complaint(path, HomespunError)
    with zipfile.ZipFile(path, "w") as archive:  # as torch.save writes
        archive.writestr("archive/data.pkl", pickle.dumps({}))
    assert "is a pickle" in complaint(path, HomespunError)


def test_a_tensorflow_checkpoint_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "model.ckpt.data-00000-of-00001").write_bytes(b"\0" * 10)
    with pytest.raises(HomespunError, match=r"TensorFlow checkpoint.*savez"):
        open_tensors(tmp_path)


def test_numpy_archives(tmp_path: Path) -> None:
    arrays = {"model/wte": np.arange(6.0).reshape(2, 3), "model/h0/ln_1/g": np.ones(3, ">f4"), "count": np.array([1])}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "model.npz", **arrays)
        source = open_tensors(tmp_path)
        assert set(source.names()) == arrays.keys()
        assert source.shape("model/wte") == (2, 3) and source.is_float("model/wte") and not source.is_float("count")
        for name, array in arrays.items():
            assert np.array_equal(source.read(name).numpy(), array)


def test_damaged_numpy_archives(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    np.savez(path, a=np.arange(1000.0))
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    assert "as a zip file" in complaint(path)
    flipped = bytearray(whole)
    flipped[4000] ^= 1
    path.write_bytes(flipped)
    assert "a is damaged" in complaint(path)
    np.savez(path, a=np.array([{}], dtype=object))
    assert "is a pickle" in complaint(path, HomespunError)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00\x04\x00huge")
    assert "a.npy is damaged" in complaint(path)
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    assert "a.npy is damaged (shape (1000000000000,)" in complaint(path)


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_header_that_numpy_cannot_read(header: bytes, tmp_path: Path) -> None:
    write_archive(tmp_path / "model.npz", "a", header)
    assert "a.npy is damaged" in complaint(tmp_path / "model.npz")


def test_an_encrypted_archive(tmp_path: Path) -> None:
    np.savez(tmp_path / "model.npz", a=np.ones(2))
    encrypt(tmp_path / "model.npz")
    assert "encrypted" in complaint(tmp_path / "model.npz")


def test_a_folder_without_weights(tmp_path: Path) -> None:
    with pytest.raises(HomespunError, match=r"has no weights: no model.safetensors"):
        open_tensors(tmp_path)
    with pytest.raises(UsageError, match=r"there is no file"):
        open_tensors(tmp_path / "nowhere.safetensors")
    save_file(TENSORS, tmp_path / "mine.safetensors")
    assert len(open_tensors(tmp_path).names()) == len(TENSORS)
    save_file(TENSORS, tmp_path / "other.safetensors")
    with pytest.raises(HomespunError, match=r"mine.safetensors, other.safetensors; name one file"):
        open_tensors(tmp_path)


def test_a_header_whose_length_begins_like_a_pickle(tmp_path: Path) -> None:
    raw = json.dumps({"a": ENTRY}).encode().ljust(0x280)
    path = write(tmp_path / "model.safetensors", raw, bytes(8))
    assert path.read_bytes().startswith(b"\x80\x02")
    assert list(open_tensors(path).names()) == ["a"]
