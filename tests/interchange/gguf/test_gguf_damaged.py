"""Files that are cut, changed, contradictory or foreign: one clear line, and never more memory than the file has."""

import random
import struct
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from homespun.common.errors import DamagedFileError, HomespunError
from homespun.interchange.gguf import read_gguf
from homespun.interchange.gguf.container import HEADER
from homespun.interchange.gguf.metadata import number_at
from homespun.interchange.gguf.read_container import read_container
from homespun.interchange.gguf.values import Kind, Value
from tests.interchange.gguf.conftest import refuses, same_weights

MOST_MEMORY = 20_000_000


def write_raw(raw: bytes, path: Path) -> Path:
    path.write_bytes(raw)
    return path


def read_raw(raw: bytes, path: Path) -> object:
    return read_gguf(write_raw(raw, path))


def test_files_that_end_too_early(written: Path, unsealed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "cut.gguf"
    whole = written.read_bytes()
    places = [*range(0, 400, 7), *range(400, len(whole), len(whole) // 200), len(whole) - 1]
    for raw in (whole, unsealed):
        for place in places:
            path.write_bytes(raw[:place])
            with pytest.raises(DamagedFileError) as caught:
                read_gguf(path)
            assert str(path) in str(caught.value)
            assert "\n" not in str(caught.value)


def test_every_flipped_bit_is_found(written: Path, tmp_path: Path) -> None:
    whole = written.read_bytes()
    path = tmp_path / "flipped.gguf"
    chance = random.Random(1)
    for _ in range(400):
        raw = bytearray(whole)
        raw[chance.randrange(len(raw))] ^= 1 << chance.randrange(8)
        path.write_bytes(raw)
        with pytest.raises(HomespunError) as caught:
            read_gguf(path)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 600


def test_whatever_stands_in_a_file_without_a_checksum(unsealed: bytes, tmp_path: Path) -> None:
    """It is read, or it is one line; no other error, and no memory beyond what the file is long."""
    path = tmp_path / "any.gguf"
    chance = random.Random(2)
    end_of_head = unsealed.index(b"output_norm.weight") + 100
    read = 0
    tracemalloc.start()  # it makes reading slow, so there are not more of them
    try:
        for _ in range(250):
            raw = bytearray(unsealed)
            place = chance.randrange(end_of_head)
            for _ in range(chance.choice((1, 1, 3))):
                kind = chance.randrange(3)
                if kind == 0:
                    raw[place] = chance.randrange(256)
                elif kind == 1:
                    raw[place : place + 8] = struct.pack("<Q", chance.choice((0, 1, 2**31, 2**40, 2**63, 2**64 - 1)))
                else:
                    del raw[place : place + chance.randrange(1, 9)]
            path.write_bytes(raw)
            try:
                read_gguf(path)
                read += 1
            except HomespunError as error:
                assert "\n" not in str(error)
                assert str(path) in str(error)
                assert len(str(error)) < 600
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    assert read < 200


def patch_header(version: int | None = None, tensors: int | None = None, values: int | None = None) -> Callable:
    """A change of what the file says of itself at its beginning."""

    def change(raw: bytes) -> bytes:
        found = HEADER.unpack_from(raw, 4)
        wanted = [old if new is None else new for old, new in zip(found, (version, tensors, values), strict=True)]
        return raw[:4] + HEADER.pack(*wanted) + raw[4 + HEADER.size :]

    return change


def patch_after(mark: bytes, offset: int, form: str, value: int) -> Callable[[bytes], bytes]:
    """Write a number at a distance behind the first ``mark``."""

    def change(raw: bytes) -> bytes:
        place = raw.index(mark) + len(mark) + offset
        packed = struct.pack("<" + form, value)
        return raw[:place] + packed + raw[place + len(packed) :]

    return change


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    assert len(old) == len(new)
    return lambda raw: raw.replace(old, new)


# Behind the name of a tensor: the count of dimensions (I), two sizes (QQ), the type (I), the place (Q).
# Behind a key: the type of its value (I), the value; of an array the type of its items (I), their count (Q).
OUTPUT = b"blk.0.attn_output.weight"
DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "empty": (lambda raw: b"", "it is empty"),
    "foreign": (lambda raw: b"PK\x03\x04" + raw[4:], "is not a GGUF file"),
    "short": (lambda raw: b"GG", "is not a GGUF file"),
    "version": (patch_header(version=7), "is GGUF version 7; homespun reads"),
    "first version": (patch_header(version=1), "is GGUF version 1; homespun reads"),
    "big-endian": (patch_header(version=3 << 24), "is a big-endian GGUF file of version 3"),
    "tensors": (patch_header(tensors=2**60), "it says that it has 1,152,921,504,606,846,976 tensors"),
    "values": (patch_header(values=2**63), "metadata values, for which it is too short"),
    "more values": (patch_header(values=300), "of metadata value"),
    "fewer tensors": (patch_header(tensors=5), "is missing"),
    "kind": (patch_after(b"general.name", 0, "I", 99), "general.name has the unknown type 99"),
    "text": (patch_after(b"general.name", 4, "Q", 2**62), "general.name needs 4,611,686,018,427,387,904 bytes"),
    "array": (patch_after(b"tokenizer.ggml.tokens", 8, "Q", 2**50), "tokenizer.ggml.tokens says that it has"),
    "numbers": (patch_after(b"ggml.token_type", 8, "Q", 2**60), "tokenizer.ggml.token_type needs"),
    "deep": (patch_after(b"tokenizer.ggml.tokens", 4, "I", 9), "tokenizer.ggml.tokens"),
    "no UTF-8": (swap(b"general.name", b"general.nam\xff"), "is not UTF-8"),
    "key": (swap(b"general.name", b"general nam\x07"), "is not one"),
    "key twice": (swap(b"general.name", b"general.type"), "the key general.type stands there twice"),
    "truth": (patch_after(b"ggml.add_bos_token", 4, "B", 2), "is a truth value, but neither 0 nor 1"),
    "missing": (swap(b"qwen3.block_count", b"qwen3.bloxx_count"), "qwen3.bloxx_count is '2', which homespun"),
    "architecture": (swap(b"\x05\0\0\0\0\0\0\0qwen3", b"\x05\0\0\0\0\0\0\0mamba"), "architecture 'mamba'; "),
    "layers": (patch_after(b"qwen3.block_count", 4, "I", 2**31), "qwen3.block_count is 2,147,483,648, not within"),
    "more layers": (patch_after(b"qwen3.block_count", 4, "I", 3), "the tensor blk.2.attn_norm.weight is missing"),
    "fewer layers": (patch_after(b"qwen3.block_count", 4, "I", 1), "the tensor blk.1.attn_norm.weight is one that"),
    "no heads": (patch_after(b"qwen3.attention.head_count", 4, "I", 0), "head_count is 0, not within 1 and"),
    "heads": (patch_after(b"attention.head_count_kv", 4, "I", 3), "model.key_value_heads 3 does not divide"),
    "odd heads": (patch_after(b"attention.key_length", 4, "I", 9), "value_length is 8 where a head has 9 channels"),
    "width": (patch_after(b"qwen3.embedding_length", 4, "I", 64), "the tensor token_embd.weight has shape"),
    "context": (patch_after(b"qwen3.context_length", 4, "I", 2**32 - 1), "qwen3.context_length is 4,294,967,295"),
    "epsilon": (patch_after(b"layer_norm_rms_epsilon", 4, "I", 0x7F800000), "layer_norm_rms_epsilon is inf"),
    "base": (patch_after(b"rope.freq_base", 4, "I", 0xBF800000), "model.rotary_base is -1.0"),
    "not a number": (patch_after(b"rope.freq_base", 0, "I", 4), "qwen3.rope.freq_base is not a number"),
    "dimensions": (patch_after(OUTPUT, 0, "I", 9), "the tensor blk.0.attn_output.weight has 9 dimensions"),
    "no row": (patch_after(OUTPUT, 4, "Q", 0), "the tensor blk.0.attn_output.weight is empty"),
    "rows": (patch_after(OUTPUT, 12, "Q", 2**62), "the tensor blk.0.attn_output.weight reaches to byte"),
    "type": (patch_after(OUTPUT, 20, "I", 12), "is stored as Q4_K; homespun reads F32, F16, BF16, Q8_0, Q4_0"),
    "unknown type": (patch_after(OUTPUT, 20, "I", 77), "blk.0.attn_output.weight has the unknown type 77"),
    "place": (patch_after(OUTPUT, 24, "Q", 64), "the tensor blk.0.attn_output.weight stands at 64 where"),
    "name": (swap(OUTPUT, b"blk.0.attn_output.wei\n!!"), "the name of tensor"),
    "tensor twice": (swap(b"blk.0.attn_k_norm", b"blk.0.attn_q_norm"), "blk.0.attn_q_norm.weight stands there twice"),
    "other tensor": (swap(OUTPUT, b"blk.0.attn_output.weighs"), "the tensor blk.0.attn_output.weight is missing"),
    "tokenizer": (swap(b"\x04\0\0\0\0\0\0\0gpt2", b"\x04\0\0\0\0\0\0\0bert"), "is of the kind 'bert'; "),
    "split": (swap(b"\x05\0\0\0\0\0\0\0qwen2", b"\x05\0\0\0\0\0\0\0falco"), "splits as 'falco' does"),
    "types": (patch_after(b"ggml.token_type", 16, "I", 88), "has the type 88"),
    "byte": (patch_after(b"ggml.token_type", 16, "I", 6), "has the type 6"),
    "end": (patch_after(b"ggml.eos_token_id", 4, "I", 10**6), "tokenizer.ggml.eos_token_id is 1,000,000, not within"),
    "token": (swap("\x02\0\0\0\0\0\0\0Ġt".encode()[:10], b"\x02\0\0\0\0\0\0\0zz"), ""),
}  # fmt: skip


@pytest.mark.parametrize("name", list(DAMAGES))
def test_damages(name: str, unsealed: bytes, tmp_path: Path) -> None:
    change, words = DAMAGES[name]
    raw = change(unsealed)
    assert raw != unsealed
    refuses(words, read_raw, raw, tmp_path / "damaged.gguf")


def test_a_file_without_a_checksum_is_read(written: Path, unsealed: bytes, tmp_path: Path) -> None:
    same_weights(read_gguf(written), read_raw(unsealed, tmp_path / "model.gguf"))


def test_paths_that_are_no_files(tmp_path: Path) -> None:
    refuses("is a folder; give a .gguf file", read_gguf, tmp_path)
    refuses("no such file or folder", read_gguf, tmp_path / "missing.gguf")


@pytest.mark.parametrize("number", [float("inf"), float("nan")])
def test_weights_that_are_no_numbers(unsealed: bytes, tmp_path: Path, number: float) -> None:
    path = write_raw(unsealed, tmp_path / "model.gguf")
    start = read_container(path).entries["blk.0.attn_k.weight"].start
    raw = unsealed[:start] + struct.pack("<f", number) + unsealed[start + 4 :]
    refuses("has numbers that are infinite or no numbers", read_raw, raw, path)


def test_a_number_too_large_for_float32(unsealed: bytes, tmp_path: Path) -> None:
    container = read_container(write_raw(unsealed, tmp_path / "model.gguf"))
    numbers = {"double": Value(Kind.FLOAT64, 1e300), "small": Value(Kind.FLOAT64, 1e-6)}
    found = replace(container, metadata=numbers)
    refuses("double is 1e+300", number_at, found, "double")
    assert number_at(found, "small") == 1e-6


def test_alignments(gguf: ModuleType, unsealed: bytes, tmp_path: Path) -> None:
    writer = gguf.GGUFWriter(tmp_path / "some.gguf", "none")
    writer.add_uint32("general.alignment", 64)
    writer.add_tensor("t", np.zeros(32, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    raw = (tmp_path / "some.gguf").read_bytes()
    for value in (0, 48, 2**31):
        (tmp_path / "other.gguf").write_bytes(patch_after(b"general.alignment", 4, "I", value)(raw))
        refuses(f"general.alignment is {value}, not a power of two", read_container, tmp_path / "other.gguf")


def test_what_the_file_says_about_the_model_is_not_passed_over(unsealed: bytes, tmp_path: Path) -> None:
    raw = swap(b"qwen3.vocab_size", b"qwen3.logit_xxxx")(unsealed)
    refuses("qwen3.logit_xxxx is '29", read_raw, raw, tmp_path / "model.gguf")
