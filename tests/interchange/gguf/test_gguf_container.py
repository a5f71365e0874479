"""The file itself: what we write, the library of its makers reads, and the other way round."""

import tracemalloc
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from homespun.common.errors import HomespunError
from homespun.interchange.gguf.container import SEAL_KEY
from homespun.interchange.gguf.numbers import NUMBERS
from homespun.interchange.gguf.read_container import read_container
from homespun.interchange.gguf.values import FORMATS, REAL, WHOLE, Items, Kind, Value, array, real, text, truth, whole
from homespun.interchange.gguf.write_container import StoredTensor, write_container
from tests.interchange.gguf.conftest import refuses

BITS = {Kind.UINT8: 8, Kind.INT8: 8, Kind.UINT16: 16, Kind.INT16: 16, Kind.UINT32: 32, Kind.INT32: 32}


def contents(kind: Kind) -> st.SearchStrategy[Any]:
    """Any content of this type."""
    if kind == Kind.BOOL:
        return st.booleans()
    if kind == Kind.STRING:
        return st.text(max_size=20)
    if kind in REAL:
        return st.floats(width=32 if kind == Kind.FLOAT32 else 64, allow_nan=False)
    bits = BITS.get(kind, 64)
    if kind.name.startswith("UINT"):
        return st.integers(0, 2**bits - 1)
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def items_of(kind: Kind) -> st.SearchStrategy[Items]:
    return st.lists(contents(kind), max_size=5).map(lambda values: Items(kind, tuple(values)))


PLAIN = st.sampled_from([kind for kind in Kind if kind != Kind.ARRAY])
ITEMS = PLAIN.flatmap(items_of)
NESTED = st.lists(ITEMS, max_size=3).map(lambda rows: Items(Kind.ARRAY, tuple(rows)))
VALUES = st.one_of(
    PLAIN.flatmap(lambda kind: contents(kind).map(lambda content: Value(kind, content))),
    st.one_of(ITEMS, NESTED).map(lambda items: Value(Kind.ARRAY, items)),
)
KEYS = st.from_regex(r"[a-z_]{1,8}(\.[a-z_]{1,8}){0,2}", fullmatch=True).filter(lambda key: key != SEAL_KEY)


