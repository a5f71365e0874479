"""The chapters on the text: what was kept of it, and the tokens it became."""

from typing import Any

from homespun.common.errors import HomespunError
from homespun.report.facts import Facts
from homespun.report.lookup import as_number, mapping, number, numbers, sequence
from homespun.report.markup import bars, card, cards, chapter, element, escape, fold, not_yet, paragraph, table
from homespun.report.overview import brief
from homespun.report.read_run import RunData
from homespun.report.token_pictures import chips, coloured_text, longest_tokens
from homespun.report.wording import count, decimal, percent, plain, plural, significant, size, whole

MOST_KINDS = 12
COUNTED = {
    "files_read": "files read",
    "files_binary": "files left out: not text",
    "files_undecodable": "files left out: no encoding fits",
    "files_unreadable": "files left out: could not be opened",
    "unreadable_files": "Files that could not be opened",
    "files_without_text_column": "files left out: no column of text",
    "without_text_column": "Files without a column of text",
    "malformed_lines": "malformed lines left out",
    "malformed_files": "Files with malformed lines",
    "documents_too_short": "documents left out: too short",
    "documents_duplicate": "documents left out: there already",
    "bytes_kept": "text kept",
    "files_left_out_by_cap": "files left out: enough text already",
    "bytes_left_out_by_cap": "text left out: enough already",
}


def corpus_chapter(run: RunData, facts: Facts) -> str:
    """Sources, what each step kept and dropped, the splits, and the kinds of files."""
    lead = "A model can only know what it reads. This is what it was given, and what was left after cleaning."
    sources = [str(source) for source in sequence(run.run, "sources") or sequence(run.corpus, "sources")]
    inside = ""
    if sources:
        listed = "".join(f"<li><code>{escape(source)}</code></li>" for source in sources[:40])
        more = f"<li>and {len(sources) - 40} more</li>" if len(sources) > 40 else ""
        inside += f'<h3>Sources</h3><ul class="sources">{listed}{more}</ul>'
    if not run.corpus:
        return chapter("data", "The text", lead, inside + not_yet("The text has not been read to its end."))
    splits = mapping(run.corpus, "splits")
    if splits:
        inside += "<h3>Two parts that never mix</h3>"
        inside += paragraph(
            "The model learns from one part; the other is kept aside, to measure how it does on text it has not seen."
        )
        inside += table(
            ("part", "documents", "characters", "size"),
            [
                (
                    plain(name),
                    whole(number(part, "documents")),
                    count(number(part, "characters")),
                    size(number(part, "bytes")),
                )
                for name, part in splits.items()
            ],
            caption="the parts of the text",
            numeric=(1, 2, 3),
        )
    counts = mapping(run.corpus, "counts") or mapping(run.corpus, "steps")
    steps = step_rows(counts)
    if steps:
        inside += "<h3>What was kept, and what was not</h3>"
        inside += table(("", "count"), steps, caption="what reading kept and left out", numeric=(1,), style="steps")
        inside += named_files(counts)
    inside += kind_bars("Kinds of files", numbers(counts, "endings") or numbers(run.corpus, "kinds"))
    encodings = numbers(counts, "encodings")
    if len(encodings) > 1:
        inside += kind_bars("Encodings", encodings)
    left_out = numbers(counts, "unknown_endings")
    if left_out:
        inside += fold("Files left out because of their ending", kind_bars("", left_out))
    return chapter("data", "The text", lead, inside)


def step_rows(counts: dict[str, Any]) -> list[tuple[str, str]]:
    """The single counts; those of things left out only where there were any."""
    rows = []
    for name, value in counts.items():
        if isinstance(value, list | dict):
            continue
        amount = as_number(value)
        if amount or name.endswith(("_read", "_kept")):
            write = size if name.startswith("bytes") else whole
            rows.append((COUNTED.get(name, plain(name)), write(amount)))
        elif amount is None and value:
            rows.append((COUNTED.get(name, plain(name)), brief(value)))
    return rows[:80]


