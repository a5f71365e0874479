"""Both directions against the library PEFT itself, on random weights: logits, keys, and which layers are meant."""

import copy
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from homespun.common.progress import Silent
from homespun.inference.load import load_for_inference
from homespun.interchange.adapted import load_adapted
from homespun.interchange.export import export_model
from homespun.interchange.formats import FORMATS
from homespun.interchange.forms import forms_of, model_of, weights_of
from homespun.interchange.huggingface.families import family_of_model
from homespun.interchange.huggingface.peft.places import places_of
from homespun.interchange.huggingface.peft.reading import read_adapter
from homespun.interchange.huggingface.peft.settings import read_settings
from homespun.interchange.huggingface.peft.writing import write_adapter
from homespun.interchange.huggingface.tokenizer_files import write_tokenizer
from homespun.interchange.options import Reading, Writing
from homespun.interchange.weights import Weights
from homespun.layers.learned_rows import learn_rows
from homespun.layers.lora import LoRALinear, adapt
from homespun.models.adapter import Adapter, Difference, adapter_of, merge
from homespun.pipeline.import_run import import_run
from tests.interchange.adapters import CONFIG, factors, random_adapter, random_rows
from tests.interchange.conftest import OURS, TOKENIZER, our_model
from tests.interchange.test_against_transformers import save_theirs

pytestmark = pytest.mark.filterwarnings("ignore")

TOKENS = torch.randint(TOKENIZER.vocabulary_size, (3, 40), generator=torch.Generator().manual_seed(7))
MODERN = ["q_proj", "v_proj", "down_proj"]
# A model of tests.interchange.test_against_transformers, and settings of the library.
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "llama": ("llama", {"target_modules": MODERN}),
    "llama-all": ("llama-biases", {"target_modules": "all-linear", "use_rslora": True}),
    "llama-vocabulary": ("llama", {"target_modules": ["q_proj", "lm_head", "embed_tokens"]}),
    "llama-tied": ("llama-tied", {"target_modules": "all-linear"}),
    "qwen2": ("qwen2", {"target_modules": ["k_proj"], "exclude_modules": [r"layers.0.self_attn.k_proj"]}),
    "qwen3": ("qwen3", {
        "target_modules": r".*\.(q_proj|gate_proj|up_proj)", "rank_pattern": {r"layers\.1\..*": 2, "q_proj": 5},
        "alpha_pattern": {r"^model\.layers\.0.*": 3, "up_proj": 1},
    }),
    "qwen3-layers": ("qwen3-window", {"target_modules": ["o_proj", "k_proj"], "layers_to_transform": [1]}),
    "mistral": ("mistral", {
        "target_modules": ["q_proj", "o_proj"], "layers_to_transform": 0, "layers_pattern": "layers",
        "alpha_pattern": {"o_proj": 7}, "use_rslora": True,
    }),
    "gpt2": ("gpt2", {"target_modules": ["c_attn"]}),
    "gpt2-all": ("gpt2-untied", {"target_modules": "all-linear", "rank_pattern": {"attn.c_proj": 3}}),
    "gpt2-vocabulary": ("gpt2-untied", {"target_modules": ["c_attn", "wte", "wpe", "lm_head"]}),
    "gpt1": ("gpt1", {"target_modules": ["c_attn", "c_fc", "mlp.c_proj"]}),
    "llama-tokens": ("llama", {
        "target_modules": MODERN, "trainable_token_indices": {"embed_tokens": [5, 3], "lm_head": [3, 260]},
    }),
    "llama-tokens-of-embedding": ("llama", {"target_modules": MODERN, "trainable_token_indices": [264]}),
    "llama-tied-tokens": ("llama-tied", {"target_modules": MODERN, "trainable_token_indices": [7, 2, 259]}),
    "gpt2-tokens": ("gpt2", {"target_modules": ["c_attn"], "trainable_token_indices": {"wte": [1, 261]}}),
}  # fmt: skip


