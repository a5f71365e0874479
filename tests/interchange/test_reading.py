"""Folders of others: what homespun cannot compute, and what does not fit together, is one line that names it."""

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.common.progress import Silent
from homespun.interchange.export import export_model
from homespun.interchange.formats import FORMATS, recognize
from homespun.interchange.forms import model_of
from homespun.interchange.options import Reading, Writing
from homespun.interchange.weights import Weights
from homespun.tokenizer.tokenizer import Tokenizer
from tests.interchange.conftest import TEMPLATE, TOKENIZER, our_model

MODEL, CONFIG = "model.safetensors", "config.json"


def folder_of(name: str, path: Path) -> Path:
    """A good folder, without the checksums that would notice every change."""
    export_model(our_model(name), TOKENIZER, FORMATS["huggingface"], path, Writing(), Silent())
    (path / "manifest.json").unlink()
    return path


@pytest.fixture
def llama(tmp_path: Path) -> Path:
    return folder_of("llama", tmp_path / "llama")


def read(path: Path, **options: Any) -> Weights:
    """As the import does."""
    return recognize(path).read(path, Reading(**options))


def complaint(path: Path, error: type[HomespunError] = HomespunError, **options: Any) -> str:
    """The one line."""
    with pytest.raises(error) as raised:
        read(path, **options)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def change(path: Path, **values: Any) -> None:
    """Change keys of a JSON file; None takes them out."""
    found = json.loads(path.read_text()) | values
    path.write_text(json.dumps({key: value for key, value in found.items() if value is not None}))


def change_tensors(folder: Path, changes: dict[str, torch.Tensor | None]) -> None:
    """Change tensors; None takes them out."""
    found = load_file(folder / MODEL) | changes
    save_file({name: tensor for name, tensor in found.items() if tensor is not None}, folder / MODEL)


