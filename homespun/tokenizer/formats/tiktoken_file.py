"""tiktoken's ``.tiktoken`` file <-> ``Vocabulary``.

In and out: one token per line, its bytes in base64, a space, its rank, which is its public id too. Neither the split
pattern nor the special tokens are in the file: the pattern is an argument, and the special tokens are those published
with the vocabulary, where it is a known one. Merges are not in the file either, see ``recover_merges.py``.

Source: ``load_tiktoken_bpe`` in tiktoken/load.py and the tables in tiktoken_ext/openai_public.py (MIT licence); of
Llama 3, ``llama/tokenizer.py`` in meta-llama/llama3; of Qwen, ``tokenization_qwen.py``.
"""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.common.files import write_atomic
from homespun.tokenizer.formats.named_merges import find_end_of_text, simplify
from homespun.tokenizer.formats.reading import read_bytes, shorten
from homespun.tokenizer.formats.recover_merges import recover_merges
from homespun.tokenizer.patterns import PATTERNS
from homespun.tokenizer.settings import BYTES
from homespun.tokenizer.special import END_OF_TEXT
from homespun.tokenizer.vocabulary import Vocabulary

LONGEST_RANK = 9  # digits

# The number of ranks and the special tokens of the published vocabularies, by their pattern.
PUBLISHED: dict[str, tuple[int, dict[str, int]]] = {
    "gpt2": (50256, {END_OF_TEXT: 50256}),
    "cl100k": (
        100256,
        {
            END_OF_TEXT: 100257,
            "<|fim_prefix|>": 100258,
            "<|fim_middle|>": 100259,
            "<|fim_suffix|>": 100260,
            "<|endofprompt|>": 100276,
        },
    ),
    "o200k": (199998, {END_OF_TEXT: 199999, "<|endofprompt|>": 200018}),
    "llama3": (
        128000,
        {
            "<|begin_of_text|>": 128000,
            "<|end_of_text|>": 128001,
            "<|start_header_id|>": 128006,
            "<|end_header_id|>": 128007,
            "<|eot_id|>": 128009,
        },
    ),
    "qwen2": (151643, {END_OF_TEXT: 151643, "<|im_start|>": 151644, "<|im_end|>": 151645}),
}


def read_tiktoken(path: Path, pattern: str | None = None, end_of_text: str | None = None) -> Vocabulary:
    """Read a ``.tiktoken`` file, also one that is gzip; ``pattern`` is needed, as the file does not have it.

    Raises ``UsageError`` without a pattern, ``DamagedFileError`` for a file that is not whole, ``HomespunError`` for
    a vocabulary that cannot be reproduced exactly.
    """
    if pattern is None:
        raise UsageError(f"{path}: the format lacks the split pattern; give --pattern, one of {', '.join(PATTERNS)}")
    ranks = parse_ranks(path, read_bytes(path))
    in_order = sorted(ranks, key=ranks.__getitem__)
    try:
        merges = recover_merges(token for token in in_order if len(token) > 1)
        learned = [bytes([byte]) for byte in range(BYTES)] + [token for token in in_order if len(token) > 1]
        ids = simplify([ranks[token] for token in learned])
        special = special_tokens_of(pattern, ranks, end_of_text)
        return Vocabulary(pattern, merges, special, ids, find_end_of_text(special, end_of_text))
    except UsageError:
        raise
    except HomespunError as error:
        raise HomespunError(f"{path}: {error}") from error


def parse_ranks(path: Path, raw: bytes) -> dict[bytes, int]:
    """Return the rank of each token; all 256 bytes are there, and nothing twice."""
    ranks: dict[bytes, int] = {}
    taken: set[int] = set()
    for number, line in enumerate(raw.splitlines(), start=1):
        if not line:
            continue
        name, _, digits = line.partition(b" ")
        try:
            token = binascii.a2b_base64(name, strict_mode=True)
        except binascii.Error as error:
            raise damaged(path, number, f"{shorten(name)} is not base64: {error}") from error
        if not digits.isdigit() or len(digits) > LONGEST_RANK:
            raise damaged(path, number, f"{shorten(line)} is not a token and its rank")
        if not token:
            raise damaged(path, number, "the token is empty")
        rank = int(digits)
        if token in ranks or rank in taken:
            what = f"token {shorten(token)}" if token in ranks else f"rank {rank}"
            raise damaged(path, number, f"the {what} was there before")
        ranks[token] = rank
        taken.add(rank)
    for byte in range(BYTES):
        if bytes([byte]) not in ranks:
            raise DamagedFileError(f"{path}: the byte 0x{byte:02X} is missing; a vocabulary needs all {BYTES}")
    return ranks


def damaged(path: Path, number: int, what: str) -> DamagedFileError:
    """Return the error for a line of the file."""
    return DamagedFileError(f"{path}, line {number}: {what}; get the file again")


def special_tokens_of(pattern: str, ranks: Mapping[bytes, int], end_of_text: str | None) -> dict[str, int]:
    """Return the published special tokens, or one with the next free id for a vocabulary that is not known."""
    number, published = PUBLISHED.get(pattern, (0, {}))
    if len(ranks) == number:
        return dict(published)
    return {end_of_text or END_OF_TEXT: max(ranks.values()) + 1}


def write_tiktoken(vocabulary: Vocabulary, path: Path) -> None:
    """Write one line per byte and merge; the special tokens and the pattern are not in the format.

    Raises ``HomespunError`` where tiktoken would make other ids of it: it has no merges, only the order of ids.
    """
    ids = vocabulary.public_ids()
    in_order = sorted(range(BYTES, len(ids)), key=ids.__getitem__)
    refusal = "a .tiktoken file cannot hold this vocabulary; use the format huggingface"
    if in_order != list(range(BYTES, len(ids))):
        raise HomespunError(f"the ids of the merges are not in the order of the merges; {refusal}")
    try:
        same = recover_merges(vocabulary.learned_bytes[BYTES:]) == vocabulary.merges
    except HomespunError as error:
        raise HomespunError(f"{error}; {refusal}") from error
    if not same:
        raise HomespunError(f"its tokens without the merges would give other ids; {refusal}")
    lines = sorted(zip(ids, vocabulary.learned_bytes, strict=True))
    write_atomic(path, b"".join(b"%s %d\n" % (base64.b64encode(raw), token) for token, raw in lines))
