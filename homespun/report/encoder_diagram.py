"""The architecture of BERT -> a drawing of it (SVG), read from top to bottom as the data goes.

In: the configuration of the model (the keys of ``homespun.models.settings.BERTConfig``; every key optional).
Out: one ``<svg>``; an empty string where no width and no number of layers is known. The parts are in the order in
which ``homespun/models/bert.py`` calls them: what was added is normalized, and the stream with it.
"""

from typing import Any

from homespun.report.diagram import (
    BOX_HEIGHT,
    CENTRE,
    SKIP,
    STEP,
    WIDTH,
    arrow,
    box,
    box_height,
    plus,
)
from homespun.report.lookup import number
from homespun.report.markup import escape
from homespun.report.wording import TIMES, whole


def encoder_sizes(architecture: dict[str, Any]) -> dict[str, int]:
    """The sizes that a configuration leaves to homespun (0), as they are in the model."""
    hidden, width = number(architecture, "feedforward_width"), number(architecture, "width")
    if not width or not 0 < width < 1e12:
        return {}
    return {"feedforward_width": int(hidden) if hidden and 0 < hidden < 1e12 else 4 * int(width)}


def encoder_drawing(architecture: dict[str, Any]) -> str:
    """The whole encoder: embeddings, one block with the count of its repeats, the layer before the head, the head."""
    width, layers, heads, vocabulary, context = (
        int(found) if found is not None and 0 < found < 1e12 else 0
        for found in (number(architecture, key) for key in ("width", "layers", "heads", "vocabulary_size", "context"))
    )
    if not width or not layers:
        return ""
    hidden, heads = encoder_sizes(architecture)["feedforward_width"], max(1, heads)
    parts, y = [], 8.0
    for style, name, remark in (
        ("io", "token ids", f"up to {whole(context)} at a time, some of them hidden" if context else ""),
        ("embedding", "token embedding", f"{whole(vocabulary or None)} {TIMES} {whole(width)}"),
        ("embedding", "+ learned positions", f"{whole(context or None)} places"),
        ("embedding", "+ segments", "the first text and the second"),
    ):
        parts += [box(y, style, name, remark), arrow(y + BOX_HEIGHT, y + STEP)]
        y += STEP
    parts += [box(y, "norm", "LayerNorm", ""), arrow(y + 30, y + 54)]
    block_top = y + 44
    y += 68
    for style, name, remark in (
        ("attention", "self-attention, both ways", f"{heads} heads of {width // heads}"),
        ("feedforward", "feed-forward, GELU", f"{whole(width)} → {whole(hidden)} → {whole(width)}"),
    ):
        entry, below = y - 14, y + box_height(style)
        parts += [arrow(entry - 10, y), box(y, style, name, remark), arrow(below, below + 22), plus(below + 32)]
        parts.append(f'<path class="skip" d="M{CENTRE} {entry}H{SKIP}V{below + 32}H{CENTRE - 13}"/>'
                     f'<path class="tip" d="M{CENTRE - 17} {below + 28}l6 4l-6 4z"/>')  # fmt: skip
        parts += [arrow(below + 42, below + 56), box(below + 56, "norm", "LayerNorm", "")]
        y = below + 56 + 30 + 30
    block_bottom = y - 16
    parts.insert(0, f'<rect class="block" x="{SKIP - 26}" y="{block_top}" width="{WIDTH - SKIP + 26 - 16}" '
                    f'height="{block_bottom - block_top}" rx="14"/>')  # fmt: skip
    middle = (block_top + block_bottom) / 2
    parts.append(f'<text class="repeat" x="{WIDTH - 40}" y="{middle}" text-anchor="middle">{TIMES} {layers}</text>')
    parts.append(arrow(block_bottom - 14, y + 8))
    y += 8
    for style, name, remark in (
        ("feedforward", "one more layer, GELU, LayerNorm", f"{whole(width)} → {whole(width)}, at hidden places only"),
        ("embedding", "output head", "the same weights as the embedding, and a bias"
         if architecture.get("tied_embeddings") is True else f"{whole(width)} {TIMES} {whole(vocabulary or None)}"),
    ):  # fmt: skip
        parts += [box(y, style, name, remark), arrow(y + BOX_HEIGHT, y + STEP)]
        y += STEP
    parts.append(box(y, "io", "one logit for every token", "softmax makes them probabilities"))
    words = (
        f"Token ids, positions and segments are embedded in {width} channels, pass {layers} blocks of self-attention "
        f"in both directions ({heads} heads) and a feed-forward layer of {hidden} channels, each added to the stream "
        "and normalized with it; at hidden places one more layer and the output head give a logit for every token."
    )
    return (
        f'<svg class="diagram" viewBox="0 0 {WIDTH} {y + BOX_HEIGHT + 8:g}" role="img" '
        f'aria-labelledby="block-title block-text"><title id="block-title">The encoder, from token ids to logits'
        f'</title><desc id="block-text">{escape(words)}</desc>{"".join(parts)}</svg>'
    )