@pytest.mark.parametrize(
    ("family", "values", "says"),
    [
        ("llama", {"model_type": "falcon"}, "unknown model_type 'falcon'; homespun knows openai-gpt, gpt2, llama"),
        ("llama", {"architectures": ["LlamaForTokenClassification"]}, "unknown architectures"),
        ("llama", {"architectures": ["LlamaForSequenceClassification"]}, "lacks the tensor score.weight"),
        ("llama", {"architectures": ["OtherForCausalLM"], "model_type": None}, "unknown architectures"),
        ("llama", {"architectures": "LlamaForCausalLM"}, "unknown architectures"),
        ("llama", {"architectures": {"a": 1}, "model_type": None}, "unknown architectures"),
        ("llama", {"architectures": 3, "model_type": None}, "unknown architectures"),
        ("llama", {"hidden_act": "gelu"}, "hidden_act is 'gelu'; homespun computes only \"silu\""),
        ("llama", {"rope_scaling": {"type": "linear", "factor": 2.0}}, "rope_scaling is {'type': 'linear'"),
        ("llama", {"rope_scaling": "llama3"}, "rope_scaling is 'llama3'"),
        ("llama", {"rope_parameters": {"rope_type": "yarn"}}, "rope_parameters is {'rope_type': 'yarn'}"),
        ("llama", {"rope_parameters": {"full_attention": {"rope_theta": 3.0}}}, "rope_parameters is"),
        ("llama", {"rope_parameters": {"partial_rotary_factor": 0.5}}, "rope_parameters is"),
        ("llama", {"partial_rotary_factor": 0.5}, "partial_rotary_factor is 0.5"),
        ("llama", {"attention_bias": True}, "mlp_bias is False; homespun computes only true"),
        ("llama", {"mlp_bias": True}, "mlp_bias is True; homespun computes only false"),
        ("llama", {"quantization_config": {"quant_method": "gptq"}}, "quantization_config is"),
        ("llama", {"auto_map": {"AutoModelForCausalLM": "modeling.Mine"}}, "auto_map is"),
        ("llama", {"hidden_size": None}, "lacks hidden_size"),
        ("llama", {"hidden_size": "32"}, "hidden_size is '32'; it must be a whole number from 1 to"),
        ("llama", {"hidden_size": -1}, "hidden_size is -1"),
        ("llama", {"num_attention_heads": 5}, "model.heads"),
        ("llama", {"head_dim": None, "num_attention_heads": 5, "num_key_value_heads": 5}, "model.heads"),
        ("llama", {"num_key_value_heads": 3}, "model.key_value_heads 3"),
        ("llama", {"rms_norm_eps": "small"}, "rms_norm_eps is 'small'; it must be a number"),
        ("llama", {"rms_norm_eps": 10**400}, "rms_norm_eps is 1000000"),
        ("llama", {"tie_word_embeddings": 1}, "tie_word_embeddings is 1; it must be true or false"),
        ("llama", {"num_hidden_layers": 9999}, "asks for 9,999 layers, the weights are"),
        ("qwen3", {"num_hidden_layers": 10**9}, "num_hidden_layers is 1000000000; it must be a whole number from 1 to"),
        ("llama", {"vocab_size": 10**12}, "model.embed_tokens.weight has shape"),
        ("llama", {"hidden_size": 10**12}, "model.embed_tokens.weight has shape"),
        ("llama", {"hidden_size": 10**30}, "hidden_size is 1000000000000000000000000000000; it must be"),
        (
            "gpt2",
            {"n_positions": 10**12},
            "n_positions is 1000000000000; it must be a whole number from 1 to 16,777,216",
        ),
        ("llama", {"intermediate_size": 10**12}, "the configuration needs"),
        ("llama", {"head_dim": 2**40}, "the configuration"),
        ("llama", {"rope_theta": -1.0, "rope_parameters": None}, "model.rotary_base"),
        ("gpt2", {"activation_function": "relu"}, "activation_function is 'relu'"),
        ("gpt2", {"scale_attn_weights": False}, "scale_attn_weights is False"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ("gpt2", {"add_cross_attention": True}, "add_cross_attention is True"),
        ("gpt1", {"afn": "relu"}, "afn is 'relu'"),
        ("qwen3", {"attention_bias": True}, "attention_bias is True"),
        ("qwen3", {"layer_types": ["full_attention"]}, "layer_types is"),
        ("qwen3", {"layer_types": ["sliding_attention"] * 3}, "layer_types is"),
        ("qwen3", {"layer_types": ["linear_attention"] * 3}, "layer_types is"),
        ("qwen3", {"layer_types": [{}, [], 3]}, "layer_types is"),
        ("qwen2-window", {"layer_types": ["sliding_attention", "full_attention", "full_attention"]}, "layer_types is"),
        ("qwen2-window", {"layer_types": None, "max_window_layers": 1}, "max_window_layers is 1"),
        ("mistral", {"layer_types": ["full_attention"] * 3}, "layer_types is"),
    ],
)
def test_a_model_that_homespun_does_not_compute(family: str, values: Any, says: str, tmp_path: Path) -> None:
    folder = folder_of(family, tmp_path / "model")
    change(folder / CONFIG, **values)
    line = complaint(folder)
    assert says in line and (CONFIG in line or MODEL in line)


@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "not JSON"), ("[]", "not a JSON object"), ('{"a": 1, "a": 1}', "twice"), ("\xff", "damaged")],
)
def test_a_damaged_configuration(text: str, says: str, llama: Path) -> None:
    (llama / CONFIG).write_bytes(text.encode("latin-1"))
    line = complaint(llama, DamagedFileError)
    assert says in line and CONFIG in line


def test_no_configuration(llama: Path) -> None:
    (llama / CONFIG).unlink()
    assert "has no config.json (and no hparams.json)" in complaint(llama)
    assert "there is no file or folder" in complaint(llama / "nowhere", UsageError)


