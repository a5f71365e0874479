"""OpenAI's own checkpoint of GPT-2: the variables of TensorFlow, the settings, and the two files of the tokenizer."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from homespun.common.errors import DamagedFileError
from homespun.interchange.formats import recognize
from homespun.interchange.forms import model_of
from homespun.interchange.options import Reading
from homespun.models.gpt import GPT
from homespun.tokenizer.formats import write_vocabulary
from tests.interchange.conftest import TOKENIZER, our_model


def variables(model: GPT) -> dict[str, np.ndarray]:
    """A model of ours as OpenAI's program would have saved it, written down by hand."""
    ours = {name: value.detach().numpy() for name, value in model.named_parameters()}
    theirs = {
        "model/wte": ours["token_embedding.weight"],
        "model/wpe": ours["positions.weight"],
        "model/ln_f/g": ours["final_norm.weight"],
        "model/ln_f/b": ours["final_norm.bias"],
    }
    for block in range(model.config.layers):
        here, there = f"blocks.{block}.", f"model/h{block}/"
        for norm, name in (("attention_norm", "ln_1"), ("feedforward_norm", "ln_2")):
            theirs[f"{there}{name}/g"] = ours[f"{here}{norm}.weight"]
            theirs[f"{there}{name}/b"] = ours[f"{here}{norm}.bias"]
        for layer, name in (
            ("attention.query_key_value", "attn/c_attn"),
            ("attention.output", "attn/c_proj"),
            ("feedforward.widen", "mlp/c_fc"),
            ("feedforward.output", "mlp/c_proj"),
        ):
            theirs[f"{there}{name}/w"] = ours[f"{here}{layer}.weight"].T[None]  # a convolution over one position
            theirs[f"{there}{name}/b"] = ours[f"{here}{layer}.bias"]
    return theirs


@pytest.fixture
def original(tmp_path: Path) -> tuple[GPT, Path]:
    """The model, and the folder as it was published, but for the container of the variables."""
    model = our_model("gpt2")
    hparams = {"n_vocab": TOKENIZER.vocabulary_size, "n_ctx": 40, "n_embd": 32, "n_head": 4, "n_layer": 2}
    (tmp_path / "hparams.json").write_text(json.dumps(hparams))
    write_vocabulary(TOKENIZER.vocabulary, tmp_path, "gpt2")
    return model, tmp_path


@pytest.mark.parametrize("container", ["npz", "safetensors"])
def test_the_same_logits(container: str, original: tuple[GPT, Path]) -> None:
    model, folder = original
    if container == "npz":
        np.savez(folder / "model.npz", **variables(model))
    else:
        arrays = {name: torch.from_numpy(array.copy()) for name, array in variables(model).items()}
        save_file(arrays, folder / "model.safetensors")
    weights = recognize(folder).read(folder, Reading())
    assert weights.tokenizer.encode("the other in") == TOKENIZER.encode("the other in")
    assert weights.config.dropout == 0
    tokens = torch.arange(40)[None]
    with torch.inference_mode():
        assert torch.equal(model_of(weights)(tokens), model(tokens))


def test_a_missing_variable_is_named_as_the_family_calls_it(original: tuple[GPT, Path]) -> None:
    model, folder = original
    found = variables(model)
    del found["model/h1/mlp/c_fc/w"]
    np.savez(folder / "model.npz", **found)
    with pytest.raises(DamagedFileError, match=r"model.npz lacks the tensor transformer.h.1.mlp.c_fc.weight"):
        recognize(folder).read(folder, Reading())