@pytest.fixture(scope="module")
def peft(transformers: ModuleType) -> ModuleType:
    """The reference implementation of adapters."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("peft")


def adapted(peft: ModuleType, model: Any, values: dict[str, Any]) -> Any:
    """A model of theirs with an adapter, random in both factors."""
    found = peft.get_peft_model(model, peft.LoraConfig(r=4, lora_alpha=10, task_type="CAUSAL_LM", **values))
    chance = torch.Generator().manual_seed(23)
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            if "lora_" in name or "trainable_tokens" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=chance))
    return found.eval()


@pytest.mark.parametrize("case", CASES)
def test_what_the_library_saved(transformers: ModuleType, peft: ModuleType, case: str, tmp_path: Path) -> None:
    name, values = CASES[case]
    theirs = save_theirs(transformers, name, tmp_path / "base")
    with torch.no_grad():
        plain = theirs(TOKENS).logits
        theirs = adapted(peft, theirs, values)
        theirs.save_pretrained(tmp_path / "adapter")
        given = theirs(TOKENS).logits
        wanted = theirs.merge_and_unload()
    import_run(tmp_path / "base", tmp_path / "run", Reading(), [], Silent(), tmp_path / "adapter")
    ours, _ = load_for_inference(tmp_path / "run", pytest.fail)
    said: list[str] = []
    import_run(tmp_path / "base", tmp_path / "plain", Reading(), [], Silent())
    beside = load_adapted(tmp_path / "plain", [str(tmp_path / "adapter")], said.append)
    assert said == [
        f"{tmp_path / 'adapter'} does not say which base it is for; all that can be told is whether its shapes fit"
    ]
    with torch.inference_mode():
        assert float((plain - given).abs().max()) > 0.1  # it does something
        torch.testing.assert_close(beside.model(TOKENS), ours(TOKENS), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(ours(TOKENS), wanted(TOKENS).logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(ours(TOKENS), given, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", CASES)
def test_the_same_layers_are_meant(transformers: ModuleType, peft: ModuleType, case: str, tmp_path: Path) -> None:
    name, values = CASES[case]
    theirs = save_theirs(transformers, name, tmp_path / "base")
    config = FORMATS["huggingface"].read(tmp_path / "base", Reading()).config
    theirs = adapted(peft, theirs, values)
    layers = {
        layer.removeprefix("base_model.model."): module
        for layer, module in theirs.named_modules()
        if hasattr(module, "lora_A")
    }
    theirs.peft_config["default"].target_modules = values["target_modules"]  # as it was before it was resolved
    theirs.peft_config["default"].save_pretrained(tmp_path)
    settings, places = read_settings(tmp_path / CONFIG, pytest.fail), places_of(family_of_model(config), config)
    assert {layer for layer, place in places.items() if settings.selects(layer, place)} == layers.keys()
    for layer, module in layers.items():
        assert settings.rank_of(layer) == module.r["default"]
        assert settings.scale_of(layer) == pytest.approx(module.scaling["default"])


def one_for_a_whole_matrix(config: Any) -> Adapter:
    """One difference over queries, keys and values, and one over a piece of the rows of another matrix."""
    chance, differences = torch.Generator().manual_seed(8), []
    for name in ("blocks.0.attention.query_key_value.weight", "blocks.1.feedforward.output.weight"):
        rows, columns = forms_of(config)[name].shape
        down, up = factors((rows - 3, columns), 2, chance)
        differences.append(Difference(name, 2, up, down, 1.7))
    return Adapter(tuple(differences))


def of_the_vocabulary(config: Any) -> Adapter:
    """One of the head and one of the embedding, where they are two."""
    chance, shape = torch.Generator().manual_seed(9), (config.vocabulary_size, config.width)
    pairs = {name: factors(shape, 3, chance) for name in ("token_embedding.weight", "head.weight")}
    return Adapter(tuple(Difference(name, 0, up, down, 0.5) for name, (down, up) in pairs.items()))


MADE: dict[str, tuple[str, Callable[[Any], Adapter]]] = {
    **{name: (name, random_adapter) for name in OURS},
    "llama of a whole matrix": ("llama", one_for_a_whole_matrix),
    "gpt2 of a whole matrix": ("gpt2", one_for_a_whole_matrix),
    "llama of the vocabulary": ("llama", of_the_vocabulary),
    "gpt2 of the vocabulary": ("gpt2-untied", of_the_vocabulary),
}


@pytest.mark.parametrize("case", MADE)
def test_what_homespun_wrote(transformers: ModuleType, peft: ModuleType, case: str, tmp_path: Path) -> None:
    name, make = MADE[case]
    ours, base = our_model(name), tmp_path / "base"
    adapter = make(ours.config)
    export_model(ours, TOKENIZER, FORMATS["huggingface"], base, Writing(), Silent())
    write_adapter(adapter, ours.config, tmp_path / "adapter", base=str(base))
    before = weights_of(ours, TOKENIZER)
    merged = model_of(Weights(ours.config, merge(before.tensors, adapter), TOKENIZER))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(base, attn_implementation="eager").eval()
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    report = theirs.load_adapter(tmp_path / "adapter", "default")
    assert not report.unexpected_keys and not [key for key in report.missing_keys if "lora_" in key]
    with torch.inference_mode():
        wanted = merged(TOKENS)
        assert float((ours(TOKENS) - wanted).abs().max()) > 0.1
        torch.testing.assert_close(theirs(TOKENS).logits, wanted, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(theirs.merge_and_unload()(TOKENS).logits, wanted, rtol=1e-4, atol=1e-4)


def test_there_and_back(transformers: ModuleType, peft: ModuleType, tmp_path: Path) -> None:
    """Ours, loaded by the library and saved by it, is the same adapter."""
    ours, adapter = our_model("qwen3"), random_adapter(OURS["qwen3"])
    export_model(ours, TOKENIZER, FORMATS["huggingface"], tmp_path / "base", Writing(), Silent())
    write_adapter(adapter, ours.config, tmp_path / "adapter", base=str(tmp_path / "base"))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter").save_pretrained(tmp_path / "again")
    found = read_adapter(tmp_path / "again", ours.config, {}, pytest.fail)
    for one, wanted in zip(found.differences, adapter.differences, strict=True):
        assert (one.tensor, one.first_row, one.scale) == (wanted.tensor, wanted.first_row, wanted.scale)
        assert torch.equal(one.up, wanted.up) and torch.equal(one.down, wanted.down)


@pytest.mark.parametrize("name", ["llama", "qwen3", "gpt2"])
def test_tokens_that_the_base_lacks(transformers: ModuleType, peft: ModuleType, name: str, tmp_path: Path) -> None:
    """The library's base gets rows for them first; the adapter's own stand there then."""
    ours, known = our_model(name), TOKENIZER.vocabulary_size
    export_model(ours, TOKENIZER, FORMATS["huggingface"], tmp_path / "base", Writing(), Silent())
    adapter = Adapter(random_adapter(ours.config).differences, random_rows(ours.config, (known + 1, 3, known)))
    larger = replace(ours.config, vocabulary_size=known + 2)
    write_adapter(adapter, larger, tmp_path / "adapter")
    merged = model_of(Weights(larger, merge(weights_of(ours, TOKENIZER).tensors, adapter), TOKENIZER))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base", attn_implementation="eager")
    theirs.resize_token_embeddings(known + 2, mean_resizing=False)
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter").eval()
    tokens = TOKENS.clone()
    tokens[0, 3], tokens[1, 5], tokens[2, 7] = known, known + 1, 3
    with torch.inference_mode():
        torch.testing.assert_close(theirs(tokens).logits, merged(tokens), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "tables"), [("llama", ["embed_tokens", "lm_head"]), ("qwen3", ["embed_tokens"]), ("gpt2", ["wte"])]
)
def test_tokens_that_the_library_gave_to_the_base(
    transformers: ModuleType, peft: ModuleType, name: str, tables: list[str], tmp_path: Path
) -> None:
    """It saves copies of the longer tables beside the rows, and of one table twice."""
    known = TOKENIZER.vocabulary_size
    export_model(our_model(name), TOKENIZER, FORMATS["huggingface"], tmp_path / "base", Writing(), Silent())
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base", attn_implementation="eager")
    theirs.resize_token_embeddings(known + 2, mean_resizing=False)
    values = {"target_modules": "all-linear", "trainable_token_indices": {one: [known + 1, known] for one in tables}}
    with torch.no_grad():
        theirs = adapted(peft, theirs, values)
        theirs.save_pretrained(tmp_path / "adapter")
        write_tokenizer(TOKENIZER.with_special_tokens(("<|new|>", "<|newer|>")), 40, tmp_path / "adapter")
        import_run(tmp_path / "base", tmp_path / "run", Reading(), [], Silent(), tmp_path / "adapter")
        ours, tokenizer = load_for_inference(tmp_path / "run", pytest.fail)
        assert tokenizer.vocabulary_size == known + 2
        tokens = torch.cat([TOKENS[:, :20], TOKENS[:, :2] % 2 + known], dim=1)
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def exported(transformers: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Models of the library, loaded from what homespun wrote."""
    folder, found = tmp_path_factory.mktemp("exported"), {}
    for name in ("llama", "qwen3", "gpt2"):
        export_model(our_model(name), TOKENIZER, FORMATS["huggingface"], folder / name, Writing(), Silent())
        found[name] = transformers.AutoModelForCausalLM.from_pretrained(folder / name, attn_implementation="eager")
    return found


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    name=st.sampled_from(["llama", "qwen3", "gpt2"]),
    rank=st.integers(1, 7),
    alpha=st.one_of(st.integers(1, 32).map(float), st.floats(0.1, 32)),
    layers=st.sampled_from(["all", "attention"]),
    tokens=st.lists(st.integers(0, TOKENIZER.vocabulary_size - 1), max_size=3, unique=True),
)
def test_what_was_learned_here(
    peft: ModuleType, exported: dict[str, Any], name: str, rank: int, alpha: float, layers: str, tokens: list[int]
) -> None:
    """The layers that training uses, any rank, alpha, choice of layers and rows: the same logits there."""
    ours, chance = our_model(name), torch.Generator().manual_seed(rank)
    ours.requires_grad_(False)
    assert adapt(ours, rank, alpha, 0.0, layers)
    if tokens:
        learn_rows(ours, tokens)
    with torch.no_grad():
        for layer in ours.modules():
            if isinstance(layer, LoRALinear):
                layer.up.copy_(0.3 / alpha * torch.randn(layer.up.shape, generator=chance))
        if tokens:
            ours.token_embedding.rows += 0.1
    with tempfile.TemporaryDirectory() as folder:
        write_adapter(adapter_of(ours), ours.config, Path(folder) / "adapter")
        theirs = peft.PeftModel.from_pretrained(copy.deepcopy(exported[name]), Path(folder) / "adapter").eval()
    with torch.inference_mode():
        torch.testing.assert_close(theirs(TOKENS).logits, ours(TOKENS), rtol=1e-5, atol=1e-5)