KEY = "model.layers.1.self_attn.k_proj.weight"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({KEY: None}, f"model.safetensors lacks the tensor {KEY}, which the configuration asks for"),
        ({"lm_head.weight": None}, "lacks the tensor lm_head.weight (tie_word_embeddings is false)"),
        ({"model.layers.9.mlp.up_proj.weight": torch.zeros(2)}, "has the tensor model.layers.9.mlp.up_proj.weight"),
        ({"model.layers.0.self_attn.q_proj.bias": torch.zeros(32)}, "has the tensor model.layers.0.self_attn.q_proj"),
        ({"surprise": torch.zeros(2)}, "has the tensor surprise, which a llama of this configuration does not have"),
        ({KEY: torch.zeros(3, 32)}, f"{KEY} has shape (3, 32), the configuration needs (16, 32)"),
        ({KEY: torch.zeros(16 * 32)}, f"{KEY} has shape (512,), the configuration needs (16, 32)"),
        ({KEY: torch.zeros(2, 16, 32)}, f"{KEY} has shape (2, 16, 32)"),
        ({KEY: torch.zeros(16, 32, dtype=torch.int64)}, f"{KEY} has the type I64"),
        ({KEY: torch.full((16, 32), torch.nan)}, f"512 of the numbers of {KEY} are infinite or no numbers"),
        ({KEY: torch.full((16, 32), torch.inf)}, f"512 of the numbers of {KEY}"),
        ({KEY: torch.full((16, 32), 1e300, dtype=torch.float64)}, f"512 of the numbers of {KEY}"),
        ({"embed_tokens.weight": torch.zeros(TOKENIZER.vocabulary_size, 32)}, "twice: as"),
        ({"model.embed_tokens.weight": torch.zeros(7, 32)}, "model.embed_tokens.weight has shape (7, 32)"),
    ],
)
def test_tensors_that_do_not_fit(changes: dict[str, torch.Tensor | None], says: str, llama: Path) -> None:
    change_tensors(llama, changes)
    line = complaint(llama, DamagedFileError)
    assert says in line and MODEL in line


