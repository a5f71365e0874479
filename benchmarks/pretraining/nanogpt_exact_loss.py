"""Checkpoints that nanoGPT has just written in; their exact losses over the whole validation split out, as JSON.

A program of its own, since it imports nanoGPT's ``model.py`` from the reader's checkout:

    nanogpt_exact_loss.py CHECKOUT VAL.BIN CONTEXT CHECKPOINT…

The windows are those of ``homespun.batches.next_token.validation_batches``: side by side, every target
once, the last window shorter. Nothing but tensors and numbers is read from a checkpoint.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

WINDOWS_AT_ONCE = 128
IGNORED = -1  # a target with this id does not count, in nanoGPT's own loss


def windows(tokens: np.ndarray, context: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs and targets (windows, context)."""
    count = -(-(len(tokens) - 1) // context)
    inputs = np.zeros(count * context, dtype=np.int64)
    targets = np.full(count * context, IGNORED, dtype=np.int64)
    inputs[: len(tokens) - 1], targets[: len(tokens) - 1] = tokens[:-1], tokens[1:]
    return torch.from_numpy(inputs).view(count, context), torch.from_numpy(targets).view(count, context)


@torch.inference_mode()
def exact_loss(model: torch.nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> float:
    """Mean cross-entropy of all targets, nats per token."""
    nats = torch.zeros((), dtype=torch.float64)
    for x, y in zip(inputs.split(WINDOWS_AT_ONCE), targets.split(WINDOWS_AT_ONCE), strict=True):
        logits, _ = model(x, y)
        nats += torch.nn.functional.cross_entropy(
            logits.flatten(0, 1), y.flatten(), ignore_index=IGNORED, reduction="sum"
        )
    return float(nats) / int((targets != IGNORED).sum())


def main(checkout: str, split: str, context: str, *checkpoints: str) -> None:
    """Print one line of JSON, the last line of the output (nanoGPT prints lines of its own)."""
    sys.path.insert(0, checkout)
    peer: Any = importlib.import_module("model")
    inputs, targets = windows(np.fromfile(Path(split), dtype="<u2"), int(context))
    losses, parameters = {}, 0
    for path in checkpoints:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        model = peer.GPT(peer.GPTConfig(**checkpoint["model_args"]))
        model.load_state_dict(checkpoint["model"])
        parameters = sum(parameter.numel() for parameter in model.parameters())
        losses[checkpoint["iter_num"]] = exact_loss(model.eval(), inputs, targets)
    print(json.dumps({"parameters": parameters, "losses": losses}))


if __name__ == "__main__":
    main(*sys.argv[1:])
