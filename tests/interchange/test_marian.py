"""Marian both ways against the library: logits with padding, gradients, written tokens; what cannot be is refused."""

import json
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from homespun.common.errors import HomespunError
from homespun.common.progress import Silent
from homespun.inference.beam import beam_search
from homespun.inference.settings import BeamConfig
from homespun.interchange.export import export_model
from homespun.interchange.formats import FORMATS
from homespun.interchange.forms import forms_of, model_of
from homespun.interchange.huggingface.families.marian import MARIAN
from homespun.interchange.huggingface.tensors import read_tensors
from homespun.interchange.options import Reading, Writing
from homespun.models.encoder_decoder import EncoderDecoder
from homespun.models.settings import EncoderDecoderConfig
from homespun.tokenizer.formats import write_vocabulary
from homespun.tokenizer.special import SEPARATOR
from homespun.tokenizer.tokenizer import Tokenizer
from tests.interchange.conftest import MERGES, randomize
from tests.interchange.test_against_transformers import Gradients

pytestmark = pytest.mark.filterwarnings("ignore")

TOKENIZER = Tokenizer("gpt2", MERGES, ("<|endoftext|>", "<|pad|>", SEPARATOR))
TOKENS = TOKENIZER.vocabulary_size
END = TOKENIZER.end_of_text
CONFIG = EncoderDecoderConfig(
    vocabulary_size=TOKENS, context=40, layers=2, encoder_layers=3, width=32, heads=4, feedforward_width=72,
    logit_biases=True, dropout=0.0,
)  # fmt: skip
SHAPE = {
    "vocab_size": TOKENS, "d_model": 32, "encoder_layers": 3, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 72, "decoder_ffn_dim": 72, "max_position_embeddings": 40,
    "activation_function": "swish", "scale_embedding": True, "dropout": 0.0, "attention_dropout": 0.0,
    "activation_dropout": 0.0, "eos_token_id": END, "decoder_start_token_id": END, "forced_eos_token_id": END,
    "pad_token_id": TOKENIZER.special_tokens["<|pad|>"], "attn_implementation": "eager",
}  # fmt: skip


