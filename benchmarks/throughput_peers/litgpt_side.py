"""litgpt, installed in the interpreter of the peers: its own ``pretrain.fit``, called as its ``pretrain.main`` does.

The shape in litgpt's terms: GPT-NeoX's feed-forward layer, LayerNorm, residuals one after the other, embeddings tied.
It has no learned positions, so it keeps its rotary ones. On its own it compiles and computes in bf16 (bf16-mixed).
"""

import importlib.metadata
import tempfile
from pathlib import Path

import lightning
import torch
from litgpt.args import EvalArgs, TrainArgs
from litgpt.config import Config
from litgpt.model import GPT
from litgpt.pretrain import fit, initialize_weights
from litgpt.utils import instantiate_torch_optimizer

from throughput_peers.side import Built
from throughput_peers.stopwatch import Stopwatch
from throughput_peers.work import Work

PRECISIONS = {"fp32": "32-true", "bf16": "bf16-mixed"}
ENDLESS = 10**12  # tokens; the watch ends the loop
NEVER = 1 << 30  # steps


class Batches:
    """What ``fit`` takes for a loader: rows of context + 1 ids."""

    def __init__(self, watch: Stopwatch) -> None:
        self.watch = watch

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> torch.Tensor:
        return self.watch.batch()


def build(work: Work) -> Built:
    """Its model on its Fabric, one device."""
    shape = work.shape
    device = torch.device(work.device)
    fabric = lightning.Fabric(
        accelerator="gpu" if device.type == "cuda" else "cpu",
        devices=[device.index or 0] if device.type == "cuda" else 1,
        precision=PRECISIONS[work.way.precision],
    )
    fabric.launch()
    config = Config(
        block_size=shape.context,
        n_layer=shape.layers,
        n_head=shape.heads,
        n_embd=shape.width,
        vocab_size=shape.vocabulary_size,
        padded_vocab_size=shape.vocabulary_size,
        bias=False,
        parallel_residual=False,
    )
    with fabric.init_module(empty_init=True):
        model = GPT(config)
    initialize_weights(fabric, model, n_layer=config.n_layer, n_embd=config.n_embd)
    model.transformer.wte.weight = model.lm_head.weight
    parameters = sum(parameter.numel() for parameter in model.parameters())
    ready = fabric.setup(torch.compile(model) if work.way.compiled else model)
    optimizer = instantiate_torch_optimizer("AdamW", ready.parameters(), fused=device.type == "cuda")
    optimizer = fabric.setup_optimizers(optimizer)
    arguments = TrainArgs(
        save_interval=None,
        log_interval=1,  # its default
        global_batch_size=shape.batch_size,
        micro_batch_size=shape.batch_size,
        max_tokens=ENDLESS,
        max_norm=1.0,
        lr_warmup_steps=2000,
    )

    def train(watch: Stopwatch) -> None:
        state = {"model": ready, "optimizer": optimizer, "iter_num": 0, "step_count": 0}
        evaluation = EvalArgs(interval=NEVER, max_iters=1, final_validation=False)
        # Before its first step it evaluates twice, to see that this works.
        validation = [watch.ids[0], watch.ids[0]]
        with tempfile.TemporaryDirectory() as out:
            fit(fabric, 1, state, Batches(watch), validation, Path(out), None, arguments, evaluation)  # pyrefly: ignore

    return Built(importlib.metadata.version("litgpt"), parameters, train)
