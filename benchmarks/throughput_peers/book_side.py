"""The book (Raschka, "Build a Large Language Model (From Scratch)"): chapter 5's ``train_model_simple``, unmodified.

From a checkout: ``gpt_train.py`` and the ``GPTModel`` beside it. As in the book: fp32, no clipping, AdamW with a decay
of 0.1. Its head is a matrix of its own (38 million weights more at GPT-2's size), which costs its optimizer time.
"""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from throughput_peers.side import Built
from throughput_peers.stopwatch import Stopwatch
from throughput_peers.work import Work

CHAPTER = Path("ch05", "01_main-chapter-code")
RATE, WEIGHT_DECAY = 5e-4, 0.1  # gpt_train.py's
NEVER = 1 << 60


class Loader:
    """What the book's loop takes for a loader. It says that it is empty, so the evaluation at step 0 is none."""

    def __init__(self, watch: Stopwatch) -> None:
        self.watch = watch

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        while True:
            ids = self.watch.batch()
            yield ids[:, :-1], ids[:, 1:]


def build(work: Work) -> Built:
    """Its model, without dropout as everyone's."""
    sys.path.insert(0, str(Path(work.checkout) / CHAPTER))
    book: Any = importlib.import_module("gpt_train")
    shape = work.shape
    model = book.GPTModel(
        {
            "vocab_size": shape.vocabulary_size,
            "context_length": shape.context,
            "emb_dim": shape.width,
            "n_heads": shape.heads,
            "n_layers": shape.layers,
            "drop_rate": 0.0,
            "qkv_bias": False,
        }
    ).to(work.device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)

    def train(watch: Stopwatch) -> None:
        loader = Loader(watch)
        book.train_model_simple(
            model, loader, loader, optimizer, work.device,
            num_epochs=1, eval_freq=NEVER, eval_iter=1, start_context="", tokenizer=None,
        )  # fmt: skip

    return Built("ch05", sum(parameter.numel() for parameter in model.parameters()), train)