def chance_batch(rows: int, long: int, length: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Targets, sources, and which of the sources' tokens are text; no padding, whose embedding the library fixes."""
    chance = torch.Generator().manual_seed(seed)
    source = torch.randint(256, (rows, long), generator=chance)
    documents = torch.ones_like(source)
    documents[0, max(1, long // 2) :] = 0
    return torch.randint(256, (rows, length), generator=chance), source, documents


def their_logits(model: Any, inputs: torch.Tensor, source: torch.Tensor, documents: torch.Tensor) -> torch.Tensor:
    return model(input_ids=source, attention_mask=documents, decoder_input_ids=inputs).logits


def save_theirs(transformers: ModuleType, folder: Path, **changes: Any) -> Any:
    """A Marian of theirs, random, saved by the library with a tokenizer beside it."""
    model = randomize(transformers.MarianMTModel(transformers.MarianConfig(**SHAPE | changes)))
    with torch.no_grad():
        for stack in (model.model.encoder, model.model.decoder):  # these are no weights: they came out random, too
            stack.embed_positions.weight.copy_(stack.embed_positions.create_weight())
        model.final_logits_bias.normal_(generator=torch.Generator().manual_seed(5))
    model.save_pretrained(folder)
    write_vocabulary(TOKENIZER.vocabulary, folder / "tokenizer.json", "huggingface")
    return model


@pytest.mark.parametrize("activation", ["swish", "relu"])
def test_what_the_library_saved(transformers: ModuleType, activation: str, tmp_path: Path) -> None:
    theirs = save_theirs(transformers, tmp_path, activation_function=activation)
    warnings: list[str] = []
    ours = model_of(FORMATS["huggingface"].read(tmp_path, Reading(warn=warnings.append)))
    assert ours.config == replace(CONFIG, feedforward=activation)
    for shape in ((1, 1, 1), (2, 5, 9), (3, 40, 40)):
        batch = chance_batch(*shape, seed=7)
        with torch.inference_mode():
            torch.testing.assert_close(ours(*batch), their_logits(theirs, *batch), rtol=1e-4, atol=1e-4)
    targets = torch.randint(TOKENS, batch[0].shape, generator=torch.Generator().manual_seed(8))
    for logits in (ours(*batch), their_logits(theirs, *batch)):
        torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten()).backward()
    gradients = Gradients(theirs)
    gradients.found = {name: found for name, found in gradients.found.items() if found is not None}
    gradients.found["final_logits_bias"] = torch.zeros(1, TOKENS)  # no parameter there
    expected = read_tensors(MARIAN, ours.config, forms_of(ours.config), gradients, lambda count: None)
    for key, parameter in ours.named_parameters():
        if key != "head.bias":
            torch.testing.assert_close(
                parameter.grad, expected[key], rtol=1e-3, atol=1e-5, msg=lambda m, k=key: f"{k}: {m}"
            )
    assert not warnings


@pytest.mark.parametrize("feedforward", ["swish", "relu"])
def test_what_homespun_exported(transformers: ModuleType, feedforward: str, tmp_path: Path) -> None:
    ours, out = randomize(EncoderDecoder(replace(CONFIG, feedforward=feedforward))), tmp_path / "out"
    done = export_model(ours, TOKENIZER, FORMATS["huggingface"], out, Writing(), Silent())
    assert done.verified.exact and done.verified.difference == 0
    theirs, report = transformers.AutoModelForSeq2SeqLM.from_pretrained(
        out, attn_implementation="eager", output_loading_info=True
    )
    theirs.eval()
    assert not any(report.values())
    batch = chance_batch(3, 9, 20, seed=3)
    with torch.inference_mode():
        torch.testing.assert_close(ours(*batch), their_logits(theirs, *batch), rtol=1e-4, atol=1e-4)
    names = tuple(TOKENIZER.special_tokens)
    text = f"the inner thing é {SEPARATOR}"
    assert transformers.AutoTokenizer.from_pretrained(out)(text)["input_ids"] == TOKENIZER.encode(text, names)

    _, source, documents = batch
    written = theirs.generate(input_ids=source, attention_mask=documents, num_beams=1, do_sample=False, max_length=21)
    for row, found in zip(
        written.tolist(), beam_search(ours, source, documents, END, [20] * len(source), BeamConfig(1)), strict=True
    ):
        assert row[0] == END
        theirs_without_end = row[1 : row.index(END, 1)] if END in row[1:] else row[1:]
        assert list(found.tokens[:19]) == theirs_without_end[:19]  # the library forces an end at its limit


def test_our_own_layout_keeps_any_shape(tmp_path: Path) -> None:
    model = randomize(EncoderDecoder(replace(CONFIG, norm_order="pre", tied_embeddings=False, feedforward="gelu")))
    done = export_model(model, TOKENIZER, FORMATS["safetensors"], tmp_path / "out", Writing(), Silent())
    assert done.verified.exact and done.verified.difference == 0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"norm_order": "pre"}, "model.norm_order is pre and not post"),
        ({"logit_biases": False}, "model.logit_biases is False and not True"),
        ({"feedforward": "gelu"}, "model.feedforward is gelu and not relu or swish"),
    ],
)
def test_a_shape_that_marian_does_not_have(changes: dict[str, Any], says: str, tmp_path: Path) -> None:
    model = EncoderDecoder(replace(CONFIG, **changes))
    with pytest.raises(HomespunError, match=says):
        export_model(model, TOKENIZER, FORMATS["huggingface"], tmp_path / "out", Writing(), Silent())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"activation_function": "gelu"}, "activation_function"),
        ({"scale_embedding": False}, "scale_embedding"),
        ({"decoder_attention_heads": 2}, "decoder_attention_heads"),
        ({"decoder_ffn_dim": 64}, "decoder_ffn_dim"),
        ({"normalize_before": True}, "normalize_before"),
    ],
)
def test_what_homespun_does_not_compute(
    transformers: ModuleType, changes: dict[str, Any], says: str, tmp_path: Path
) -> None:
    save_theirs(transformers, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | changes))
    with pytest.raises(HomespunError, match=f"{says} is .*; homespun computes only"):
        FORMATS["huggingface"].read(tmp_path, Reading())


def test_another_begin_is_told(transformers: ModuleType, tmp_path: Path) -> None:
    save_theirs(transformers, tmp_path, decoder_start_token_id=SHAPE["pad_token_id"])
    warnings: list[str] = []
    FORMATS["huggingface"].read(tmp_path, Reading(warn=warnings.append))
    assert any("begins what it writes with token" in line for line in warnings)
