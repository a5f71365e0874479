"""The LSTM language model against torch.nn.LSTM with the same weights, and its own promises."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from homespun.layers.recurrence import use_recurrence
from homespun.layers.recurrent import RECURRENCES
from homespun.models.arithmetic import matrix_parameters
from homespun.models.lstm import LSTM
from homespun.models.settings import LSTMConfig

SMALL = LSTMConfig(vocabulary_size=61, context=24, layers=3, width=20)
ALL_KERNELS = pytest.mark.parametrize("kernel", RECURRENCES)


def model_of(config: LSTMConfig = SMALL, kernel: str = "fused") -> LSTM:
    torch.manual_seed(1)
    model = LSTM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    use_recurrence(model, kernel)
    return model


def tokens_of(length: int, rows: int = 2) -> torch.Tensor:
    return torch.randint(SMALL.vocabulary_size, (rows, length), generator=torch.Generator().manual_seed(3))


class Reference(nn.Module):
    """PyTorch's own stack with our weights: embedding, nn.LSTM, head."""

    def __init__(self, model: LSTM) -> None:
        super().__init__()
        config = model.config
        self.embedding = nn.Embedding(config.vocabulary_size, config.width)
        self.lstm = nn.LSTM(config.width, config.width, config.layers, batch_first=True)
        self.head = nn.Linear(config.width, config.vocabulary_size, bias=False)
        with torch.no_grad():
            for name, tensor in self.ours(dict(model.named_parameters())).items():
                self.get_parameter(name).copy_(tensor)
            for layer in range(config.layers):
                self.get_parameter(f"lstm.bias_hh_l{layer}").zero_()
        if config.tied_embeddings:
            self.head.weight = self.embedding.weight

    @staticmethod
    def ours(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Our names -> PyTorch's."""
        names = {"token_embedding.weight": "embedding.weight", "head.weight": "head.weight"}
        for layer in range(SMALL.layers):
            names |= {
                f"recurrent_layers.{layer}.{ours}": f"lstm.{theirs}_l{layer}"
                for ours, theirs in (("from_input", "weight_ih"), ("from_state", "weight_hh"), ("bias", "bias_ih"))
            }
        return {names[name]: tensor for name, tensor in tensors.items()}

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
        out, state = self.lstm(self.embedding(tokens))
        return self.head(out), state


@ALL_KERNELS
@pytest.mark.parametrize("tied", [True, False])
def test_values_gradients_and_state_are_those_of_torch(kernel: str, tied: bool) -> None:
    model, tokens = model_of(replace(SMALL, tied_embeddings=tied), kernel), tokens_of(18)
    reference = Reference(model)
    logits, (hidden, memory) = reference(tokens[:, :-1])
    cache = model.new_cache(batch=2)
    torch.testing.assert_close(model(tokens[:, :-1], cache), logits, rtol=1e-5, atol=1e-5)
    for layer, state in enumerate(cache.layers):
        torch.testing.assert_close(state[0], hidden[layer])
        torch.testing.assert_close(state[1], memory[layer])

    wanted = tokens[:, 1:].flatten()
    nn.functional.cross_entropy(logits.flatten(0, 1), wanted).backward()
    nn.functional.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), wanted).backward()
    ours = Reference.ours({name: parameter.grad for name, parameter in model.named_parameters()})
    for name, gradient in ours.items():
        assert float(gradient.abs().max()) > 0, name
        torch.testing.assert_close(gradient, reference.get_parameter(name).grad, rtol=1e-4, atol=1e-6, msg=name)


@ALL_KERNELS
def test_mixed_precision_is_near_full_precision(kernel: str) -> None:
    model, tokens = model_of(kernel=kernel), tokens_of(18)
    full = model(tokens)
    with torch.autocast("cpu", torch.bfloat16):
        half = model(tokens)
        nn.functional.cross_entropy(half[:, :-1].flatten(0, 1).float(), tokens[:, 1:].flatten()).backward()
    torch.testing.assert_close(half.float(), full, rtol=0.05, atol=0.1)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and bool(parameter.grad.isfinite().all()), name


@settings(max_examples=25, deadline=None)
@given(data=st.data(), length=st.integers(2, 30), kernel=st.sampled_from(sorted(RECURRENCES)))
def test_a_text_in_pieces_is_the_text(data: st.DataObject, length: int, kernel: str) -> None:
    model, tokens = model_of(kernel=kernel), tokens_of(length)
    cache, pieces, begin = model.new_cache(batch=2), [], 0
    with torch.inference_mode():
        whole = model(tokens)
        while begin < length:
            stop = begin + data.draw(st.integers(1, length - begin))
            pieces.append(model(tokens[:, begin:stop], cache))
            begin = stop
    assert cache.length == length
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=1e-4, atol=1e-5)


def test_packed_documents_are_refused() -> None:
    with pytest.raises(ValueError, match="one text per row"):
        model_of().hidden(tokens_of(4), documents=torch.zeros(2, 4, dtype=torch.long))


def test_every_matrix_of_a_token_is_counted() -> None:
    assert matrix_parameters(SMALL) == SMALL.layers * 8 * SMALL.width**2


def test_initialization_follows_its_table() -> None:
    torch.manual_seed(0)
    model = LSTM(LSTMConfig(vocabulary_size=512, layers=2, width=64)).requires_grad_(False)
    assert math.isclose(float(model.token_embedding.weight.std()), 1, rel_tol=0.05)
    assert model.head.weight is model.token_embedding.weight
    for layer in model.recurrent_layers:
        for matrix in (layer.from_input, layer.from_state):
            assert 0.12 < float(matrix.abs().max()) <= 1 / 8
        assert layer.bias.view(4, 64).sum(dim=1).tolist() == [0, 64, 0, 0]
