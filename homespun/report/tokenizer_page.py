"""A tokenizer, and texts -> one HTML page that shows what it learned and how it compares with others.

In: a ``Tokenizer``, texts by the name of their source, other tokenizers to compare with. Out: one file that needs no
other and loads nothing, light and dark, written atomically.

Its parts: facts, bytes per token by source and by script, samples in the colours of their tokens, the longest tokens,
the merges of some words as trees, and how much of the vocabulary the texts use. Without texts it has those parts that
need none. ``tokenizer_measure`` counts, ``tokenizer_comparison`` and ``tokenizer_vocabulary`` write the chapters,
``tokenizer_trees`` draws; ``markup``, ``token_pictures`` and ``page.css`` are those of the reports of runs.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from homespun.common.files import write_atomic
from homespun.report.document import document
from homespun.report.markup import card, cards, chapter, code, fold, paragraph, table
from homespun.report.token_pictures import show_bytes
from homespun.report.tokenizer_comparison import length_chapter, samples_chapter
from homespun.report.tokenizer_measure import OURS, Measurement, measure_all
from homespun.report.tokenizer_vocabulary import longest_chapter, trees_chapter, use_chapter
from homespun.report.wording import decimal, percent, size, whole
from homespun.tokenizer.patterns import find_pattern
from homespun.tokenizer.tokenizer import Tokenizer

NO_OTHERS: Mapping[str, Tokenizer] = MappingProxyType({})
MOST_SPECIAL = 40

# What this page needs beyond page.css, in its colours.
STYLE = """
.series-0 { --series: var(--indigo); } .series-1 { --series: var(--madder); } .series-2 { --series: var(--weld); }
.series-3 { --series: var(--moss); } .series-4 { --series: var(--walnut); }
.key-series-0 { background: var(--indigo); } .key-series-1 { background: var(--madder); }
.key-series-2 { background: var(--weld); } .key-series-3 { background: var(--moss); }
.key-series-4 { background: var(--walnut); }
.legend .key { height: 11px; width: 16px; border-radius: 3px; vertical-align: -1px; }
.groups { list-style: none; margin: 4px 0 12px; padding: 0; display: grid; gap: 15px; }
.groups > li { display: grid; grid-template-columns: minmax(70px, 150px) 1fr; gap: 4px 14px; align-items: center; }
.group-name { font-size: 0.92rem; overflow-wrap: anywhere; line-height: 1.3; }
.group { list-style: none; margin: 0; padding: 0; display: grid; gap: 3px; }
.group li { display: flex; align-items: center; gap: 9px; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
.group .bar { flex: none; height: 15px; background: var(--series); opacity: 0.85; }
.group-track { flex: 1; display: flex; align-items: center; gap: 9px; }
.group-value { white-space: nowrap; color: var(--soft); }
.group .series-0 .group-value { color: var(--ink); font-weight: 600; }
.column { fill: var(--series); opacity: 0.85; }
.column.texts { fill: var(--madder); }
.key-vocabulary { background: var(--indigo); } .key-texts { background: var(--madder); }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 390px), 1fr)); gap: 6px 22px; }
.beside figcaption { font-size: 0.86rem; color: var(--soft); margin-top: 8px; }
.beside figcaption strong { color: var(--ink); }
.beside pre.tokens { max-height: 40em; margin-bottom: 6px; }
.token { padding: 2px 1px; box-shadow: inset 0 0 0 1px color-mix(in srgb, var(--ink) 13%, transparent); }
.trees { display: flex; flex-wrap: wrap; gap: 18px; align-items: flex-start; margin-top: 18px; }
.trees figure { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 14px 16px 10px;
  max-width: 100%; overflow-x: auto; flex: 1 0 auto; }
