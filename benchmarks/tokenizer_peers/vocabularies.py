"""One published vocabulary in the forms that all contenders read; the ids are the same in all of them.

In: a folder with ``vocab.bpe`` and ``encoder.json`` (GPT-2) and ``cl100k_base.tiktoken`` or ``o200k_base.tiktoken``,
perhaps compressed (``.gz``). Out: a ``.tiktoken`` file, a ``tokenizer.json`` and a homespun tokenizer for each.
homespun is only imported where its file is written: peers use the rest in an interpreter that does not have it.
"""

import base64
import gzip
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tokenizer_peers.contender import MergeBytes, Prepared
from tokenizer_peers.expressions import EXPRESSIONS

END_OF_TEXT = {"gpt2": 50256, "cl100k": 100257, "o200k": 199999}


def characters_of_bytes() -> dict[str, int]:
    """GPT-2's visible character for each byte: itself if it can be printed, else the next one from U+0100 on."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [value for value in range(256) if value not in set(visible)]
    return {chr(value): value for value in visible} | {chr(256 + place): value for place, value in enumerate(hidden)}


BYTE_OF_CHARACTER = characters_of_bytes()
CHARACTER_OF_BYTE = {value: character for character, value in BYTE_OF_CHARACTER.items()}


def prepare(name: str, source: Path, folder: Path) -> Prepared:
    """Write the three files of a vocabulary into ``folder``."""
    expressions = EXPRESSIONS[name]
    ranks = read_ranks(name, source)
    merges = recover_merges(ranks)
    ranks_path = folder / f"{name}.tiktoken"
    lines = (b"%b %d\n" % (base64.b64encode(token), rank) for token, rank in sorted(ranks.items(), key=lambda e: e[1]))
    ranks_path.write_bytes(b"".join(lines))
    tokenizer_json = folder / f"{name}.tokenizer.json"
    tokenizer_json.write_text(json.dumps(hugging_face_json(name, expressions.classic, ranks, merges)), "utf-8")
    ours = folder / f"{name}.homespun.json"
    write_homespun(name, ranks_path, ranks, merges, ours)
    return Prepared(name, expressions.classic, expressions.possessive, str(ranks_path), str(tokenizer_json), str(ours))


def read_ranks(name: str, source: Path) -> dict[bytes, int]:
    """The bytes of each token -> its id, which is also the order of merging."""
    if name == "gpt2":
        entries = json.loads((source / "encoder.json").read_text("utf-8"))
        return {bytes_of_characters(token): rank for token, rank in entries.items() if token != "<|endoftext|>"}
    plain, packed = source / f"{name}_base.tiktoken", source / f"{name}_base.tiktoken.gz"
    raw = plain.read_bytes() if plain.exists() else gzip.decompress(packed.read_bytes())
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in raw.splitlines() if line)}


def bytes_of_characters(token: str) -> bytes:
    """Visible characters -> bytes."""
    return bytes(BYTE_OF_CHARACTER[character] for character in token)


def recover_merges(ranks: Mapping[bytes, int]) -> MergeBytes:
    """The pair that makes each token: what is left of its bytes after all merges of lower rank."""
    merges = []
    for token, rank in sorted(ranks.items(), key=lambda entry: entry[1]):
        if len(token) > 1:
            left, right = last_two(token, rank, ranks)
            merges.append((left, right))
    return merges


def last_two(token: bytes, rank: int, ranks: Mapping[bytes, int]) -> list[bytes]:
    """Merge the bytes of a token by ranks below its own until two parts are left."""
    parts = [token[place : place + 1] for place in range(len(token))]
    while len(parts) > 2:
        best, where = rank, -1
        for place in range(len(parts) - 1):
            candidate = ranks.get(parts[place] + parts[place + 1], rank)
            if candidate < best:
                best, where = candidate, place
        if where < 0:
            raise ValueError(f"no merges make the token {token!r}")
        parts[where : where + 2] = [parts[where] + parts[where + 1]]
    return parts


def hugging_face_json(name: str, expression: str, ranks: Mapping[bytes, int], merges: MergeBytes) -> dict[str, Any]:
    """A tokenizer.json; a piece that is a token itself is taken whole (``ignore_merges``), as tiktoken does."""
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": name == "gpt2"}
    split = {"type": "Split", "pattern": {"Regex": expression}, "behavior": "Isolated", "invert": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [],
        "normalizer": None,
        "pre_tokenizer": byte_level if name == "gpt2" else {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": None,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": {characters(token): rank for token, rank in ranks.items()},
            "merges": [[characters(left), characters(right)] for left, right in merges],
        },
    }


def characters(token: bytes) -> str:
    """Bytes -> visible characters."""
    return "".join(CHARACTER_OF_BYTE[value] for value in token)


def write_homespun(name: str, path: Path, ranks: Mapping[bytes, int], merges: MergeBytes, out: Path) -> None:
    """Our own file, by our own reader of foreign vocabularies; without one, by what ``merges`` say."""
    from homespun.tokenizer.tokenizer import Tokenizer

    try:
        from homespun.tokenizer.formats import read_vocabulary
    except ImportError:
        from homespun.tokenizer.vocabulary import Vocabulary

        learned = [bytes([value]) for value in range(256)] + [left + right for left, right in merges]
        place = {token: number for number, token in enumerate(learned)}
        vocabulary = Vocabulary(
            pattern=name,
            merges=tuple((place[left], place[right]) for left, right in merges),
            special_tokens={"<|endoftext|>": END_OF_TEXT[name]},
            ids=tuple(ranks[token] for token in learned),
        )
    else:
        vocabulary = read_vocabulary(path, pattern=name)
    Tokenizer.of(vocabulary).save(out)