def test_a_truncated_file(llama: Path) -> None:
    raw = (llama / MODEL).read_bytes()
    (llama / MODEL).write_bytes(raw[: len(raw) // 2])
    assert "model.safetensors is cut off" in complaint(llama, DamagedFileError)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_point_type_becomes_float32(kind: torch.dtype, llama: Path) -> None:
    tensors = {name: tensor.to(kind) for name, tensor in load_file(llama / MODEL).items()}
    save_file(tensors, llama / MODEL)
    weights = read(llama)
    assert {tensor.dtype for tensor in weights.tensors.values()} == {torch.float32}
    assert torch.equal(weights.tensors["head.weight"], tensors["lm_head.weight"].float())


def test_names_without_a_prefix_and_tensors_that_follow(tmp_path: Path) -> None:
    folder = folder_of("gpt2", tmp_path / "gpt2")
    whole = read(folder)
    bare = {name.removeprefix("transformer."): tensor for name, tensor in load_file(folder / MODEL).items()}
    bare |= {"h.0.attn.bias": torch.ones(1, 1, 40, 40).tril(), "h.1.attn.masked_bias": torch.tensor(-1e4)}
    bare["lm_head.weight"] = bare["wte.weight"].clone()
    save_file(bare, folder / MODEL)
    change(folder / CONFIG, architectures=["GPT2Model"])
    found = read(folder)
    assert found.tensors.keys() == whole.tensors.keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in whole.tensors.items())
    save_file(bare | {"lm_head.weight": bare["wte.weight"] + 1}, folder / MODEL)
    assert "lm_head.weight is not the token embedding, though tie_word_embeddings is true" in complaint(folder)


def test_old_keys_and_defaults_of_the_library(llama: Path) -> None:
    values = json.loads((llama / CONFIG).read_text())
    for key in ("rope_parameters", "head_dim", "hidden_act", "attention_bias", "mlp_bias", "tie_word_embeddings"):
        del values[key]
    values |= {"rope_theta": 77.0, "rope_scaling": None, "pretraining_tp": 1, "architectures": None}
    (llama / CONFIG).write_text(json.dumps(values))
    config = read(llama).config
    assert (config.rotary_base, config.width_of_head, config.tied_embeddings) == (77.0, 8, False)
    values |= {"rope_scaling": {"type": "default"}, "model_type": None, "architectures": ["LlamaForCausalLM"]}
    (llama / CONFIG).write_text(json.dumps(values))
    assert read(llama).config == config


def test_one_file_of_a_folder(llama: Path) -> None:
    assert read(llama / MODEL).config == read(llama).config


def test_rows_that_stand_for_no_token_are_left_out(tmp_path: Path) -> None:
    rows = TOKENIZER.vocabulary_size
    for name in ("qwen3", "llama"):
        folder = folder_of(name, tmp_path / name)
        tensors, warnings = load_file(folder / MODEL), []
        whole = model_of(read(folder))
        grown = {
            key: torch.cat([tensor, torch.ones(50, tensor.shape[1])])
            for key, tensor in tensors.items()
            if key in ("model.embed_tokens.weight", "lm_head.weight")
        }
        change_tensors(folder, grown)
        change(folder / CONFIG, vocab_size=rows + 50)
        found = read(folder, warn=warnings.append)
        assert found.config.vocabulary_size == rows
        assert warnings == [
            f"the embedding has {rows + 50} rows for {rows} tokens; the last 50, which stand for no token, are left out"
        ]
        tokens = torch.arange(30)[None]
        with torch.inference_mode():
            assert torch.equal(model_of(found)(tokens), whole(tokens))


def test_a_tokenizer_that_does_not_belong_to_the_embedding(llama: Path, tmp_path: Path) -> None:
    rows = TOKENIZER.vocabulary_size
    larger, smaller = tmp_path / "larger.json", tmp_path / "smaller.json"
    Tokenizer("gpt2", [*TOKENIZER.merges, (97, 97)]).save(larger)
    assert f"has {rows + 1} tokens, the embedding {rows} rows" in complaint(llama, tokenizer=larger)
    Tokenizer("gpt2", TOKENIZER.merges[:4]).save(smaller)
    assert read(llama, tokenizer=smaller).config.vocabulary_size == rows - 5
    change_tensors(
        llama, {name: torch.zeros(rows + 1024, 32) for name in ("lm_head.weight", "model.embed_tokens.weight")}
    )
    change(llama / CONFIG, vocab_size=rows + 1024)
    assert "they do not belong together: name the right one with --tokenizer" in complaint(llama)


def test_a_folder_without_a_tokenizer_takes_another_one(llama: Path, tmp_path: Path) -> None:
    TOKENIZER.save(tmp_path / "mine.json")
    (llama / "tokenizer.json").unlink()
    assert "no tokenizer.json" in complaint(llama)
    assert read(llama, tokenizer=tmp_path / "mine.json").tokenizer.identity() == TOKENIZER.identity()


def test_a_normalizer_that_is_nfc_is_told_and_others_are_refused(llama: Path) -> None:
    told: list[str] = []
    for normalizer in ({"type": "NFC"}, {"type": "Sequence", "normalizers": [{"type": "NFC"}]}):
        change(llama / "tokenizer.json", normalizer=normalizer)
        assert read(llama, warn=told.append).tokenizer.identity() == TOKENIZER.identity()
    assert len(told) == 2 and "Unicode form NFC" in told[0]
    change(llama / "tokenizer.json", normalizer={"type": "Lowercase"})
    line = complaint(llama)
    assert "tokenizer.json" in line and "Lowercase" in line


def test_a_shorter_context(llama: Path, tmp_path: Path) -> None:
    for folder in (llama, folder_of("gpt2", tmp_path / "gpt2")):
        whole, short = model_of(read(folder)), model_of(read(folder, context=16))
        assert short.config.context == 16
        tokens = torch.arange(16)[None]
        with torch.inference_mode():
            assert torch.equal(short(tokens), whole(tokens))
        assert "--context is 41; the model has seen at most 40" in complaint(folder, UsageError, context=41)


def test_chat_templates_wherever_they_stand(llama: Path) -> None:
    assert read(llama).tokenizer.chat_template is None
    change(llama / "tokenizer_config.json", chat_template="old")
    assert read(llama).tokenizer.chat_template == "old"
    change(llama / "tokenizer_config.json", chat_template=[{"name": "tool_use", "template": "x"},
                                                           {"name": "default", "template": "named"}])  # fmt: skip
    assert read(llama).tokenizer.chat_template == "named"
    change(llama / "tokenizer_config.json", chat_template=[{"name": [], "template": "x"}, {"name": "default"}, 3])
    assert read(llama).tokenizer.chat_template is None
    (llama / "chat_template.jinja").write_text(TEMPLATE)
    assert read(llama).tokenizer.chat_template == TEMPLATE


def test_which_token_divides_documents(llama: Path) -> None:
    table = json.loads((llama / "tokenizer.json").read_text())
    text = json.dumps(table).replace("<|endoftext|>", "<stop>")
    (llama / "tokenizer.json").write_text(text)
    (llama / "tokenizer_config.json").unlink()
    end = TOKENIZER.end_of_text
    assert read(llama).tokenizer.vocabulary.end_of_text == "<stop>"  # by the id in generation_config.json
    (llama / "generation_config.json").unlink()
    assert read(llama).tokenizer.end_of_text == end  # by the id in config.json
    change(llama / CONFIG, eos_token_id=None)
    assert "--end-of-text" in complaint(llama)
    assert read(llama, end_of_text="<|pad|>").tokenizer.vocabulary.end_of_text == "<|pad|>"
    told: list[str] = []
    ends = {"eos_token": {"content": "<|im_end|>"}, "bos_token": "<|im_start|>"}
    (llama / "tokenizer_config.json").write_text(json.dumps(ends))
    (llama / "generation_config.json").write_text(
        json.dumps({"eos_token_id": [end, TOKENIZER.special_tokens["<|pad|>"]]})
    )
    found = read(llama, warn=told.append)
    assert found.tokenizer.vocabulary.end_of_text == "<|im_end|>"
    assert "ends what it writes with '<stop>' or '<|pad|>', where homespun stops only at '<|im_end|>'" in told[0]
    assert "trained with '<|im_start|>' before each text; homespun puts '<|im_end|>' there" in told[1]


def test_a_run_folder_is_no_source(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    assert "is a run folder already" in complaint(tmp_path, UsageError)


STRANGE = (None, "x", -1, 0, 2.5, True, [], {}, [[]], float("inf"), 10**40)


@pytest.mark.parametrize("name", ["gpt2", "qwen3-window"])
def test_any_value_of_any_key_is_read_or_refused(name: str, tmp_path: Path) -> None:
    folder, chance = folder_of(name, tmp_path / "model"), random.Random(6)
    for file in (CONFIG, "tokenizer_config.json", "generation_config.json"):
        text = (folder / file).read_text()
        for key in json.loads(text):
            for value in chance.sample(STRANGE, 3):
                (folder / file).write_text(json.dumps(json.loads(text) | {key: value}))
                read_or_refuse(folder)
        (folder / file).write_text(text)


def test_any_changed_byte_is_read_or_refused(llama: Path) -> None:
    chance = random.Random(5)
    for file in sorted(llama.iterdir()):
        raw = file.read_bytes()
        for _ in range(20):
            changed = bytearray(raw)
            changed[chance.randrange(min(len(raw), 4000))] = chance.randrange(256)
            file.write_bytes(changed)
            read_or_refuse(llama)
        file.write_bytes(raw)


def read_or_refuse(folder: Path) -> None:
    """No other error than a line of ours."""
    try:
        read(folder)
    except HomespunError as error:
        assert "\n" not in str(error)
