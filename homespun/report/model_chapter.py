"""The chapter on the model: a drawing of it, what it costs, and all its tensors."""

import re
from typing import Any

from homespun.report.drawings import OTHER, SHOWN
from homespun.report.facts import Facts
from homespun.report.lookup import as_number, mapping, number, sequence, text
from homespun.report.markup import card, cards, chapter, fold, not_yet, paragraph, table
from homespun.report.overview import brief
from homespun.report.read_run import RunData
from homespun.report.wording import EN_DASH, TIMES, count, percent, plain, significant, size, whole

LAYER = re.compile(r"\.(\d{1,6})\.")
BYTES_OF_A_PARAMETER = 4
MOST_ROWS = 200
LEARNED = {"image": "from an image", "text": "from a text"}


def model_chapter(run: RunData, facts: Facts) -> str:
    """Parameters, operations, the drawing and the tensors."""
    architecture = mapping(run.model, "architecture")
    shown = SHOWN.get(text(architecture, "architecture") or "gpt", OTHER)
    if not run.model:
        waiting = not_yet("The model is built after the text has become tokens.")
        return chapter("model", "The model", shown.lead, waiting)
    bare = number(run.model, "parameters_without_embeddings")
    inside = cards(
        [
            card("parameters", count(facts.parameters), "" if bare is None else f"{count(bare)} without embeddings"),
            card("as fp32", size(facts.parameters * BYTES_OF_A_PARAMETER if facts.parameters else None), "on disk"),
            card(
                f"to learn {LEARNED.get(facts.unit, 'a token')}",
                count(facts.flops_per_token),
                "floating-point operations",
            ),
            card("to learn all", count(facts.flops_total), "floating-point operations"),
            card(f"{facts.unit}s seen", significant(facts.tokens_per_parameter), "per parameter"),
        ]
    )
    if facts.tokens_per_parameter is not None and facts.unit == "token":
        inside += paragraph(
            "About 20 tokens per parameter make the best of a given amount of computing (Hoffmann et al. 2022, "
            "“Chinchilla”); with fewer, more time or more text would still teach this model much.",
            "remark",
        )
    drawing = shown.drawing(architecture)
    settings = [(plain(key), brief(value)) for key, value in (architecture | shown.sizes(architecture)).items()]
    listed = table(("", "value"), settings, caption="shape of the model") if settings else ""
    if drawing:
        inside += f'<div class="pair"><figure>{drawing}</figure><div><h3>Its shape</h3>{listed}</div></div>'
    elif listed:
        inside += f"<h3>Its shape</h3>{listed}"
    rows = tensor_rows(sequence(run.model, "table"), facts.parameters)
    if rows:
        tensors = table(
            ("tensor", "shape", "parameters", "share"), rows, caption="tensors of the model", numeric=(1, 2, 3),
            style="tensors",
        )  # fmt: skip
        inside += "<h3>Where the parameters are</h3>" + (fold("All tensors", tensors) if len(rows) > 24 else tensors)
    return chapter("model", "The model", shown.lead, inside)


def tensor_rows(tensors: list[Any], parameters: float | None) -> list[tuple[str, str, str, str]]:
    """One row per tensor; equal tensors of all layers are one row with the range of the layers."""
    groups: dict[tuple[str, str], list[tuple[int | None, float]]] = {}
    for tensor in tensors:
        name, amount = text(tensor, "name"), number(tensor, "parameters")
        if name is None:
            continue
        sides = [as_number(side) for side in sequence(tensor, "shape")]
        shape = f" {TIMES} ".join(whole(side) for side in sides if side is not None)
        layer = LAYER.search(name)
        pattern = f"{name[: layer.start()]}.{{}}.{name[layer.end() :]}" if layer else name
        groups.setdefault((pattern, shape), []).append((int(layer[1]) if layer else None, amount or 0.0))
    rows = []
    for (pattern, shape), members in groups.items():
        layers = [layer for layer, _ in members if layer is not None]
        name = pattern.replace("{}", span(layers), 1) if layers else pattern
        total = sum(amount for _, amount in members)
        each = f"{len(members)} {TIMES} {whole(members[0][1])}" if len(members) > 1 else whole(total)
        rows.append((name, shape, each, percent(total / parameters) if parameters else ""))
    return rows[:MOST_ROWS]


def span(layers: list[int]) -> str:
    """The range of layers that a row stands for."""
    return str(layers[0]) if len(layers) == 1 else f"{min(layers)}{EN_DASH}{max(layers)}"
