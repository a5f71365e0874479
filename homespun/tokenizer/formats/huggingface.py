r"""Hugging Face's ``tokenizer.json`` of byte-level BPE <-> ``Vocabulary``.

In and out: the JSON that ``tokenizers.Tokenizer.from_file`` reads, with the same ids for the same text. What cannot be
reproduced exactly is refused in one line that names the part of the file: normalizers (also Qwen2's NFC: homespun
encodes text as it is), a space put before the text, other splits than our patterns, dropout, byte fallback,
prefixes and suffixes of words, truncation, and tokens that no merge makes.

Special tokens: every added token becomes one, whether the file calls it special or not, and is encoded only where the
caller allows it, as everywhere in homespun; ``tokenizers`` takes them in any text. Accepted for the same reason is a
post-processor that puts special tokens around a text (Llama 3's ``<|begin_of_text|>``): homespun never adds one by
itself, so the ids are those of ``encode(text, add_special_tokens=False)``. Accepted too is ``unk_token``: as all
256 bytes are in the vocabulary, nothing is ever unknown. A chat template is not in this file.

The expressions of the split run on Oniguruma there and on the module ``regex`` here. They agree, except on letters
newer than the tables of Oniguruma, and except for two signs in tiktoken's own spelling of cl100k: Oniguruma takes the
possessive ``{1,3}+`` for a repeated group, and ``$`` for the end of any line. So a file with that spelling splits in
another way than cl100k and is refused; we write it with ``{1,3}`` and ``\z``. Most files that are called cl100k have
the expression of 2023, which is that of Llama 3 and is read as ``llama3``: it differs on white space at the end.

Source: the Rust library ``tokenizers`` (Apache 2.0), ``tokenizers/src/tokenizer/serialization.rs`` and
``models/bpe/serialization.rs``; the spellings from the files published with Llama 3, Qwen2 and GPT-4o.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.common.files import write_atomic
from homespun.tokenizer.encoding import encode_piece, token_of_pairs
from homespun.tokenizer.formats.named_merges import (
    NamedPair,
    find_end_of_text,
    ids_of_names,
    learn_names,
    name_pairs,
    names_of,
    simplify,
)
from homespun.tokenizer.formats.reading import is_table_of_ids, json_of, read_bytes, shorten
from homespun.tokenizer.patterns import PATTERNS, find_pattern
from homespun.tokenizer.settings import BYTES
from homespun.tokenizer.vocabulary import Vocabulary

BYTE_LEVEL_PATTERN = "gpt2"  # what ByteLevel splits by itself

Frame = tuple[tuple[str, ...], tuple[str, ...]]  # names of special tokens before a text and behind it
NO_FRAME: Frame = ((), ())

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
# The spellings for Oniguruma, where that of patterns.py is not the only one; the first one is written.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "cl100k": (
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*+"
        r"|\s++\z|\s*[\r\n]|\s+(?!\S)|\s",
    ),
    "llama3": (
        LLAMA3,
        # tiktoken's spelling between 2023 and 2024
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*"
        r"|\s*[\r\n]|\s+(?!\S)|\s+",
    ),
}

# Digits by three from the right, as split.py groups them. Only at the beginning of a number (the look-behind) does it
# look ahead, so the time is linear; the shorter \p{N}{1,3}(?=(?:\p{N}{3})*(?!\p{N})) does so for every group: one
# second for 40,000 digits where this takes 16 ms.
DIGITS = r"\p{N}++"
GROUPED_DIGITS = r"(?<!\p{N})\p{N}{1,2}(?=(?:\p{N}{3})++(?!\p{N}))|\p{N}{1,3}"

# What may stand around the ids without changing those of the text.
TEMPLATE = "TemplateProcessing"
HARMLESS_PROCESSORS = ("ByteLevel", TEMPLATE, "RobertaProcessing", "BertProcessing")


def spellings_of(pattern: str) -> tuple[str, ...]:
    """Return the expressions with which Oniguruma splits as our pattern does; the first is the one to write."""
    if pattern in SPELLINGS:
        return SPELLINGS[pattern]
    found = find_pattern(pattern)
    if not found.groups_digits:
        return (found.expression,)
    before, digits, after = found.expression.rpartition("|" + DIGITS)
    if not digits:
        raise HomespunError(f"the split pattern {pattern} cannot be written for Hugging Face")
    return (f"{before}|{GROUPED_DIGITS}{after}",)


def read_huggingface(path: Path, pattern: str | None = None, end_of_text: str | None = None) -> Vocabulary:
    """Read ``tokenizer.json``; ``pattern`` is only compared, or chooses between two patterns of one expression.

    Raises ``DamagedFileError`` for JSON of the wrong shape and ``HomespunError`` for what cannot be reproduced.
    """
    value = json_of(path, read_bytes(path))
    try:
        return vocabulary_of(value, pattern, end_of_text)
    except HomespunError as error:
        raise type(error)(f"{path}: {error}") from error


def vocabulary_of(value: Any, pattern: str | None, end_of_text: str | None) -> Vocabulary:
    """Return the vocabulary in the JSON; errors do not name the file yet."""
    whole = need_object(value, "the file")
    model = need_object(whole.get("model"), "model")
    check_model(model)
    check_surroundings(whole)
    found = find_split(whole.get("pre_tokenizer"), pattern)
    table = model.get("vocab")
    if not is_table_of_ids(table):
        raise DamagedFileError("model.vocab is not an object of tokens and their ids; get the file again")
    merges, names = learn_names(list(parse_merges(model.get("merges"))))
    special = parse_added_tokens(whole.get("added_tokens"), table)
    check_post_processor(whole.get("post_processor"), special)
    ids = ids_of_names(names, table, special)
    vocabulary = Vocabulary(found, merges, special, simplify(ids), find_end_of_text(special, end_of_text))
    if model.get("ignore_merges"):
        check_that_merges_suffice(vocabulary)
    return vocabulary


def need_object(value: Any, what: str) -> dict[str, Any]:
    """Return ``value`` if it is a JSON object."""
    if not isinstance(value, dict):
        raise DamagedFileError(f"{what} is not a JSON object; give the tokenizer.json of a byte-level BPE tokenizer")
    return value


def refuse(what: str) -> HomespunError:
    """Return the error for something that homespun does in another way."""
    return HomespunError(f"{what}; homespun cannot reproduce it exactly, so it does not import the file")


def check_model(model: Mapping[str, Any]) -> None:
    """Refuse other models than plain BPE."""
    if model.get("type", "BPE") != "BPE":
        raise refuse(f"model.type is {shorten(model['type'])}, not BPE")
    for key in ("dropout", "byte_fallback", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            raise refuse(f"model.{key} is {shorten(model[key])}")


def check_surroundings(whole: Mapping[str, Any]) -> None:
    """Refuse what changes the text before it is split, cuts the ids, or decodes in another way."""
    if whole.get("truncation"):
        raise refuse("truncation is set (texts are cut); set it to null")
    normalizer = whole.get("normalizer")
    if normalizer and not (isinstance(normalizer, dict) and normalizer.get("normalizers") == []):
        raise refuse(f"the normalizer {type_of(normalizer)} changes texts before they are encoded")
    decoder = whole.get("decoder")
    if decoder and type_of(decoder) != "ByteLevel":
        raise refuse(f"the decoder is {type_of(decoder)}, not ByteLevel")


def type_of(part: Any) -> str:
    """Return the type that a part of the file gives itself."""
    kind = part.get("type") if isinstance(part, dict) else None
    return kind if isinstance(kind, str) and len(kind) < 50 else shorten(part)


def parts_of(part: Any, key: str) -> list[Any]:
    """Return the parts of a ``Sequence``, or the one part there is."""
    if type_of(part) != "Sequence":
        return [part]
    parts = part.get(key)
    if not isinstance(parts, list):
        raise DamagedFileError(f"a Sequence lacks its {key}; get the file again")
    return parts


def find_split(pre_tokenizer: Any, wanted: str | None) -> str:
    """Return the name of the pattern by which the file splits; ``wanted`` has to be one of those that fit."""
    parts = parts_of(pre_tokenizer, "pretokenizers")
    *before, last = parts or [None]
    if type_of(last) != "ByteLevel" or len(before) > 1 or any(type_of(part) != "Split" for part in before):
        raise refuse(
            f"the pre_tokenizer is {' and '.join(map(type_of, parts)) or 'empty'}, not ByteLevel or Split and ByteLevel"
        )
    if last.get("add_prefix_space", True) is not False:
        raise refuse("the pre_tokenizer has add_prefix_space: it puts a space before every text")
    uses_regex = last.get("use_regex", True) is not False
    if before and uses_regex:
        raise refuse("the pre_tokenizer splits twice, by an expression and as ByteLevel does")
    if not before and not uses_regex:
        raise refuse("the pre_tokenizer does not split texts at all")
    fitting = patterns_of(before[0]) if before else [BYTE_LEVEL_PATTERN]
    if wanted is None:
        return fitting[0]
    if find_pattern(wanted).name not in fitting:
        raise UsageError(f"the file splits as {fitting[0]} does, not as {wanted}; leave out --pattern")
    return wanted


def patterns_of(split: Mapping[str, Any]) -> list[str]:
    """Return the names of our patterns that split as a ``Split`` does."""
    # Every pattern of ours matches all of a text, so to keep only the matches is to keep everything.
    how = (split.get("behavior"), split.get("invert", False))
    if how not in (("Isolated", False), ("Isolated", True), ("Removed", True)):
        raise refuse(f"the pre_tokenizer splits with behavior {shorten(how[0])} and invert {shorten(how[1])}")
    expression = split.get("pattern")
    expression = expression.get("Regex") if isinstance(expression, dict) else None
    fitting = [name for name in PATTERNS if expression in spellings_of(name)]
    if not fitting:
        raise refuse(f"the pre_tokenizer splits by {shorten(expression)}, which is none of {', '.join(PATTERNS)}")
    return fitting


def parse_merges(value: Any) -> Iterator[NamedPair]:
    """Yield the merges, which stand as "a b" in older files and as ["a", "b"] in newer ones."""
    if not isinstance(value, list):
        raise DamagedFileError("model.merges is not a list; get the file again")
    for number, merge in enumerate(value, start=1):
        parts = merge.split(" ") if isinstance(merge, str) else merge
        if not isinstance(parts, list) or [type(part) for part in parts] != [str, str] or not all(parts):
            raise DamagedFileError(f"merge {number}, {shorten(merge)}, is not two tokens; get the file again")
        yield parts[0], parts[1]


def parse_added_tokens(value: Any, table: Mapping[str, int]) -> dict[str, int]:
    """Return the added tokens as special tokens, by ascending id."""
    if value is not None and not isinstance(value, list):
        raise DamagedFileError("added_tokens is not a list; get the file again")
    special: dict[str, int] = {}
    for added in value or ():
        name, token = (added.get("content"), added.get("id")) if isinstance(added, dict) else (None, None)
        if not isinstance(name, str) or type(token) is not int:
            raise DamagedFileError(f"the added token {shorten(added)} lacks its content or its id; get the file again")
        for flag in ("lstrip", "rstrip", "single_word"):
            if added.get(flag):
                raise refuse(f"the added token {shorten(name)} has {flag}: the text around it counts")
        if special.get(name, token) != token or table.get(name, token) != token:
            raise DamagedFileError(f"the added token {shorten(name)} has two ids; get the file again")
        special[name] = token
    return dict(sorted(special.items(), key=lambda entry: entry[1]))


def check_post_processor(processor: Any, special: Mapping[str, int]) -> None:
    """Refuse what adds other tokens than special ones."""
    for part in parts_of(processor, "processors") if processor else ():
        if type_of(part) not in HARMLESS_PROCESSORS:
            raise refuse(f"the post_processor is {type_of(part)}")
        for name in names_added_by(part):
            if name not in special:
                raise refuse(f"the post_processor adds {shorten(name)}, which is no special token")


def names_added_by(processor: Mapping[str, Any]) -> Sequence[Any]:
    """Return the tokens that a post-processor puts around a text."""
    if type_of(processor) in ("RobertaProcessing", "BertProcessing"):
        ends = [processor.get("cls"), processor.get("sep")]
        return [end[0] if isinstance(end, list) and end else None for end in ends]
    added = processor.get("special_tokens")
    if not isinstance(added, dict):
        return []
    return [
        name for entry in added.values() for name in (entry.get("tokens") or [] if isinstance(entry, dict) else [None])
    ]


def check_that_merges_suffice(vocabulary: Vocabulary) -> None:
    """Refuse ``ignore_merges`` (a piece that is a token is taken whole) where merging gives something else."""
    tokens = token_of_pairs(vocabulary.merges)
    for token, raw in enumerate(vocabulary.learned_bytes[BYTES:], start=BYTES):
        if encode_piece(raw, tokens) != [token]:
            raise refuse(f"model.ignore_merges is true and merging does not make the token {shorten(raw)}")


def write_huggingface(vocabulary: Vocabulary, path: Path, around: Frame = NO_FRAME) -> None:
    """Write ``tokenizer.json``. The chat template is not in the format, nor which token divides documents.

    ``around``: names of the special tokens that ``tokenizers`` is to put before and behind each text.
    """
    names = names_of(vocabulary)
    special = dict(vocabulary.special_tokens)
    # The special tokens stand in the vocabulary of the model too: else the reader gives them the next free ids.
    table = dict(zip(names, vocabulary.public_ids(), strict=True)) | special
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    value = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": token, "content": name} | flags
            for name, token in sorted(special.items(), key=lambda entry: entry[1])
        ],
        "normalizer": None,
        "pre_tokenizer": byte_level if vocabulary.pattern == BYTE_LEVEL_PATTERN else split_and(byte_level, vocabulary),
        "post_processor": post_processor(around, special) if any(around) else None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": dict(sorted(table.items(), key=lambda entry: entry[1])),
            "merges": [f"{left} {right}" for left, right in name_pairs(vocabulary, names)],
        },
    }
    write_atomic(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def post_processor(around: Frame, special: Mapping[str, int]) -> dict[str, Any]:
    """Return the part that puts tokens around a text."""
    before, behind = ([{"SpecialToken": {"id": name, "type_id": 0}} for name in names] for names in around)
    first, second = ([*before, {"Sequence": {"id": letter, "type_id": 0}}, *behind] for letter in "AB")
    names = sorted({*around[0], *around[1]})
    added = {name: {"id": name, "ids": [special[name]], "tokens": [name]} for name in names}
    return {"type": TEMPLATE, "single": first, "pair": first + second, "special_tokens": added}


def read_frame(processor: Any) -> Frame | None:
    """Return the names of what a post-processor puts around a text; None for one that is not written as ours is."""
    if not processor:
        return NO_FRAME
    parts = [part for part in parts_of(processor, "processors") if type_of(part) != "ByteLevel"]
    if not parts:
        return NO_FRAME
    steps = parts[0].get("single") if len(parts) == 1 and type_of(parts[0]) == TEMPLATE else None
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        return None
    names = [step["SpecialToken"].get("id") if isinstance(step.get("SpecialToken"), dict) else None for step in steps]
    if names.count(None) != 1:
        return None
    place = names.index(None)
    return tuple(map(str, names[:place])), tuple(map(str, names[place + 1 :]))


def split_and(byte_level: Mapping[str, Any], vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the pre-tokenizer that splits by our expression and then writes bytes as characters."""
    expression = spellings_of(vocabulary.pattern)[0]
    split = {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, dict(byte_level) | {"use_regex": False}]}
