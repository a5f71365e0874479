"""Exports: what cannot be written is refused, what was not written as meant leaves nothing behind."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.common.progress import Silent
from homespun.interchange.export import export_model
from homespun.interchange.formats import FORMATS, recognize
from homespun.interchange.forms import model_of, weights_of
from homespun.interchange.huggingface import tokenizer_files, writing
from homespun.interchange.huggingface.writing import plan_shards
from homespun.interchange.kinds.text import fixed_batch
from homespun.interchange.options import Reading, Writing
from homespun.interchange.weights import Weights
from homespun.models.gpt import GPT
from homespun.models.settings import GPTConfig
from homespun.tokenizer.formats import write_vocabulary
from homespun.tokenizer.tokenizer import Tokenizer
from tests.interchange.conftest import FAMILY_OF, MERGES, OURS, TOKENIZER, our_model


def export(model: Any, path: Path, name: str = "huggingface", **options: Any) -> Any:
    """As the command does."""
    return export_model(model, TOKENIZER, FORMATS[name], path, Writing(**options), Silent())


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("target", ["huggingface", "safetensors"])
def test_every_shape_comes_back_to_the_bit(name: str, target: str, tmp_path: Path) -> None:
    model = our_model(name)
    done = export(model, tmp_path / "out", target)
    assert done.verified.exact and done.verified.difference == 0
    found = recognize(tmp_path / "out").read(tmp_path / "out", Reading())
    assert found.tensors.keys() == dict(model.named_parameters()).keys()
    assert set(done.files) == {path.name for path in (tmp_path / "out").iterdir()}
    assert len({path.stat().st_mode for path in (tmp_path / "out").iterdir()}) == 1
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config.get("model_type", FAMILY_OF[name]) == FAMILY_OF[name]
    if target == "safetensors":
        assert found.config == model.config
        assert load_file(tmp_path / "out" / "model.safetensors").keys() == found.tensors.keys()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"feedforward": "relu2"}, "model.feedforward is relu2 and not swiglu"),
        ({"value_embeddings": 1}, "model.value_embeddings is 1 and not 0"),
        ({"logit_softcap": 15.0}, "model.logit_softcap is 15.0 and not 0.0"),
        ({"norm_order": "post"}, "model.norm_order is post and not pre"),
        ({"positions": "learned"}, "model.positions is learned and not rotary"),
        ({"window": 4, "window_every": 2}, "model.window"),
        (
            {"biases": True, "query_key_norm": True},
            "model.query_key_norm is True and not False, unlike llama",
        ),
        ({"width": 36, "heads": 5, "head_width": 8, "key_value_heads": 1, "biases": True}, "model.heads is 5"),
    ],
)
def test_a_shape_that_no_family_has(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    model = GPT(replace(OURS["llama"], **changes))
    with pytest.raises(HomespunError) as raised:
        export(model, tmp_path / "out")
    assert says in str(raised.value) and "--format safetensors keeps the model as it is" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []
    export(model, tmp_path / "out", "safetensors")


def test_a_gpt2_whose_heads_are_not_gpt2s(tmp_path: Path) -> None:
    for changes, says in (
        ({"head_width": 12}, "model.head_width is 12"),
        ({"key_value_heads": 2}, "model.key_value_heads is 2"),
    ):
        with pytest.raises(HomespunError, match=says):
            export(GPT(replace(OURS["gpt2"], **changes)), tmp_path / "out")
    with pytest.raises(HomespunError, match=r"model.feedforward_width is 40"):
        export(GPT(replace(OURS["gpt1"], feedforward_width=40)), tmp_path / "out")


def refused(model: Any, path: Path, **options: Any) -> str:
    """The line of an export that was not what was meant; nothing is left."""
    with pytest.raises(HomespunError) as raised:
        export(model, path, **options)
    assert list(path.parent.iterdir()) == []
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_a_changed_number_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = writing.rounded

    def dishonest(tensor: torch.Tensor, kind: torch.dtype, name: str) -> torch.Tensor:
        found = honest(tensor, kind, name).clone()
        if "layers.1.self_attn.k_proj" in name:
            found[3, 4] += 1e-6
        return found

    monkeypatch.setattr(writing, "rounded", dishonest)
    line = refused(our_model("llama"), tmp_path / "out")
    assert "the numbers of the tensor blocks.1.attention.query_key_value.weight are others" in line
    # In half numbers as much is rounding; what is more is noticed all the same.
    export(our_model("llama"), tmp_path / "half", number="BF16")


@pytest.mark.parametrize("number", ["F16", "BF16"])
def test_exchanged_tensors_are_noticed(number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = writing.rounded
    monkeypatch.setattr(writing, "rounded", lambda tensor, kind, name: honest(tensor.flip(0), kind, name))
    assert "the numbers of the tensor" in refused(our_model("gpt2"), tmp_path / "out", number=number)


def test_other_logits_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that the layout has no word for would show here, whatever the tables say."""
    model = our_model("llama")
    model.config = replace(model.config, rotary_base=3.0)  # what is written; the model goes on with its own
    assert "the logits of a fixed batch differ by" in refused(model, tmp_path / "out")