@given(metadata=st.dictionaries(KEYS, VALUES, max_size=6))
def test_metadata_of_all_types_comes_back(metadata: dict[str, Value], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("any") / "any.gguf"
    write_container(path, metadata, [])
    found = dict(read_container(path).metadata)
    del found[SEAL_KEY]
    assert found == metadata


def some_tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = {"one": (5,), "two": (3, 32), "three": (2, 3, 64), "last": (33,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


METADATA = {
    "general.architecture": text("none"),
    "some.text": text("ক্ষ 🚀"),
    "some.size": whole(7),
    "some.rate": real(0.25),
    "some.answer": truth(True),
    "some.list": array(Kind.STRING, ["a", "", "в"]),
    "some.numbers": array(Kind.INT32, [-1, 2]),
    "some.large": Value(Kind.UINT64, 2**63),
}


@pytest.mark.parametrize("name", list(NUMBERS))
def test_the_oracle_reads_what_we_write(gguf: ModuleType, tmp_path: Path, name: str) -> None:
    path = tmp_path / "ours.gguf"
    tensors = some_tensors()
    kinds = {key: NUMBERS[name] if tensor.shape[-1] % 32 == 0 else NUMBERS["F32"] for key, tensor in tensors.items()}
    write_container(path, METADATA, [StoredTensor(key, tensor, kinds[key]) for key, tensor in tensors.items()])
    reader = gguf.GGUFReader(path)
    for key, value in METADATA.items():
        expected = list(value.content.values) if value.kind == Kind.ARRAY else value.content
        assert reader.fields[key].contents() == expected
        assert reader.fields[key].types[0] == value.kind
    assert [tensor.name for tensor in reader.tensors] == list(tensors)
    for found in reader.tensors:
        expected = tensors[found.name]
        assert found.shape.tolist() == list(reversed(expected.shape))
        assert found.tensor_type == kinds[found.name].code
        assert found.data_offset % 32 == 0
        raw = gguf.quants.quantize(expected.numpy(), found.tensor_type)
        assert np.array_equal(np.ascontiguousarray(found.data).view(np.uint8).ravel(), raw.view(np.uint8).ravel())


@pytest.mark.parametrize("name", list(NUMBERS))
def test_we_read_what_the_oracle_writes(gguf: ModuleType, tmp_path: Path, name: str) -> None:
    path = tmp_path / "theirs.gguf"
    writer = gguf.GGUFWriter(path, "none")
    writer.add_custom_alignment(64)
    for kind in (*WHOLE, *REAL, Kind.BOOL):
        writer.add_key_value(f"of.{kind.name.lower()}", 1, gguf.GGUFValueType(kind))
    writer.add_string("of.text", "ক্ষ 🚀")
    writer.add_array("of.list", ["a", "", "в"])
    writer.add_array("of.numbers", [1, -2])
    kind = gguf.GGMLQuantizationType[name]
    stored = {}
    for key, tensor in some_tensors().items():
        own = kind if tensor.shape[-1] % 32 == 0 else gguf.GGMLQuantizationType.F32
        stored[key] = gguf.quants.quantize(tensor.numpy(), own), own
        writer.add_tensor(key, stored[key][0], raw_dtype=own)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    container = read_container(path)
    for own in FORMATS:
        assert container.metadata[f"of.{own.name.lower()}"] == Value(own, 1)
    assert container.metadata["of.text"].content == "ক্ষ 🚀"
    assert container.metadata["of.list"].content == Items(Kind.STRING, ("a", "", "в"))
    assert container.metadata["of.numbers"].content.values == (1, -2)
    assert list(container.entries) == list(stored)
    for key, (raw, own) in stored.items():
        expected = gguf.quants.dequantize(raw.view(np.uint8) if own.value in (2, 8, 30) else raw, own)
        assert torch.equal(container.tensor(key), torch.from_numpy(expected.reshape(container.entries[key].shape)))


def test_parts_of_a_large_tensor_are_the_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = torch.randn(7, 96, generator=torch.Generator().manual_seed(1))
    for size in (1 << 20, 64):
        monkeypatch.setattr("homespun.interchange.gguf.write_container.PART", size)
        write_container(tmp_path / f"{size}.gguf", {}, [StoredTensor("t", tensor, NUMBERS["Q4_0"])])
    assert (tmp_path / "64.gguf").read_bytes() == (tmp_path / "1048576.gguf").read_bytes()


def test_writing_takes_no_second_copy_of_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("homespun.interchange.gguf.write_container.PART", 1 << 16)
    tensor = torch.ones(64, 1 << 16)  # 16 MB
    tracemalloc.start()
    try:
        write_container(tmp_path / "t.gguf", {}, [StoredTensor("t", tensor, NUMBERS["F32"])])
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("weight", "name", "words"),
    [
        (float("nan"), "F32", "the tensor t has weights that are not finite"),
        (float("-inf"), "Q8_0", "the tensor t has weights that are not finite"),
        (-7e4, "F16", "the tensor t has a weight of 70000, which F16 cannot hold; choose BF16 or F32"),
        (1e7, "Q4_0", "which Q4_0 cannot hold"),
        (3.4e38, "BF16", "which BF16 cannot hold"),
    ],
)
def test_weights_that_cannot_be_stored(tmp_path: Path, weight: float, name: str, words: str) -> None:
    tensor = torch.zeros(32)
    tensor[3] = weight
    refuses(words, write_container, tmp_path / "t.gguf", {}, [StoredTensor("t", tensor, NUMBERS[name])])
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    refuses("no such file or folder", write_container, tmp_path / "missing" / "t.gguf", {}, [])
    (tmp_path / "folder").mkdir()
    with pytest.raises(HomespunError):
        write_container(tmp_path / "folder", {}, [])
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
