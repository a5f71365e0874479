"""The architecture of a decoder -> a drawing of it (SVG), read from top to bottom as the data goes.

In: the configuration of the model (the keys of ``homespun.models.settings.GPTConfig``; every key optional).
Out: one ``<svg>``; an empty string where no width and no number of layers is known. Boxes are the parts in the
order in which ``homespun/models/gpt.py`` calls them; circles with a plus are residual additions.
"""

from dataclasses import dataclass
from typing import Any

from homespun.report.lookup import number, text
from homespun.report.markup import escape
from homespun.report.wording import TIMES, whole

WIDTH = 460
BOX_LEFT, BOX_WIDTH = 96, 292
BOX_HEIGHT = 44
STEP = 62  # from the top of one box to the top of the next
CENTRE = BOX_LEFT + BOX_WIDTH / 2
SKIP = BOX_LEFT - 26  # where the residual stream passes beside a part


@dataclass(frozen=True)
class Shape:
    """The sizes a drawing names, with the defaults of the configuration worked out."""

    width: int
    layers: int
    heads: int
    key_value_heads: int
    head_width: int
    hidden: int
    experts: int
    chosen: int
    gated: bool
    norm: str
    rotary: bool
    query_key_norm: bool
    tied: bool
    vocabulary: int
    context: int


