"""The chapters on the vocabulary: its longest tokens, how some came to be, and how much of it the texts use.

In: ``Tokenizer`` and ``Measurement`` (by name, ours first). Out: safe HTML.
"""

from collections.abc import Mapping

from homespun.report.charts import Scale, nice_ticks, write_text
from homespun.report.markup import chapter, element, escape, fold, legend, paragraph, table
from homespun.report.token_pictures import chips
from homespun.report.tokenizer_measure import (
    OURS,
    Measurement,
    learned_tokens,
    longest_learned,
    longest_words,
    used_lengths,
    vocabulary_lengths,
)
from homespun.report.tokenizer_trees import interesting_tokens, tree_drawing
from homespun.report.wording import percent, plural, whole
from homespun.tokenizer.tokenizer import Tokenizer

LONGEST_COLUMN = 16  # bytes; longer tokens share the last column of the histogram
WORDS_PER_SCRIPT = 14
TREES_AT_ONCE = 6  # the others can be opened


def longest_chapter(tokenizer: Tokenizer) -> str:
    """The longest tokens of the vocabulary, with and without runs."""
    lead = "Whatever the training text repeats most becomes one piece: the longest tokens are a portrait of that text."
    inside = ""
    words = longest_words(tokenizer, WORDS_PER_SCRIPT)
    if words:
        inside += "<h3>Words, by script</h3>" + paragraph(
            "The longest ones that do not repeat themselves. Point at one to see how many bytes it has.", "remark"
        )
        rows = [f"<dt>{escape(script)}</dt><dd>{chips(found)}</dd>" for script, found in words.items()]
        inside += element("dl", "".join(rows), "by-script")
    inside += "<h3>Of all tokens</h3>" + paragraph("With runs of spaces, dashes and the like.", "remark")
    inside += chips(longest_learned(tokenizer, 24))
    return chapter("longest", "The longest tokens", lead, inside)


def trees_chapter(tokenizer: Tokenizer, measurement: Measurement) -> str:
    """How some words came to be."""
    lead = "Every token that is not a byte was made by joining two earlier ones. Read each tree from the bottom."
    tokens = interesting_tokens(tokenizer, measurement.uses)
    if not tokens:
        tokens = interesting_tokens(tokenizer, {})
    if not tokens:
        return chapter("trees", "How words came to be", lead, paragraph("No merge has made a long word so far."))
    learned, public = tokenizer.vocabulary.learned_bytes, tokenizer.vocabulary.public_ids()
    tokens[:TREES_AT_ONCE] = sorted(tokens[:TREES_AT_ONCE], key=lambda token: len(learned[token]))  # small ones pair up
    figures = []
    for place, token in enumerate(tokens):
        times = measurement.uses.get(public[token], 0)
        words = f"token {public[token]}" + (f", {plural(times, 'time')} in the texts" if times else "")
        drawing = tree_drawing(tokenizer, token, f"tree-{place}")
        figures.append(element("figure", drawing + f"<figcaption>{escape(words)}</figcaption>", tabindex="0"))
    inside = paragraph(
        "At the bottom stand the bytes, in hexadecimal. The number in a box above says which merge made it: small "
        "numbers were learned first, from the most frequent pairs.",
        "remark",
    )
    inside += element("div", "".join(figures[:TREES_AT_ONCE]), "trees")
    if figures[TREES_AT_ONCE:]:
        inside += fold("More trees", element("div", "".join(figures[TREES_AT_ONCE:]), "trees"))
    return chapter("trees", "How words came to be", lead, inside)


def use_chapter(tokenizers: Mapping[str, Tokenizer], measured: Mapping[str, Measurement]) -> str:
    """How much of the vocabulary the texts use, the lengths of tokens, the most frequent and the unused ones."""
    lead = "Each token costs the model a row of its embedding. One that is never used is a row for nothing."
    rows = []
    for name, tokenizer in tokenizers.items():
        learned = learned_tokens(tokenizer)
        used = sum(token in measured[name].uses for token, _ in learned)
        unused = len(learned) - used
        rows.append((name, whole(len(learned)), whole(used), whole(unused), percent(unused / len(learned))))
    heads = ("", "tokens, without special ones", "used", "unused", "unused share")
    inside = table(heads, rows, caption="tokens that the texts use", numeric=(1, 2, 3, 4))
    ours, uses = tokenizers[OURS], measured[OURS].uses
    inside += "<h3>How long the tokens are</h3>" + paragraph(
        "The share of the tokens of each length: in the vocabulary, where each counts once, and in the texts, where it "
        "counts as often as it is used.",
        "remark",
    )
    inside += legend((("in the vocabulary", "vocabulary"), ("in the texts", "texts")))
    inside += element("figure", histogram(vocabulary_lengths(ours), used_lengths(ours, uses)), "comparison")
    frequent = [ours.token_bytes(token) for token, _ in uses.most_common(36)]
    inside += "<h3>The most frequent</h3>" + chips(frequent)
    unused_tokens = sorted((raw for token, raw in learned_tokens(ours) if token not in uses), key=len, reverse=True)
    if unused_tokens:
        inside += fold("Tokens that these texts never use, the longest first", chips(unused_tokens[:48]))
    return chapter("use", "What is used", lead, inside)


def histogram(vocabulary: Mapping[int, int], texts: Mapping[int, int]) -> str:
    """Two columns for each length in bytes: the share of the vocabulary, and of the tokens in the texts."""
    width, height, left, bottom = 860.0, 300.0, 52.0, 254.0
    shares = [columns(vocabulary), columns(texts)]
    highest = max(max(column) for column in shares) or 1.0
    down = Scale(0.0, highest, bottom, 24.0)
    parts = []
    for tick in nice_ticks(0.0, highest, 5):
        parts.append(f'<path class="grid" d="M{left:g} {down(tick):.1f}H{width:g}"/>')
        parts.append(write_text(left - 8, down(tick) + 4, percent(tick), "end"))
    step = (width - left) / LONGEST_COLUMN
    for place in range(LONGEST_COLUMN):
        x = left + step * place
        name = f"{place + 1}" + ("+" if place + 1 == LONGEST_COLUMN else "")
        parts.append(write_text(x + step / 2, bottom + 18, name, "middle"))
        for turn, (column, style, where) in enumerate(
            zip(shares, ("series-0", "texts"), ("vocabulary", "texts"), strict=True)
        ):
            top = down(column[place])
            parts.append(
                f'<rect class="column {style}" x="{x + step * (0.14 + 0.37 * turn):.1f}" y="{top:.1f}" '
                f'width="{step * 0.35:.1f}" height="{bottom - top:.1f}" rx="2">'
                f"<title>{name} bytes: {escape(percent(column[place]))} of the {where}</title></rect>"
            )
    parts.append(f'<path class="axis" d="M{left:g} {bottom:g}H{width:g}"/>')
    parts.append(write_text(2, 12, "share of the tokens", "start", "label"))
    parts.append(write_text(width, height - 6, "bytes", "end", "label"))
    return (
        f'<svg class="chart" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="Lengths of the tokens in the '
        f'vocabulary and in the texts">{"".join(parts)}</svg>'
    )


def columns(lengths: Mapping[int, int]) -> list[float]:
    """Counts by length -> the share of each length from 1 on; the last one is of all that are longer, too."""
    total = sum(lengths.values()) or 1
    shares = [0.0] * LONGEST_COLUMN
    for length, number in lengths.items():
        shares[min(max(length, 1), LONGEST_COLUMN) - 1] += number / total
    return shares
