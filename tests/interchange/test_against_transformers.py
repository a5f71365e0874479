"""Both directions against the library itself, on random weights: logits, gradients, written tokens, ids of texts."""

from collections.abc import Collection
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from homespun.common.progress import Silent
from homespun.inference.engine import Engine
from homespun.inference.settings import SamplingConfig
from homespun.interchange.export import export_model
from homespun.interchange.formats import FORMATS
from homespun.interchange.forms import forms_of, model_of
from homespun.interchange.hostile_texts import hostile_texts
from homespun.interchange.huggingface.families import FAMILIES
from homespun.interchange.huggingface.tensors import read_tensors
from homespun.interchange.options import Reading, Writing
from homespun.tokenizer.formats import write_vocabulary
from tests.interchange.conftest import FAMILY_OF, OURS, TEMPLATE, TOKENIZER, our_model, randomize

pytestmark = pytest.mark.filterwarnings("ignore")

SHAPE = {
    "vocab_size": TOKENIZER.vocabulary_size, "hidden_size": 32, "intermediate_size": 72, "num_hidden_layers": 2,
    "num_attention_heads": 4, "max_position_embeddings": 40, "attn_implementation": "eager",
}  # fmt: skip
GPT2_SHAPE = {
    "vocab_size": TOKENIZER.vocabulary_size, "n_positions": 40, "n_embd": 32, "n_layer": 2, "n_head": 4,
    "attn_implementation": "eager",
}  # fmt: skip
THEIRS: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt1": ("OpenAIGPT", {**GPT2_SHAPE}),
    "gpt2": ("GPT2", {**GPT2_SHAPE, "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0}),
    "gpt2-untied": ("GPT2", {**GPT2_SHAPE, "tie_word_embeddings": False, "n_inner": 40, "layer_norm_epsilon": 1e-3}),
    "llama": ("Llama", {**SHAPE, "num_key_value_heads": 2, "rope_theta": 123.0}),
    "llama-biases": ("Llama", {**SHAPE, "attention_bias": True, "mlp_bias": True, "head_dim": 12}),
    "llama-tied": ("Llama", {**SHAPE, "tie_word_embeddings": True, "num_key_value_heads": 1}),
    "qwen2": ("Qwen2", {**SHAPE, "num_key_value_heads": 2, "tie_word_embeddings": True}),
    "qwen2-window": ("Qwen2", {
        **SHAPE, "num_key_value_heads": 4, "use_sliding_window": True, "sliding_window": 6, "max_window_layers": 0,
    }),
    "qwen3": ("Qwen3", {**SHAPE, "num_key_value_heads": 2, "head_dim": 12, "tie_word_embeddings": True}),
    "qwen3-window": ("Qwen3", {
        **SHAPE, "num_key_value_heads": 1, "head_dim": 16, "num_attention_heads": 6, "use_sliding_window": True,
        "sliding_window": 5, "layer_types": ["full_attention", "sliding_attention"], "rms_norm_eps": 1e-3,
    }),
    "mistral": ("Mistral", {**SHAPE, "num_key_value_heads": 2, "sliding_window": 6}),
    "mistral-no-window": ("Mistral", {**SHAPE, "num_key_value_heads": 4, "sliding_window": None, "head_dim": 10}),
}  # fmt: skip


class Gradients:
    """The gradients of a model of theirs, as a source of tensors: they go the way of the weights."""

    def __init__(self, model: Any) -> None:
        self.found = {name: parameter.grad for name, parameter in model.named_parameters()}

    def names(self) -> Collection[str]:
        return self.found.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        return tuple(self.found[name].shape)

    def type_name(self, name: str) -> str:
        return "F32"

    def is_float(self, name: str) -> bool:
        return True

    def file(self, name: str) -> Path:
        return Path("gradients")

    def read(self, name: str) -> torch.Tensor:
        return self.found[name]


def save_theirs(transformers: ModuleType, name: str, folder: Path) -> Any:
    """A model of theirs, random, saved by the library with a tokenizer beside it."""
    kind, values = THEIRS[name]
    head = "LMHeadModel" if kind in ("GPT2", "OpenAIGPT") else "ForCausalLM"
    model = randomize(getattr(transformers, kind + head)(getattr(transformers, kind + "Config")(**values)))
    model.save_pretrained(folder)
    write_vocabulary(TOKENIZER.vocabulary, folder / "table.json", "huggingface")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "table.json"), eos_token="<|endoftext|>", chat_template=TEMPLATE
    )
    (folder / "table.json").unlink()
    tokenizer.save_pretrained(folder)
    return model


