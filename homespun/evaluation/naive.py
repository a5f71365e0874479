"""The oracle of ``likelihood.py``: one request at a time, the whole text, no batch and no cache."""

import torch

from homespun.evaluation.likelihood import Request, Scored
from homespun.inference.window import visible_tokens
from homespun.models.language_model import LanguageModel


@torch.inference_mode()
def score_naively(model: LanguageModel, request: Request) -> Scored:
    """The logarithm of each token of the continuation, and whether it is the likeliest."""
    ids = request.context + request.continuation
    seen = ids[:-1][-visible_tokens(model.config) :]
    logits = model(torch.tensor([seen]))[0, -len(request.continuation) :]  # (n, V)
    wanted = torch.tensor(request.continuation)
    nats = logits.log_softmax(-1)[torch.arange(len(wanted)), wanted]
    return Scored(nats.double().numpy(), (logits.argmax(-1) == wanted).numpy())