def test_another_tokenizer_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = Tokenizer("gpt2", [*TOKENIZER.merges[:-1], (97, 98)])
    monkeypatch.setattr(
        tokenizer_files, "write_huggingface", lambda _, path: write_vocabulary(other.vocabulary, path, "huggingface")
    )
    assert "the tokenizer gives other ids for" in refused(our_model("llama"), tmp_path / "out")
    renamed = Tokenizer("gpt2", TOKENIZER.merges, ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fill|>"))
    monkeypatch.setattr(
        tokenizer_files, "write_huggingface", lambda _, path: write_vocabulary(renamed.vocabulary, path, "huggingface")
    )
    assert "another special tokens" in refused(our_model("llama"), tmp_path / "out")


def test_numbers_that_a_type_cannot_hold(tmp_path: Path) -> None:
    model = our_model("llama")
    with torch.no_grad():
        model.blocks[1].feedforward.output.weight[0, 0] = 1e6
    assert "model.layers.1.mlp.down_proj.weight has numbers too large for float16" in refused(
        model, tmp_path / "out", number="F16"
    )
    export(model, tmp_path / "out", number="BF16")


def test_a_model_that_diverged(tmp_path: Path) -> None:
    model = our_model("llama")
    with torch.no_grad():
        model.final_norm.weight[0] = torch.nan
    assert "model.norm.weight" in refused(model, tmp_path / "out")


def test_what_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match=r"out exists; give another --out"):
        export(our_model("llama"), tmp_path / "out")
    with pytest.raises(UsageError, match=r"--number Q4_0: the format huggingface has F32, F16, BF16"):
        export(our_model("llama"), tmp_path / "other", number="Q4_0")


@pytest.mark.parametrize(
    ("sizes", "most", "expected"),
    [
        ([3, 3, 3], 6, [2, 1]),
        ([3, 3, 3], 9, [3]),
        ([3, 3, 3], 1, [1, 1, 1]),
        ([9, 1, 1, 9], 2, [1, 2, 1]),
        ([], 5, [0]),
    ],
)
def test_shards_are_filled_in_order(sizes: list[int], most: int, expected: list[int]) -> None:
    named = [(str(number), size) for number, size in enumerate(sizes)]
    found = plan_shards(named, most)
    assert [len(shard) for shard in found] == expected
    assert [name for shard in found for name in shard] == [name for name, _ in named]


def test_shards_and_their_index(tmp_path: Path) -> None:
    done = export(our_model("llama"), tmp_path / "out", shard_bytes=9_000)
    files = [name for name in done.files if name.endswith(".safetensors")]
    assert len(files) > 3 and files[0] == f"model-00001-of-{len(files):05d}.safetensors"
    index = json.loads((tmp_path / "out" / "model.safetensors.index.json").read_text())
    assert index["metadata"]["total_size"] == 4 * sum(value.numel() for value in our_model("llama").parameters())
    assert set(index["weight_map"].values()) == set(files)
    (tmp_path / "out" / "manifest.json").unlink()
    (tmp_path / "out" / files[1]).unlink()
    with pytest.raises(DamagedFileError, match=rf"{files[1]} is missing"):
        recognize(tmp_path / "out").read(tmp_path / "out", Reading())


