"""RWKV-7 against its equations and against the authors' own program, with random weights; and its own promises."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from homespun.common.errors import UsageError
from homespun.interchange.rwkv.names import pairs_of
from homespun.layers.delta_rule import CHUNK
from homespun.layers.recurrence import use_recurrence
from homespun.models.arithmetic import matrix_parameters
from homespun.models.rwkv import RWKV
from homespun.models.settings import RWKVConfig
from tests.models.rwkv_by_the_paper import logits_of

SMALL = RWKVConfig(vocabulary_size=61, context=24, layers=3, width=32, head_width=8, feedforward_width=48)
NEAR = 1e-4


def model_of(config: RWKVConfig = SMALL, seed: int = 1) -> RWKV:
    """Random everywhere: what starts at zero would hide mistakes."""
    torch.manual_seed(seed)
    model = RWKV(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = (
                0.5
                if "shares" in name or "share" in name or parameter.dim() == 1
                else 1.5 / math.sqrt(parameter.shape[1])
            )
            parameter.add_(torch.randn_like(parameter) * scale)
    return model


def tokens_of(length: int, rows: int = 2, seed: int = 3) -> torch.Tensor:
    return torch.randint(SMALL.vocabulary_size, (rows, length), generator=torch.Generator().manual_seed(seed))


def checkpoint_of(model: RWKV) -> dict[str, torch.Tensor]:
    """Under the authors' names."""
    tensors = dict(model.state_dict())
    return {pair.theirs: pair.to_theirs(tensors[pair.ours]).clone() for pair in pairs_of(model.config)}


@pytest.mark.parametrize("kernel", ["fused", "explicit"])
@pytest.mark.parametrize(
    "config", [SMALL, replace(SMALL, layers=1, head_width=16), replace(SMALL, tied_embeddings=True)]
)
def test_logits_are_those_of_the_equations(config: RWKVConfig, kernel: str) -> None:
    model, tokens = model_of(config), tokens_of(2 * CHUNK + 3)
    use_recurrence(model, kernel)
    checkpoint = {name: tensor.numpy() for name, tensor in checkpoint_of(model).items()}
    with torch.inference_mode():
        found = model(tokens).numpy()
    for row, ids in enumerate(tokens.tolist()):
        wanted = logits_of(checkpoint, ids)
        assert np.abs(found[row] - wanted).max() < NEAR * max(1.0, np.abs(wanted).max())


AUTHORS_PROGRAM = """
import json, os, sys, warnings
warnings.simplefilter("ignore")
os.environ["RWKV_V7_ON"], os.environ["RWKV_JIT_ON"], os.environ["RWKV_CUDA_ON"] = "1", "0", "0"
import torch
torch.set_num_threads(1)
from rwkv.model import RWKV
model = RWKV(model=sys.argv[1], strategy="cpu fp32")
state, rows = None, []
for token in json.loads(sys.argv[2]):
    logits, state = model.forward([token], state)
    rows.append(logits.tolist())
whole, _ = model.forward(json.loads(sys.argv[2]), None, full_output=True)
print("found" + json.dumps({"steps": rows, "whole": whole.tolist()}))
"""


def test_logits_are_those_of_the_authors_program(tmp_path: Path) -> None:
    """The package ``rwkv`` reads the checkpoint that we write (as its pickle) and gives the same logits."""
    pytest.importorskip("rwkv")
    model, tokens = model_of(replace(SMALL, width=128, head_width=64, vocabulary_size=64)), tokens_of(40, rows=1)
    torch.save(checkpoint_of(model), tmp_path / "model.pth")
    command = [sys.executable, "-c", AUTHORS_PROGRAM, str(tmp_path / "model"), json.dumps(tokens[0].tolist())]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    theirs = json.loads(done.stdout.partition("found")[2])
    with torch.inference_mode():
        ours = model(tokens)[0]
    for way, rows in theirs.items():
        wanted = torch.tensor(rows)
        assert float((ours - wanted).abs().max()) < NEAR * max(1.0, float(wanted.abs().max())), way


