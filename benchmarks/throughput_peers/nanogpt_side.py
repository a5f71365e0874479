"""nanoGPT: ``model.py`` of a checkout, and what its ``train.py`` does in a step.

In turn: the rate, forward with the loss inside, backward, clipping at 1, AdamW as its ``configure_optimizers`` sets it
up, gradients set to none, the loss read for the log line. Its ``train.py`` has no autocast on a processor: bf16 there
is our addition, since it is to be met at its best.
"""

import contextlib
import importlib
import sys
from typing import Any

import torch

from throughput_peers.side import Built
from throughput_peers.stopwatch import Stopwatch
from throughput_peers.work import Work

WEIGHT_DECAY, RATE, BETAS, CLIP = 0.1, 6e-4, (0.9, 0.95), 1.0  # train.py's


def build(work: Work) -> Built:
    """Its model, compiled or not."""
    sys.path.insert(0, work.checkout)
    peer: Any = importlib.import_module("model")
    shape, kind = work.shape, torch.device(work.device).type
    torch.backends.cuda.matmul.allow_tf32 = True  # as train.py does
    torch.backends.cudnn.allow_tf32 = True
    config = peer.GPTConfig(
        block_size=shape.context,
        vocab_size=shape.vocabulary_size,
        n_layer=shape.layers,
        n_head=shape.heads,
        n_embd=shape.width,
        dropout=0.0,
        bias=False,
    )
    model = peer.GPT(config).to(work.device)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    optimizer = model.configure_optimizers(WEIGHT_DECAY, RATE, BETAS, kind)
    forward = torch.compile(model) if work.way.compiled else model
    bf16 = work.way.precision == "bf16"

    def train(watch: Stopwatch) -> None:
        while True:
            ids = watch.batch()
            for group in optimizer.param_groups:
                group["lr"] = RATE
            with torch.autocast(kind, torch.bfloat16) if bf16 else contextlib.nullcontext():
                _, loss = forward(ids[:, :-1], ids[:, 1:].contiguous())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            loss.item()

    return Built("model.py", parameters, train)
