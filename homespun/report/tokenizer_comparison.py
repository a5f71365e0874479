"""The chapters that compare tokenizers on the same texts: bytes per token, and samples in the colours of the tokens.

In: ``Measurement`` and ``Tokenizer`` by name, ours first, and the texts by source. Out: safe HTML.
"""

from collections.abc import Mapping, Sequence

from homespun.report.markup import chapter, element, escape, legend, paragraph, table
from homespun.report.token_pictures import coloured_text
from homespun.report.tokenizer_measure import LARGEST_TEXT, OURS, Count, Measurement, scripts_by_size
from homespun.report.wording import MINUS, count, decimal, percent, plural, significant, size, whole
from homespun.tokenizer.tokenizer import Tokenizer

SAMPLE = 320  # characters
COLOURS = 5  # of tokenizers: the classes series-0 to series-4, taken in turn


def length_chapter(measured: Mapping[str, Measurement], texts: Mapping[str, str]) -> str:
    """Bytes per token by source and by script, as picture and table."""
    lead = (
        "The more bytes a token carries, the more text fits into the model's window, and the less work each text is. "
        "The same text for all, so the numbers can be compared."
    )
    inside = legend((name, f"series-{place % COLOURS}") for place, name in enumerate(measured))
    sources = {name: [one.by_source[name] for one in measured.values()] for name in texts}
    if len(sources) > 1:
        sources["all together"] = [one.total for one in measured.values()]
    inside += "<h3>By source</h3>" + length_bars(sources, measured) + length_table("source", sources, measured)
    if any(len(text) > LARGEST_TEXT for text in texts.values()):
        inside += paragraph(f"Of each source the first {count(LARGEST_TEXT)} characters were measured.", "remark")
    scripts = {script: [one.by_script[script] for one in measured.values()] for script in scripts_by_size(measured)}
    inside += "<h3>By script</h3>" + paragraph(
        "Each line counts for the script that most of its letters are in: a guess, good enough to compare. Lines of "
        "Latin letters with many brackets and operators are taken for code."
    )
    inside += length_bars(scripts, measured) + length_table("script", scripts, measured)
    inside += paragraph(
        "“Parts of letters” are tokens that are not whole characters: where they are many, the vocabulary has met too "
        "little of that script.",
        "remark",
    )
    return chapter("length", "Bytes per token", lead, inside)


def length_bars(groups: Mapping[str, Sequence[Count]], names: Mapping[str, object]) -> str:
    """A group of bars for each text, one bar for each tokenizer, all on one scale."""
    lengths = [one.bytes_per_token or 0.0 for counts in groups.values() for one in counts]
    longest = max(lengths, default=0.0) or 1.0
    inside = ""
    for group, counts in groups.items():
        bars = ""
        for place, (name, one) in enumerate(zip(names, counts, strict=True)):
            share = 88 * (one.bytes_per_token or 0.0) / longest
            bars += (
                f'<li class="series-{place % COLOURS}" title="{escape(name)}"><span class="group-track">'
                f'<span class="bar" style="width:{max(share, 0.3):.1f}%"></span>'
                f'<span class="group-value">{escape(decimal(one.bytes_per_token))}</span></span></li>'
            )
        inside += f'<li><span class="group-name" dir="auto">{escape(group)}</span><ul class="group">{bars}</ul></li>'
    return f'<figure class="comparison"><ul class="groups" aria-label="bytes per token">{inside}</ul></figure>'


def length_table(head: str, groups: Mapping[str, Sequence[Count]], names: Mapping[str, object]) -> str:
    """The same in numbers: for the first tokenizer in full, for the others bytes per token and the difference."""
    others = [name for name in names if name != OURS]
    heads = [head, "text", "tokens", "parts of letters", "bytes per token"]
    for name in others:
        heads += [name, "tokens needed"]
    rows = []
    for group, counts in groups.items():
        ours = counts[0]
        parts = percent(ours.parts / ours.tokens) if ours.tokens else percent(None)
        row = [group, size(ours.bytes), whole(ours.tokens), parts, decimal(ours.bytes_per_token)]
        for other in counts[1:]:
            row += [decimal(other.bytes_per_token), signed(other.tokens / ours.tokens - 1 if ours.tokens else None)]
        rows.append(row)
    return table(heads, rows, caption=f"bytes per token by {head}", numeric=range(1, len(heads)))


def signed(share: float | None) -> str:
    """A difference in percent with its sign."""
    if share is None or abs(share) < 0.0005:
        return percent(share if share is None else 0.0)
    return ("+" if share > 0 else MINUS) + percent(abs(share))


def samples_chapter(tokenizers: Mapping[str, Tokenizer], texts: Mapping[str, str]) -> str:
    """The beginning of each source in the colours of its tokens, by each tokenizer."""
    lead = "How the beginning of each source is cut. Hold the pointer over a token to see its number."
    inside = ""
    for source, text in texts.items():
        sample = sample_of(text)
        if not sample:
            continue
        figures = ""
        for name, tokenizer in tokenizers.items():
            picture, tokens, length = coloured_text(tokenizer, sample)
            words = f": {plural(tokens, 'token')}, {significant(length / max(tokens, 1))} bytes each"
            # A line break behind the token's coloured box, not inside, where it would begin a box on the next line.
            picture = picture.replace("</span>\n</span>", "</span></span>\n")
            caption = f"<figcaption><strong>{escape(name)}</strong>{escape(words)}</figcaption>"
            figures += element("figure", caption + picture)
        inside += f'<h3 dir="auto">{escape(source)}</h3>' + element("div", figures, "beside")
    inside += paragraph(
        "· is a space, ↵ a line break, ⇥ a tab; ⟨…⟩ are the bytes of a token that begins or ends inside a character.",
        "remark",
    )
    return chapter("samples", "Samples", lead, inside)


def sample_of(text: str) -> str:
    """Some hundred characters from the first visible one on, cut at a white space if there is one near."""
    begin = text[:LARGEST_TEXT]
    begin = begin.lstrip()[: SAMPLE + 1]
    if len(begin) <= SAMPLE:
        return begin.rstrip()
    words = begin[:SAMPLE]
    border = max(words.rfind(" "), words.rfind("\n"))
    return words[:border] if border > SAMPLE * 3 // 4 else words