def shape_of(architecture: dict[str, Any]) -> Shape | None:
    """The shape in an architecture mapping; ``None`` when there is not enough to draw, or it is no pre-norm decoder."""
    if (text(architecture, "architecture") or "gpt") != "gpt" or text(architecture, "norm_order") == "post":
        return None

    def size(key: str, default: int = 0) -> int:
        found = number(architecture, key)
        return int(found) if found is not None and 0 < found < 1e12 else default

    width, layers, heads = size("width"), size("layers"), size("heads", 1)
    if not width or not layers:
        return None
    gated = (text(architecture, "feedforward") or "swiglu") == "swiglu"
    hidden = size("feedforward_width", -(-8 * width // 3 // 32) * 32 if gated else 4 * width)
    return Shape(
        width=width,
        layers=layers,
        heads=heads,
        key_value_heads=size("key_value_heads", heads),
        head_width=size("head_width", width // heads),
        hidden=size("expert_width", hidden) if size("experts") else hidden,
        experts=size("experts"),
        chosen=size("experts_per_token", 1),
        gated=gated,
        norm="LayerNorm" if text(architecture, "normalization") == "layer" else "RMSNorm",
        rotary=text(architecture, "positions") != "learned",
        query_key_norm=architecture.get("query_key_norm") is True,
        tied=architecture.get("tied_embeddings") is True,
        vocabulary=size("vocabulary_size"),
        context=size("context"),
    )


def decoder_sizes(architecture: dict[str, Any]) -> dict[str, int]:
    """The sizes that a configuration leaves to homespun (0), as they are in the model."""
    shape = shape_of(architecture)
    if shape is None:
        return {}
    sizes = {"key_value_heads": shape.key_value_heads, "head_width": shape.head_width,
             "feedforward_width": shape.hidden}  # fmt: skip
    return {key: size for key, size in sizes.items() if key in architecture}


def decoder_drawing(architecture: dict[str, Any]) -> str:
    """The whole decoder: embedding, one block with the count of its repeats, final norm, head."""
    shape = shape_of(architecture)
    if shape is None:
        return ""
    grouped = shape.key_value_heads != shape.heads
    heads = f"{shape.heads} heads of {shape.head_width}" + (f", {shape.key_value_heads} for keys" if grouped else "")
    attention = [*(["rotary"] if shape.rotary else []), *(["query-key norm"] if shape.query_key_norm else [])]
    feedforward = "SwiGLU" if shape.gated else "GELU"
    rows = [
        ("io", "token ids", f"up to {whole(shape.context)} at a time" if shape.context else ""),
        ("embedding", "token embedding", f"{whole(shape.vocabulary or None)} {TIMES} {whole(shape.width)}"),
        *([] if shape.rotary else [("embedding", "+ learned positions", f"{whole(shape.context or None)} places")]),
    ]
    parts, y = [], 8.0
    for style, name, remark in rows:
        parts.append(box(y, style, name, remark))
        parts.append(arrow(y + BOX_HEIGHT, y + STEP))
        y += STEP
    block_top = y - 2
    y += 22
    for norm_name, style, name, remarks in (
        (shape.norm, "attention", "causal self-attention", [heads, *([" · ".join(attention)] if attention else [])]),
        (shape.norm, "feedforward", f"feed-forward, {feedforward}",
         [f"{whole(shape.width)} → {whole(shape.hidden)} → {whole(shape.width)}",
          *([f"{shape.experts} experts, {shape.chosen} for a token"] if shape.experts else [])]),
    ):  # fmt: skip
        entry = y - 14
        parts.append(arrow(entry - 10, y))
        parts.append(box(y, "norm", norm_name, ""))
        parts.append(arrow(y + 30, y + 46))
        parts.append(box(y + 46, style, name, *remarks))
        below = y + 46 + box_height(style, len(remarks))
        parts.append(arrow(below, below + 22))
        parts.append(plus(below + 32))
        parts.append(f'<path class="skip" d="M{CENTRE} {entry}H{SKIP}V{below + 32}H{CENTRE - 13}"/>'
                     f'<path class="tip" d="M{CENTRE - 17} {below + 28}l6 4l-6 4z"/>')  # fmt: skip
        y = below + 66
    block_bottom = y - 10
    parts.insert(0, f'<rect class="block" x="{SKIP - 26}" y="{block_top}" width="{WIDTH - SKIP + 26 - 16}" '
                    f'height="{block_bottom - block_top}" rx="14"/>')  # fmt: skip
    middle = (block_top + block_bottom) / 2
    repeats = f"{TIMES} {shape.layers}"
    parts.append(f'<text class="repeat" x="{WIDTH - 40}" y="{middle}" text-anchor="middle">{repeats}</text>')
    parts.append(arrow(block_bottom - 24, y + 8))
    y += 8
    parts.append(box(y, "norm", f"final {shape.norm}", ""))
    parts.append(arrow(y + 30, y + 48))
    y += 48
    parts.append(box(y, "embedding", "output head", "the same weights as the embedding" if shape.tied
                     else f"{whole(shape.width)} {TIMES} {whole(shape.vocabulary or None)}"))  # fmt: skip
    parts.append(arrow(y + BOX_HEIGHT, y + STEP))
    y += STEP
    parts.append(box(y, "io", "one logit for every token", "softmax makes them probabilities"))
    height = y + BOX_HEIGHT + 8
    layers = f"a {feedforward} feed-forward layer"
    if shape.experts:
        layers = f"{shape.chosen} of {shape.experts} {feedforward} feed-forward layers"
    words = (
        f"Token ids are embedded in {shape.width} channels, pass {shape.layers} blocks of {shape.norm}, causal "
        f"self-attention ({heads}) and {layers} of {shape.hidden} channels, each added to "
        f"the residual stream, and a last norm; the output head gives one logit for every token."
    )
    return (
        f'<svg class="diagram" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-labelledby="block-title block-text">'
        f'<title id="block-title">The decoder, from token ids to logits</title><desc id="block-text">{escape(words)}'
        f"</desc>{''.join(parts)}</svg>"
    )


def box_height(style: str, remarks: int = 1) -> int:
    """How tall a part is drawn: norms are thin, and every remark after the first takes a line."""
    return 30 if style == "norm" else BOX_HEIGHT + 16 * max(0, remarks - 1)


def box(y: float, style: str, name: str, *remarks: str) -> str:
    """One part: its name and, smaller, its sizes."""
    lines = [remark for remark in remarks if remark]
    height = box_height(style, len(lines))
    name_y = y + (18 if lines else height / 2 + 4.5)
    small = "".join(
        f'<text class="small" x="{CENTRE}" y="{y + 35 + 16 * index}" text-anchor="middle">{escape(line)}</text>'
        for index, line in enumerate(lines)
    )
    return (
        f'<rect class="part part-{style}" x="{BOX_LEFT}" y="{y}" width="{BOX_WIDTH}" height="{height}" rx="8"/>'
        f'<text class="name" x="{CENTRE}" y="{name_y}" text-anchor="middle">{escape(name)}</text>'
        f"{small}"
    )


def arrow(start: float, end: float) -> str:
    """The way of the data, downwards."""
    return (
        f'<path class="flow" d="M{CENTRE} {start}V{end - 4}"/><path class="tip" d="M{CENTRE - 4} {end - 6}l4 6l4 -6z"/>'
    )


def plus(y: float) -> str:
    """A residual addition."""
    return (
        f'<circle class="plus" cx="{CENTRE}" cy="{y}" r="10"/>'
        f'<path class="flow" d="M{CENTRE - 5} {y}h10M{CENTRE} {y - 5}v10"/>'
    )
