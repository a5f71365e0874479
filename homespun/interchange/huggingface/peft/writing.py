"""An ``Adapter`` -> a folder in PEFT's layout, which ``PeftModel.from_pretrained`` loads onto the exported base.

In: the adapter and the configuration of its model. Out: ``adapter_config.json``, ``adapter_model.safetensors`` in F32
and checksums, read back and compared before the folder gets its name.

Rows of single tokens are PEFT's ``trainable_token_indices``: they stand for the base's own, also where embedding and
head are one. Of an adapter with new tokens, the base must have rows for them before PEFT loads it there
(``resize_token_embeddings``).

A classifier's head goes with its body's differences, as layers that are saved whole (``modules_to_save``).
"""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from homespun.common.errors import HomespunError, UsageError
from homespun.common.files import atomic_folder, write_json
from homespun.interchange.forms import forms_of
from homespun.interchange.huggingface.peft.places import Place, family_with_adapters, places_of, tables_of
from homespun.interchange.huggingface.peft.reading import (
    DOWN,
    EMBEDDING_DOWN,
    EMBEDDING_UP,
    PREFIX,
    ROWS,
    SETTINGS,
    TOKENS,
    UP,
    WEIGHTS,
    AdapterFolder,
)
from homespun.interchange.huggingface.peft.settings import LORA, WHOLE, is_named
from homespun.interchange.huggingface.writing import METADATA, rounded
from homespun.interchange.manifest import write_manifest
from homespun.models.adapter import Adapter, Difference, Rows, check_adapter
from homespun.models.settings import TextModelConfig
from homespun.training.checkpoint import write_tensors


@dataclass(frozen=True)
class Head:
    """What a classifier has in the place of the base's own read-out: its ``tensors`` and the ``layers`` they are of, by
    the names of the family.
    """

    layers: tuple[str, ...] = ()
    tensors: Mapping[str, torch.Tensor] = field(default_factory=dict)


NO_HEAD, CLASSIFIER = Head(), "SEQ_CLS"
TASKS = {"gpt": "CAUSAL_LM", "encoder_decoder": "SEQ_2_SEQ_LM"}
NEAR = 1e-12  # an alpha that is a whole number but for the rounding of scale x rank is that number


def nothing_else(_folder: Path) -> None:
    """The two files and their checksums are all."""


def write_adapter(
    adapter: Adapter,
    config: TextModelConfig,
    out: Path,
    base: str | None = None,
    beside: Callable[[Path], None] = nothing_else,
    head: Head = NO_HEAD,
) -> None:
    """Make the folder ``out``. ``base`` is what PEFT calls ``base_model_name_or_path``; ``beside`` adds further files.

    ``HomespunError`` for an adapter that does not fit the model, or that this layout has no place for.
    """
    if out.exists():
        raise UsageError(f"{out} exists; give another folder")
    check_adapter(adapter, {name: form.shape for name, form in forms_of(config).items()})
    family = family_with_adapters(config)
    places = places_of(family, config)
    for difference in adapter.differences:
        if not any(place.tensor == difference.tensor for place in places.values()):
            raise HomespunError(f"PEFT's layout has no place for a difference of {difference.tensor} in this model")
    found = {name: gather(place, adapter) for name, place in places.items()}
    layers = {name: one for name, one in found.items() if one is not None}
    if not layers:
        raise HomespunError("the adapter has no differences; there is nothing to write")
    theirs = {ours: name for name, ours in reversed(tables_of(family, config).items())}  # of one table: the embedding
    rows = {theirs[one.tensor]: one.in_order() for one in adapter.rows}
    with atomic_folder(out) as folder:
        facts = {
            "task_type": CLASSIFIER if head.layers else TASKS.get(config.architecture),
            "base_model_name_or_path": base,
            "fan_in_fan_out": family.inputs_first,
        }
        facts |= settings_of(layers, [*places, *head.layers]) | {"trainable_token_indices": tokens_of(rows)}
        names = [name.rpartition(".")[2] for name in head.layers]
        facts |= {WHOLE: names or None}
        write_json(folder / SETTINGS, facts)
        of_head = {PREFIX + name: rounded(one, torch.float32, name) for name, one in head.tensors.items()}
        write_tensors(dict(stored_tensors(places, layers)) | stored_rows(rows) | of_head, folder / WEIGHTS, METADATA)
        beside(folder)
        write_manifest(folder)
        written = AdapterFolder.open(folder, whole=tuple(names))
        check_written(written.read(config, {}), layers, rows)
        check_head(written.whole_layers(), head)


def tokens_of(rows: Mapping[str, Rows]) -> dict[str, list[int]] | None:
    """By the last word of each table's name, which is how PEFT finds it."""
    return {name.rpartition(".")[2]: list(one.places) for name, one in rows.items()} or None


