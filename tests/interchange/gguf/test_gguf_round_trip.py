"""A whole model written and read back is the same; and what is in the file is what llama.cpp expects there."""

from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.common.errors import UsageError
from homespun.interchange.forms import model_of
from homespun.interchange.gguf import read_gguf, write_gguf
from homespun.interchange.gguf.architectures import find_architecture
from homespun.interchange.gguf.numbers import NUMBERS
from homespun.interchange.gguf.tensors import interleave, undo_interleave
from homespun.interchange.weights import Weights
from homespun.models.settings import GPTConfig, LSTMConfig
from tests.interchange.gguf.conftest import (
    GPT2_PARTS,
    SHAPES,
    random_weights,
    refuses,
    same_weights,
    small_config,
    small_tokenizer,
    small_weights,
)


@st.composite
def configurations(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A shape, and sizes that fit it."""
    shape = draw(st.sampled_from(list(SHAPES)))
    heads = draw(st.sampled_from([1, 2, 4]))
    head_width = draw(st.sampled_from([2, 6, 16]))
    sizes = {
        "heads": heads,
        "key_value_heads": draw(st.sampled_from([0, *(count for count in (1, 2, 4) if heads % count == 0)])),
        "width": heads * head_width,
        "layers": draw(st.integers(1, 3)),
        "context": draw(st.integers(1, 40)),
        "feedforward_width": draw(st.sampled_from([0, 7, 32])),
        "tied_embeddings": draw(st.booleans()),
        "norm_epsilon": draw(st.sampled_from([1e-6, 1e-5, 0.0])),
        "rotary_base": draw(st.sampled_from([10_000.0, 1e6, 123.456])),
        "dropout": draw(st.sampled_from([0.0, 0.1])),
    }
    if shape != "gpt2" and draw(st.booleans()):
        sizes |= {"head_width": head_width, "width": draw(st.sampled_from([5, 32]))}
    return shape, sizes


@settings(max_examples=40)
@given(drawn=configurations(), seed=st.integers(0, 99))
def test_write_and_read_back(
    drawn: tuple[str, dict[str, Any]], seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shape, sizes = drawn
    tokenizer = small_tokenizer()
    weights = random_weights(small_config(shape, tokenizer, **sizes), tokenizer, seed)
    path = tmp_path_factory.mktemp("round") / "model.gguf"
    write_gguf(weights, path)
    same_weights(weights, read_gguf(path))


@pytest.mark.parametrize("number", list(NUMBERS))
@pytest.mark.parametrize("shape", list(SHAPES))
def test_every_way_of_storing(shape: str, number: str, tmp_path: Path) -> None:
    weights = small_weights(shape)
    write_gguf(weights, tmp_path / "model.gguf", number)
    found = read_gguf(tmp_path / "model.gguf")
    assert found.config == weights.config
    largest = {"F32": 0, "F16": 2e-3, "BF16": 1e-2, "Q8_0": 1e-2, "Q4_0": 0.15}[number]
    for name, tensor in weights.tensors.items():
        assert (found.tensors[name] - tensor).abs().max() <= largest, name
        if tensor.dim() == 1 or name == "positions.weight":
            assert torch.equal(found.tensors[name], tensor)


@pytest.mark.parametrize("shape", list(SHAPES))
def test_what_was_read_is_a_model(shape: str, tmp_path: Path) -> None:
    weights = small_weights(shape, tied_embeddings=False)
    write_gguf(weights, tmp_path / "model.gguf")
    tokens = torch.arange(12)[None]
    with torch.inference_mode():
        assert torch.equal(model_of(weights)(tokens), model_of(read_gguf(tmp_path / "model.gguf"))(tokens))


def test_weights_of_other_types_are_written_as_float32(tmp_path: Path) -> None:
    weights = small_weights()
    halves = replace(weights, tensors={name: tensor.bfloat16() for name, tensor in weights.tensors.items()})
    write_gguf(halves, tmp_path / "model.gguf")
    for name, tensor in read_gguf(tmp_path / "model.gguf").tensors.items():
        assert torch.equal(tensor, halves.tensors[name].float())


def test_names_and_shapes_in_the_file(gguf: ModuleType, tmp_path: Path) -> None:
    """Against the library's own table of what each architecture has."""
    for shape in SHAPES:
        write_gguf(small_weights(shape, tied_embeddings=False), tmp_path / "model.gguf", name="Small One")
        reader = gguf.GGUFReader(tmp_path / "model.gguf")
        [architecture] = [key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == shape]
        known = {gguf.TENSOR_NAMES[kind] for kind in gguf.MODEL_TENSORS[architecture]}
        for tensor in reader.tensors:
            parts = tensor.name.rsplit(".", 1)[0].split(".")
            name = f"blk.{{bid}}.{parts[2]}" if parts[0] == "blk" else parts[0]
            assert name in known, tensor.name
        fields = {name: field.contents() for name, field in reader.fields.items()}
        assert fields["general.architecture"] == shape
        assert fields["general.name"] == "Small One"
        assert fields[f"{shape}.block_count"] == 2
        assert fields[f"{shape}.attention.head_count_kv"] == 4


def test_rows_of_llama_are_interleaved_as_its_converter_does(gguf: ModuleType, tmp_path: Path) -> None:
    """The formula is that of ``LlamaModel.permute`` in llama.cpp's converter."""
    weights = small_weights("llama", key_value_heads=2)
    write_gguf(weights, tmp_path / "model.gguf")
    found = {tensor.name: np.array(tensor.data) for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    queries, keys, values = weights.tensors["blocks.1.attention.query_key_value.weight"].split([32, 16, 16])
    for name, rows, heads in (("attn_q", queries, 4), ("attn_k", keys, 2)):
        theirs = rows.numpy().reshape(heads, 2, len(rows) // heads // 2, 32).swapaxes(1, 2).reshape(rows.shape)
        assert np.array_equal(found[f"blk.1.{name}.weight"], theirs)
    assert np.array_equal(found["blk.1.attn_v.weight"], values.numpy())


def test_interleaving_and_back() -> None:
    rows = torch.arange(12)[:, None]
    assert interleave(rows, 2).flatten().tolist() == [0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11]
    assert torch.equal(undo_interleave(interleave(rows, 2), 2), rows)


def test_files_of_others_lack_our_configuration(written: Path, unsealed: bytes, tmp_path: Path) -> None:
    path = tmp_path / "other.gguf"
    path.write_bytes(unsealed.replace(b"homespun.config", b"homespun.nofig"[:7] + b"xxconfig"))
    ours, theirs = read_gguf(written), read_gguf(path)
    worked_out = replace(ours.config, key_value_heads=4, head_width=8)
    assert theirs.config == worked_out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"value_embeddings": 1}, "nearest is qwen3, which differs in model.value_embeddings = 1 (there 0)"),
        ({"logit_softcap": 15.0}, "model.logit_softcap = 15.0 (there 0.0)"),
        ({"feedforward": "relu2"}, "model.feedforward = 'relu2' (there 'swiglu')"),
        ({"normalization": "layer"}, "model.normalization = 'layer' (there 'rms')"),
        ({"biases": True}, "model.biases = True (there False)"),
        ({"norm_order": "post"}, "model.norm_order = 'post' (there 'pre')"),
        ({"window": 8}, "model.window = 8 (there 0)"),
        (GPT2_PARTS | {"biases": False}, "nearest is gpt2, which differs in model.biases = False (there True)"),
        (GPT2_PARTS | {"head_width": 16}, "model.head_width = 16 (there 0)"),
    ],
)
def test_shapes_that_llama_cpp_does_not_have(changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    refuses(words, write_gguf, small_weights(**changes), tmp_path / "model.gguf")
    assert not list(tmp_path.iterdir())


def test_settings_without_effect_do_not_matter() -> None:
    tokenizer = small_tokenizer()
    assert find_architecture(small_config("qwen3", tokenizer, window_every=2)).name == "qwen3"
    assert find_architecture(small_config("gpt2", tokenizer, query_key_value_biases=True)).name == "gpt2"
    assert (
        find_architecture(small_config("llama", tokenizer, zero_output_projections=True, dropout=0.5)).name == "llama"
    )


def test_models_that_are_no_decoders(tmp_path: Path) -> None:
    tokenizer = small_tokenizer()
    weights = Weights(LSTMConfig(vocabulary_size=tokenizer.vocabulary_size), {}, tokenizer)
    refuses("a model of the architecture lstm cannot be written as GGUF", write_gguf, weights, tmp_path / "m.gguf")


def test_weights_that_do_not_fit(tmp_path: Path) -> None:
    weights = small_weights()
    path = tmp_path / "model.gguf"
    tensors = dict(weights.tensors)
    name = "blocks.1.attention.output.weight"
    for change, words in (
        ({name: tensors[name][:5]}, f"the tensor {name} has shape (5, 32), the model needs (32, 32)"),
        ({"blocks.2.extra": tensors[name]}, "the tensor blocks.2.extra is one that the model does not have"),
        ({name: tensors[name].long()}, f"the tensor {name} is of type torch.int64"),
    ):
        refuses(words, write_gguf, replace(weights, tensors=tensors | change), path)
    del tensors[name]
    refuses(f"the tensor {name} is missing", write_gguf, replace(weights, tensors=tensors), path)
    config = replace(weights.config, vocabulary_size=weights.config.vocabulary_size + 1)
    refuses("the tokenizer has", write_gguf, replace(weights, config=config), path)
    with pytest.raises(UsageError, match="'Q5_K'; choose one of F32, F16, BF16, Q8_0, Q4_0"):
        write_gguf(weights, path, "Q5_K")
    assert not list(tmp_path.iterdir())


def test_rows_that_fill_no_block_are_stored_in_half(gguf: ModuleType, tmp_path: Path) -> None:
    write_gguf(small_weights(feedforward_width=40), tmp_path / "model.gguf", "Q4_0")
    kinds = {tensor.name: tensor.tensor_type.name for tensor in gguf.GGUFReader(tmp_path / "model.gguf").tensors}
    assert kinds["blk.0.ffn_down.weight"] == "F16"
    assert kinds["blk.0.ffn_up.weight"] == kinds["token_embd.weight"] == "Q4_0"
    assert kinds["blk.0.attn_norm.weight"] == "F32"


def test_the_default_configuration_fits() -> None:
    assert find_architecture(GPTConfig()).name == "qwen3"