@pytest.mark.parametrize("name", THEIRS)
def test_what_the_library_saved(transformers: ModuleType, name: str, tmp_path: Path) -> None:
    theirs = save_theirs(transformers, name, tmp_path)
    weights = FORMATS["huggingface"].read(tmp_path, Reading())
    ours = model_of(weights)
    assert ours.config.tied_embeddings == theirs.config.tie_word_embeddings
    chance = torch.Generator().manual_seed(7)
    for rows, length in ((1, 1), (2, 5), (3, 40)):
        tokens = torch.randint(TOKENIZER.vocabulary_size, (rows, length), generator=chance)
        with torch.inference_mode():
            torch.testing.assert_close(ours(tokens), theirs(tokens).logits, rtol=1e-4, atol=1e-4)
    targets = torch.randint(TOKENIZER.vocabulary_size, tokens.shape, generator=chance)
    for model in (ours, lambda ids: theirs(ids).logits):
        torch.nn.functional.cross_entropy(model(tokens).flatten(0, 1), targets.flatten()).backward()
    family, forms = FAMILIES[FAMILY_OF_THEIRS[name]], forms_of(ours.config)
    gradients = read_tensors(family, ours.config, forms, Gradients(theirs), lambda count: None)
    for key, parameter in ours.named_parameters():
        torch.testing.assert_close(
            parameter.grad, gradients[key], rtol=1e-3, atol=1e-5, msg=lambda m, k=key: f"{k}: {m}"
        )
    assert weights.tokenizer.identity() == TOKENIZER.identity()
    assert weights.tokenizer.chat_template == TEMPLATE


FAMILY_OF_THEIRS = {name: name.split("-")[0].replace("gpt1", "openai-gpt") for name in THEIRS}


@pytest.mark.parametrize("name", OURS)
def test_what_homespun_exported(transformers: ModuleType, name: str, tmp_path: Path) -> None:
    ours, tokenizer = our_model(name), TOKENIZER.with_chat_template(TEMPLATE)
    out = tmp_path / "out"
    done = export_model(ours, tokenizer, FORMATS["huggingface"], out, Writing(), Silent())
    assert done.verified.exact and done.verified.difference == 0
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(
        out, attn_implementation="eager", output_loading_info=True
    )
    assert not any(report.values())
    assert theirs.config.model_type == FAMILY_OF[name]
    assert theirs.dtype == torch.float32
    tokens = torch.randint(TOKENIZER.vocabulary_size, (3, 40), generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        torch.testing.assert_close(ours(tokens), theirs.eval()(tokens).logits, rtol=1e-4, atol=1e-4)
    # See homespun.interchange.huggingface.writing: of this one family the library does not take what it is given.
    kind = transformers.PreTrainedTokenizerFast if name.startswith("qwen2") else transformers.AutoTokenizer
    check_ids(kind.from_pretrained(out))


def check_ids(theirs: Any) -> None:
    """The same ids for hostile texts, with special tokens taken as such, which is the library's way, and without."""
    names = tuple(TOKENIZER.special_tokens)
    for text in hostile_texts(names):
        assert theirs.encode(text, add_special_tokens=False) == TOKENIZER.encode(text, names), text
        assert theirs(text, split_special_tokens=True)["input_ids"] == TOKENIZER.encode(text), text
    assert (theirs.bos_token_id, theirs.eos_token_id) == (TOKENIZER.end_of_text, TOKENIZER.end_of_text)
    assert theirs.pad_token == "<|pad|>"
    chat = [{"role": "user", "content": "hi"}]
    assert theirs.apply_chat_template(chat, tokenize=False) == "<|im_start|>hi<|im_end|>\n"


@pytest.mark.parametrize("name", ["gpt2", "llama", "qwen2", "qwen3", "mistral"])
def test_the_same_64_tokens_after_20_prompts(transformers: ModuleType, name: str, tmp_path: Path) -> None:
    ours = our_model(name, context=96)
    export_model(ours, TOKENIZER, FORMATS["huggingface"], tmp_path / "out", Writing(), Silent())
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    prompts = torch.randint(TOKENIZER.vocabulary_size, (20, 9), generator=torch.Generator().manual_seed(3))
    theirs.generation_config.eos_token_id = None  # both write on
    written = theirs.generate(prompts, attention_mask=torch.ones_like(prompts), do_sample=False, max_new_tokens=64)
    engine, greedy = Engine(ours), SamplingConfig(temperature=0.0)
    for prompt, row in zip(prompts.tolist(), written.tolist(), strict=True):
        assert list(islice(engine.tokens(prompt, greedy), 64)) == row[9:]


def test_the_library_reads_shards_and_half_numbers(transformers: ModuleType, tmp_path: Path) -> None:
    ours = our_model("qwen3")
    export_model(ours, TOKENIZER, FORMATS["huggingface"], tmp_path / "out", Writing("BF16", 20_000), Silent())
    assert len(list((tmp_path / "out").glob("model-0*.safetensors"))) > 2
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert theirs.dtype == torch.bfloat16
    tokens = torch.arange(20)[None]
    with torch.inference_mode():
        torch.testing.assert_close(ours.bfloat16()(tokens), theirs.eval()(tokens).logits, rtol=0.1, atol=0.5)