def stored_rows(rows: Mapping[str, Rows]) -> dict[str, torch.Tensor]:
    """The rows (n, C) of every table."""
    names = {name: f"{PREFIX}{name}{TOKENS}{ROWS}" for name in rows}
    return {names[name]: rounded(one.values, torch.float32, names[name]).contiguous() for name, one in rows.items()}


def gather(place: Place, adapter: Adapter) -> Difference | None:
    """All that changes the rows of one layer of theirs, as one difference; None if nothing does.

    Where several do, their factors lie side by side: the ranks add up, and each has zeros in the rows of the others.
    """
    pieces = [
        one
        for one in adapter.differences
        if one.tensor == place.tensor and one.first_row < place.end_row and one.end_row > place.first_row
    ]
    if not pieces:
        return None
    scale = pieces[0].scale if len({one.scale for one in pieces}) == 1 else 1.0
    up, begin = torch.zeros(place.rows, sum(one.rank for one in pieces)), 0  # (R, r)
    for one in pieces:
        first, end = max(one.first_row, place.first_row), min(one.end_row, place.end_row)
        factor = 1.0 if one.scale == scale else one.scale
        part = factor * one.up[first - one.first_row : end - one.first_row].float()
        up[first - place.first_row : end - place.first_row, begin : begin + one.rank] = part
        begin += one.rank
    return Difference(place.tensor, place.first_row, up, torch.cat([one.down.float() for one in pieces]), scale)


def settings_of(layers: Mapping[str, Difference], all_layers: list[str]) -> dict[str, Any]:
    """What ``adapter_config.json`` says of them: the commonest rank and alpha, and patterns for the others."""
    ranks = {name: one.rank for name, one in layers.items()}
    alphas = {name: alpha_of(one) for name, one in layers.items()}
    (rank, alpha), _ = Counter((ranks[name], alphas[name]) for name in layers).most_common(1)[0]
    return {
        "peft_type": LORA,
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {name: one for name, one in ranks.items() if one != rank},
        "alpha_pattern": {name: one for name, one in alphas.items() if one != alpha},
        "target_modules": shortest_names(list(layers), all_layers),
        "lora_dropout": 0.0,
        "bias": "none",
        "use_rslora": False,
        "use_dora": False,
        "init_lora_weights": True,
        "inference_mode": True,
    }


def alpha_of(difference: Difference) -> float:
    """Scale x rank, whole where it was meant to be."""
    alpha = difference.scale * difference.rank
    return round(alpha) if math.isclose(alpha, round(alpha), rel_tol=NEAR) else alpha


def shortest_names(layers: list[str], all_layers: list[str]) -> list[str]:
    """The last words of the names, such as ``q_proj``, if no other layer ends with one; else the whole names."""
    ends = tuple(sorted({name.rpartition(".")[2] for name in layers}))
    return list(ends) if [name for name in all_layers if is_named(name, ends)] == layers else layers


def stored_tensors(places: Mapping[str, Place], layers: Mapping[str, Difference]) -> Iterator[tuple[str, torch.Tensor]]:
    """Both factors of every layer, under PEFT's names and in its layout."""
    for name, one in layers.items():
        parts = {DOWN: one.down, UP: one.up}  # (r, C), (R, r)
        if places[name].is_embedding:
            parts = {EMBEDDING_DOWN: one.up.T, EMBEDDING_UP: one.down.T}  # (r, R), (C, r)
        for part, tensor in parts.items():
            stored = f"{PREFIX}{name}.{part}"
            yield stored, rounded(tensor, torch.float32, stored).contiguous()


def check_written(found: Adapter, layers: Mapping[str, Difference], rows: Mapping[str, Rows]) -> None:
    """What lies in the folder, by the way that imports go, must be what was meant."""
    for one, (name, wanted) in zip(found.differences, layers.items(), strict=True):
        same = (one.tensor, one.first_row) == (wanted.tensor, wanted.first_row)
        same = same and torch.equal(one.up, wanted.up) and torch.equal(one.down, wanted.down)
        if not same or not math.isclose(one.scale, wanted.scale, rel_tol=NEAR):
            raise HomespunError(f"what was written is not the adapter: {name} is another; please report this")
    read = {one.tensor: one for one in found.rows}
    for name, meant in rows.items():
        one = read.get(meant.tensor)
        if one is None or one.places != meant.places or not torch.equal(one.values, meant.values):
            raise HomespunError(f"what was written is not the adapter: rows of {name} are others; please report this")


def check_head(found: Mapping[str, torch.Tensor], head: Head) -> None:
    """The same for the layers that were saved whole."""
    for name in found.keys() | head.tensors.keys():
        if name not in found or name not in head.tensors or not torch.equal(found[name], head.tensors[name]):
            raise HomespunError(f"what was written is not the adapter: {name} is another; please report this")