@pytest.mark.parametrize("target", ["huggingface", "safetensors"])
def test_a_flipped_bit_of_any_file_is_noticed(target: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(our_model("llama"), out, target)
    for path in sorted(out.iterdir()):
        raw = path.read_bytes()
        flipped = bytearray(raw)
        flipped[len(raw) - len(raw) // 5 - 1] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(DamagedFileError) as raised:
            FORMATS[target].read(out, Reading())
        assert path.name in str(raised.value) or path.name == "manifest.json"
        path.write_bytes(raw)
    (out / "config.json").unlink()
    with pytest.raises(DamagedFileError, match=r"config.json is missing, which manifest.json lists"):
        FORMATS[target].read(out, Reading())


def test_our_own_files_with_a_number_that_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    export(our_model("llama"), folder, "safetensors")
    (folder / "manifest.json").unlink()
    tensors = load_file(folder / "model.safetensors")
    tensors["final_norm.weight"][3] = float("nan")
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(DamagedFileError, match=r"final_norm.weight has numbers that are infinite or no numbers"):
        recognize(folder).read(folder, Reading())


def test_a_manifest_of_others_says_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    export(our_model("llama"), out)
    for text in ('{"files": []}', "[]"):
        (out / "manifest.json").write_text(text)
        recognize(out).read(out, Reading())
    (out / "manifest.json").write_text('{"format": "homespun-export", "version": 9, "sha256": {}}')
    with pytest.raises(DamagedFileError, match=r"another version"):
        recognize(out).read(out, Reading())


def test_tables_of_texts_are_the_same_every_time() -> None:
    from homespun.interchange.hostile_texts import hostile_texts

    texts = hostile_texts(TOKENIZER.special_tokens)
    assert texts == hostile_texts(TOKENIZER.special_tokens)
    assert len(set(texts)) > 200
    assert not any("\ud800" <= character < "\ue000" for text in texts for character in text)


def test_a_fixed_batch_is_fixed_and_fits() -> None:
    config = replace(OURS["llama"], context=7)
    (batch,) = fixed_batch(config)
    assert batch.shape == (2, 7) and int(batch.max()) < config.vocabulary_size
    assert torch.equal(batch, fixed_batch(config)[0])


@pytest.mark.parametrize("number", ["F32", "BF16", "Q8_0", "Q4_0"])
def test_gguf_with_its_modelfile(number: str, tmp_path: Path) -> None:
    out, model = tmp_path / "out", our_model("llama")
    done = export(model, out, "gguf", number=number)
    assert done.verified.exact == (number == "F32")
    assert ("to the bit" if number == "F32" else "within the rounding of their type") in done.verified.words()
    assert set(done.files) == {"model.gguf", "Modelfile", "manifest.json"}
    for path in (out, out / "model.gguf"):
        assert recognize(path).name == "gguf"
        found = recognize(path).read(path, Reading())
        assert found.config == model.config and found.tensors.keys() == dict(model.named_parameters()).keys()
    with pytest.raises(UsageError, match=r"leave out --tokenizer"):
        recognize(out).read(out, Reading(tokenizer=out))
    (out / "other.gguf").write_bytes(b"GGUF")
    with pytest.raises(HomespunError, match=r"model.gguf, other.gguf; name one file"):
        recognize(out).read(out, Reading())


def test_a_split_that_llama_cpp_does_not_have(tmp_path: Path) -> None:
    tokenizer, model, told = Tokenizer("homespun", MERGES), our_model("qwen3"), list[str]()

    def write(**options: Any) -> Any:
        return export_model(model, tokenizer, FORMATS["gguf"], tmp_path / "out", Writing(**options), Silent())

    with pytest.raises(HomespunError, match=r"--nearest-split takes the nearest one"):
        write()
    assert list(tmp_path.iterdir()) == []
    write(nearest_split=True, warn=told.append)
    (line,) = told
    assert "no split equal to homespun" in line
    export(model, tmp_path / "equal", "gguf", nearest_split=True, warn=told.append)
    assert told == [line]  # of one that has an equal nothing is to be told


def test_rebuilt_models_are_checked() -> None:
    weights = weights_of(our_model("llama"), TOKENIZER)
    less = Weights(weights.config, dict(list(weights.tensors.items())[1:]), TOKENIZER)
    with pytest.raises(HomespunError, match=r"token_embedding.weight is missing"):
        model_of(less)
    more = Weights(weights.config, weights.tensors | {"x": torch.zeros(1)}, TOKENIZER)
    with pytest.raises(HomespunError, match=r"x is one that the model does not have"):
        model_of(more)
    assert isinstance(model_of(weights).config, GPTConfig)