def test_both_kernels_give_the_same_gradients() -> None:
    gradients = []
    for kernel in ("fused", "explicit"):
        model, tokens = model_of(), tokens_of(CHUNK + 5)
        use_recurrence(model, kernel)
        torch.nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten()).backward()
        gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in gradients[1].items():
        assert gradient is not None, name
        assert float(gradient.abs().max()) > 0, name
        torch.testing.assert_close(gradients[0][name], gradient, rtol=1e-3, atol=1e-5, msg=name)


@settings(max_examples=25, deadline=None)
@given(data=st.data(), length=st.integers(2, 3 * CHUNK))
def test_a_text_in_pieces_is_the_text(data: st.DataObject, length: int) -> None:
    model, tokens = model_of(), tokens_of(length)
    cache, pieces, begin = model.new_cache(batch=2), [], 0
    with torch.inference_mode():
        whole = model(tokens)
        while begin < length:
            stop = begin + data.draw(st.integers(1, length - begin))
            pieces.append(model(tokens[:, begin:stop], cache))
            begin = stop
    assert cache.length == length
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=1e-4, atol=1e-4)


def test_packed_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="one text per row"):
        model_of().hidden(tokens_of(4), documents=torch.zeros(2, 4, dtype=torch.long))


def test_every_matrix_of_a_token_is_counted() -> None:
    """For operations per token: what is not an embedding, a head or a vector."""
    model = RWKV(SMALL)
    tables = {model.token_embedding.weight, model.head.weight}
    matrices = sum(p.numel() for p in model.parameters() if p.dim() == 2 and p not in tables)
    assert matrix_parameters(SMALL) == matrices


def test_initialization_follows_its_table() -> None:
    config = RWKVConfig(vocabulary_size=512, layers=4, width=128)
    torch.manual_seed(0)
    model = RWKV(config).requires_grad_(False)
    assert float(model.token_embedding.weight.abs().max()) <= 1e-4
    gram = model.head.weight.T @ model.head.weight
    torch.testing.assert_close(gram, torch.eye(128), rtol=1e-4, atol=1e-4)  # gain (512 / 128)^0.5 / 2
    for layer, block in enumerate(model.blocks):
        time, channels = block.time, block.channels
        assert not time.output.weight.any() and not channels.value.weight.any() and not time.gate.narrow.weight.any()
        assert math.isclose(float(time.key.weight.square().sum()), 0.01 * 128, rel_tol=1e-4)
        assert math.isclose(float(time.receptance.weight.square().sum()), 128, rel_tol=1e-4)
        assert math.isclose(float(channels.key.weight.square().sum()), 128, rel_tol=1e-4)
        assert math.isclose(float(time.decay.widen.weight.square().sum()), 0.01 * 32, rel_tol=1e-4)
        assert torch.allclose(time.head_norm.weight, torch.tensor(((layer + 1) / 4) ** 0.7))
        assert math.isclose(float(time.decay_offset[0]), -5.5 - 2.5, rel_tol=1e-5)
        assert math.isclose(float(time.decay_offset[-1]), 0.5 + 2.5, rel_tol=1e-5)
        share = 1 - (64 / 128) ** (0.7 * (1 - layer / 4))
        assert math.isclose(float(time.shares["key"][64]), share, rel_tol=1e-5)
    with torch.inference_mode():
        logits = model(torch.randint(512, (2, 40)))
    assert 0.3 < float(logits.std()) < 0.8


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"head_width": -1}, "model.head_width"),
        ({"width": 100}, "does not divide into heads of 64"),
        ({"feedforward_width": -1}, "model.feedforward_width"),
        ({"gate_rank": -1}, "model.gate_rank"),
        ({"layers": 0}, "model.layers"),
    ],
)
def test_a_bad_value_is_one_line_that_names_it(values: dict[str, int], says: str) -> None:
    with pytest.raises(UsageError) as raised:
        RWKVConfig(**values)  # type: ignore[arg-type]
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)
