"""A classifier and texts in, what they are out: classes with their probabilities, the likeliest first."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from homespun.batches.labelled import Frame, LabelledRows
from homespun.batches.like_length import every_row
from homespun.inference.images import Ranking
from homespun.tokenizer.tokenizer import Tokenizer

AT_ONCE = 32


@torch.inference_mode()
def chances_of(model: Any, tokenizer: Tokenizer, texts: Sequence[str]) -> np.ndarray:
    """Probabilities (N, V), float64; short texts are read beside short ones. ``model``: a ``Classifier``."""
    model.eval()
    config, device = model.config, next(model.parameters()).device
    frame = Frame.of(config.body.summarized_at, config.window, config.windows, tokenizer)
    rows = LabelledRows(tokenizer.encode_batch(texts), frame, np.zeros(len(texts), np.int64))
    told = [np.empty((0, config.outputs))]
    for batch in every_row(rows, AT_ONCE):
        part = batch.to(device)
        told.append(model(part.inputs, part.documents).double().softmax(-1).cpu().numpy())
    chances = np.empty((len(texts), config.outputs))
    chances[rows.by_length(np.arange(len(texts)))] = np.concatenate(told)
    return chances


def classify_texts(model: Any, tokenizer: Tokenizer, texts: Sequence[str]) -> list[Ranking]:
    """For each text all classes, as (name, probability)."""
    chances = chances_of(model, tokenizer, texts)
    order = np.argsort(-chances, axis=1, kind="stable")
    return [
        [(model.config.labels[number], float(row[number])) for number in ranked]
        for row, ranked in zip(chances, order.tolist(), strict=True)
    ]