def named_files(counts: dict[str, Any]) -> str:
    """The lists of names that the account of the corpus keeps."""
    inside = ""
    for key, names in counts.items():
        if isinstance(names, list) and names:
            listed = "".join(f"<li><code>{escape(name)}</code></li>" for name in names[:20])
            inside += fold(COUNTED.get(key, plain(key)), f'<ul class="sources">{listed}</ul>')
    return inside


def kind_bars(title: str, kinds: dict[str, float]) -> str:
    """Counts by kind as bars, the most frequent first; the rare ones together."""
    ranked = sorted(kinds.items(), key=lambda item: -item[1])
    if not ranked:
        return ""
    shown, rest = ranked[:MOST_KINDS], ranked[MOST_KINDS:]
    rows = [(name or "(none)", value, whole(value), "kind") for name, value in shown]
    if rest:
        together = sum(value for _, value in rest)
        rows.append((f"{len(rest)} others", together, whole(together), "faint"))
    return (f"<h3>{escape(title)}</h3>" if title else "") + bars(rows, title or "counts")


def tokenizer_chapter(run: RunData, facts: Facts) -> str:
    """Vocabulary, bytes per token, the longest tokens, and a text in colours."""
    lead = "The model does not read letters. A tokenizer cuts text into pieces it has met often, and numbers them."
    if run.tokenizer is None and not run.tokens:
        return chapter("tokens", "The tokens", lead, not_yet("The tokenizer has not been trained."))
    vocabulary = facts.vocabulary_size
    if vocabulary is None and run.tokenizer is not None:
        vocabulary = float(run.tokenizer.vocabulary_size)
    inside = cards(
        [
            card("vocabulary", whole(vocabulary), "different tokens"),
            card("training text", decimal(facts.bytes_per_token_train), "bytes per token"),
            card("validation text", decimal(facts.bytes_per_token_validation), "bytes per token"),
            card("to train on", count(facts.train_tokens), "tokens"),
            card("to validate on", count(facts.validation_tokens), "tokens"),
        ]
    )
    train, held_out = facts.bytes_per_token_train, facts.bytes_per_token_validation
    if train is not None and held_out is not None:
        inside += paragraph(closeness(train, held_out))
    if run.tokenizer is not None:
        try:
            inside += vocabulary_pictures(run)
        except (HomespunError, ValueError, KeyError, IndexError, TypeError) as error:
            inside += element("p", escape(f"The tokenizer could not be shown: {error}"), "note warning")
    return chapter("tokens", "The tokens", lead, inside)


def closeness(train: float, held_out: float) -> str:
    """What the two ratios say when set side by side."""
    share = held_out / train - 1
    if abs(share) < 0.03:
        return "Held-out text is cut as well as the training text: the vocabulary fits text it was not made from."
    better = "better" if share > 0 else "less well"
    return f"Held-out text is cut {better} than the training text, by {percent(abs(share))}: the parts differ."


def vocabulary_pictures(run: RunData) -> str:
    """Chips and a coloured text."""
    assert run.tokenizer is not None
    inside = ""
    text = run.validation_text or next((sample.text for sample in reversed(run.samples) if sample.text.strip()), "")
    if text:
        picture, tokens, length = coloured_text(run.tokenizer, text)
        origin = "the validation text" if run.validation_text else "a sample the model wrote"
        inside += f"<h3>How text is cut</h3>{picture}" + paragraph(
            f"The beginning of {origin}: {plural(tokens, 'token')} for {plural(length, 'byte')}, "
            f"{significant(length / max(tokens, 1))} bytes each. · is a space, ↵ a line break, ⟨…⟩ a part of a letter.",
            "remark",
        )
    longest = longest_tokens(run.tokenizer)
    if longest:
        inside += "<h3>The longest tokens</h3>" + paragraph(
            "Whatever the text repeats most becomes one piece: this is a portrait of the text."
        )
        inside += chips(longest[:24])
        if len(longest) > 24:
            inside += fold("More of them", chips(longest[24:]))
    return inside