.trees figcaption { font-size: 0.84rem; color: var(--soft); margin-top: 8px; text-align: center; }
svg.tree { margin: 0 auto; max-width: none; }
.tree-line { fill: none; stroke: var(--soft); stroke-width: 1.2; opacity: 0.7; }
.tree-byte { fill: var(--faint); stroke: var(--line); } .tree-merge { fill: var(--indigo-wash); stroke: var(--indigo); }
.tree-root { fill: var(--moss-wash); stroke: var(--moss); stroke-width: 1.6; }
.tree-name { font: 13.5px var(--mono); fill: var(--ink); } .tree-step { font: 10.5px var(--sans); fill: var(--soft); }
.by-script { display: grid; grid-template-columns: minmax(70px, 110px) 1fr; gap: 2px 14px; margin: 0; }
.by-script dt { font-size: 0.92rem; padding-top: 13px; } .by-script dd { margin: 0; min-width: 0; }
.facts td { overflow-wrap: anywhere; } .facts tbody th { white-space: nowrap; color: var(--soft); }
@media (max-width: 640px) { .groups > li { grid-template-columns: 1fr; } }
@media print { .trees figure, .groups > li { break-inside: avoid; } .beside pre.tokens { max-height: none; } }
"""


def write_tokenizer_report(
    tokenizer: Tokenizer, texts: Mapping[str, str], out: Path, compare: Mapping[str, Tokenizer] = NO_OTHERS
) -> None:
    """Write the page of ``tokenizer`` to ``out``, atomically.

    ``texts`` maps the name of each source to its text (about 1 MB each; the beginning of longer ones is measured), and
    ``compare`` the names of other tokenizers to them. A file that cannot be written is a ``HomespunError``.
    """
    write_atomic(out, tokenizer_page(tokenizer, texts, compare))


def tokenizer_page(tokenizer: Tokenizer, texts: Mapping[str, str], compare: Mapping[str, Tokenizer] = NO_OTHERS) -> str:
    """The whole document, as one string."""
    tokenizers = named(tokenizer, compare)
    measured = measure_all(tokenizers, texts)
    chapters = [("facts", "Facts", facts_chapter(tokenizers, measured))]
    if any(texts.values()):
        chapters += [
            ("length", "Bytes per token", length_chapter(measured, texts)),
            ("samples", "Samples", samples_chapter(tokenizers, texts)),
        ]
    chapters += [
        ("longest", "Longest tokens", longest_chapter(tokenizer)),
        ("trees", "Merges", trees_chapter(tokenizer, measured[OURS])),
    ]
    if any(texts.values()):
        chapters.append(("use", "Use", use_chapter(tokenizers, measured)))
    identity = tokenizer.identity()
    return document(
        chapters,
        title=f"tokenizer {identity}",
        maker="report of a tokenizer",
        heading=f"{whole(tokenizer.vocabulary_size)} tokens",
        when=f"tokenizer <code>{identity}</code>",
        footer="Written by homespun. This page is one file and loads nothing: keep it, print it, send it on.",
        style=STYLE,
    )


def named(tokenizer: Tokenizer, compare: Mapping[str, Tokenizer]) -> dict[str, Tokenizer]:
    """All tokenizers by name, ours first; another one that bears our name gets a mark."""
    others = {f"{name} (the other)" if name == OURS else name: other for name, other in compare.items()}
    return {OURS: tokenizer} | others


def facts_chapter(tokenizers: Mapping[str, Tokenizer], measured: Mapping[str, Measurement]) -> str:
    """Headline numbers, and a table with the facts of each tokenizer."""
    ours, total = tokenizers[OURS], measured[OURS].total
    sentence = verdict(measured)
    inside = paragraph(sentence, "meaning") if sentence else ""
    longest = max(ours.vocabulary.learned_bytes, key=len)
    inside += cards(
        [
            card("vocabulary", whole(ours.vocabulary_size), "different tokens"),
            card("merges", whole(len(ours.merges)), "pairs learned, on top of 256 bytes"),
            card("length", decimal(total.bytes_per_token), "bytes per token on these texts"),
            card("longest token", size(len(longest)), brief(longest)),
        ]
    )
    rows = (
        ("vocabulary size", [whole(one.vocabulary_size) for one in tokenizers.values()]),
        ("merges", [whole(len(one.merges)) for one in tokenizers.values()]),
        ("split pattern", [one.pattern for one in tokenizers.values()]),
        ("special tokens", [special_in_words(one) for one in tokenizers.values()]),
        ("end of text", [str(one.end_of_text) for one in tokenizers.values()]),
        ("numbering", [numbering(one) for one in tokenizers.values()]),
        ("chat template", ["yes" if one.chat_template else "no" for one in tokenizers.values()]),
        ("identity", [one.identity() for one in tokenizers.values()]),
    )
    inside += table(
        ("", *tokenizers), [(name, *values) for name, values in rows], caption="facts of each tokenizer", style="facts"
    )
    for name in dict.fromkeys(one.pattern for one in tokenizers.values()):
        pattern = find_pattern(name)
        title = f"The split pattern {name}: {pattern.summary}"
        inside += fold(title, code(pattern.expression, f"the expression of {name}"))
    lead = "A model does not read letters. A tokenizer cuts text into pieces that it has met often, and numbers them."
    return chapter("facts", "The tokenizer", lead, inside)


def verdict(measured: Mapping[str, Measurement]) -> str:
    """The comparison in a sentence or two; empty without texts."""
    ours = measured[OURS].total
    if not ours.tokens:
        return ""
    sentences = [f"One token carries {decimal(ours.bytes_per_token)} bytes of these texts."]
    for name, other in measured.items():
        if name != OURS:
            sentences.append(f"{name} needs {difference(other.total.tokens / ours.tokens)} tokens for the same.")
    return " ".join(sentences[:4])


def difference(share: float) -> str:
    """A ratio to 1 in words."""
    if abs(share - 1) < 0.0005:
        return "as many"
    return f"{percent(share - 1)} more" if share > 1 else f"{percent(1 - share)} fewer"


def special_in_words(tokenizer: Tokenizer) -> str:
    """The special tokens and their ids."""
    pairs = [f"{name} {token}" for name, token in tokenizer.special_tokens.items()]
    more = [f"and {len(pairs) - MOST_SPECIAL} more"] if len(pairs) > MOST_SPECIAL else []
    return ", ".join([*pairs[:MOST_SPECIAL], *more])


def numbering(tokenizer: Tokenizer) -> str:
    """In which order the ids stand."""
    return "bytes, merges, special tokens" if tokenizer.vocabulary.ids is None else "its own, imported"


def brief(raw: bytes) -> str:
    """The beginning of a token, for a remark."""
    words = show_bytes(raw)
    if not words.strip():
        return "white space"
    return f"“{words[:24]}{'…' if len(words) > 24 else ''}”"
