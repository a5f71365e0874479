"""A tokenizer <-> the metadata of a GGUF file that hold it.

In: ``Vocabulary``. Out: tokens by id in printable characters, their types, the merges in the order of learning, the
name of the split, the ids of the tokens that begin and end texts, and the chat template; and back.

Special tokens are written as control tokens: llama.cpp takes them from a text only where it is asked to, as homespun
does. Read back, whatever is not an ordinary token becomes a special one. Ids that no token has (an imported vocabulary
may have gaps) are written as unused tokens, ``[PAD7]``, as llama.cpp's own converters have it.

Source: the GGUF specification, ``docs/gguf.md`` of ggml, and ``llama_vocab::impl::load`` in llama.cpp's
``src/llama-vocab.cpp``.
"""

from collections.abc import Sequence
from enum import IntEnum

from homespun.common.errors import HomespunError
from homespun.interchange.gguf.container import Container
from homespun.interchange.gguf.cursor import damaged
from homespun.interchange.gguf.metadata import list_at, text_at, whole_at
from homespun.interchange.gguf.splits import check_merging, name_of_split, pattern_of_name
from homespun.interchange.gguf.values import WHOLE, Kind, Value, array, text, truth, whole
from homespun.tokenizer.formats.named_merges import (
    NAMES_OF_END,
    NamedPair,
    find_end_of_text,
    ids_of_names,
    learn_names,
    name_pairs,
    names_of,
    simplify,
)
from homespun.tokenizer.formats.reading import shorten
from homespun.tokenizer.special import END_OF_TURN, PADDING
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.vocabulary import Vocabulary

BYTE_LEVEL_BPE = "gpt2"  # what llama.cpp calls the kind of tokenizer, whatever its split
MODEL_KEY = "tokenizer.ggml.model"
SPLIT_KEY = "tokenizer.ggml.pre"
TOKENS_KEY = "tokenizer.ggml.tokens"
TYPES_KEY = "tokenizer.ggml.token_type"
MERGES_KEY = "tokenizer.ggml.merges"
BEGIN_KEY = "tokenizer.ggml.bos_token_id"
END_KEY = "tokenizer.ggml.eos_token_id"
END_OF_TURN_KEY = "tokenizer.ggml.eot_token_id"
PADDING_KEY = "tokenizer.ggml.padding_token_id"
ADD_BEGIN_KEY = "tokenizer.ggml.add_bos_token"
TEMPLATE_KEY = "tokenizer.chat_template"
PATTERN_KEY = "homespun.split_pattern"  # ours: several of our patterns can go under one name


class TokenType(IntEnum):
    """What a token is, as its number in the file (``llama_token_type`` in llama.h)."""

    NORMAL = 1
    UNKNOWN = 2
    CONTROL = 3
    USER_DEFINED = 4
    UNUSED = 5
    BYTE = 6


def metadata_of(tokenizer: Tokenizer, nearest_split: bool = False) -> dict[str, Value]:
    """The metadata that hold a tokenizer; one that the format cannot hold exactly is a ``HomespunError``."""
    vocabulary = tokenizer.vocabulary
    names = names_of(vocabulary)
    special = vocabulary.special_tokens
    tokens = [unused_name(token) for token in range(tokenizer.vocabulary_size)]
    types = [TokenType.UNUSED] * len(tokens)
    for name, token in zip(names, vocabulary.public_ids(), strict=True):
        tokens[token], types[token] = name, TokenType.NORMAL
    for name, token in special.items():
        tokens[token], types[token] = name, TokenType.CONTROL
    check_names(tokens)
    metadata = {
        MODEL_KEY: text(BYTE_LEVEL_BPE),
        SPLIT_KEY: text(name_of_split(vocabulary, nearest_split)),
        TOKENS_KEY: array(Kind.STRING, tokens),
        TYPES_KEY: array(Kind.INT32, types),
        MERGES_KEY: array(Kind.STRING, (f"{left} {right}" for left, right in name_pairs(vocabulary, names))),
        BEGIN_KEY: whole(special[vocabulary.end_of_text]),
        END_KEY: whole(special[vocabulary.end_of_text]),
        ADD_BEGIN_KEY: truth(False),
        PATTERN_KEY: text(vocabulary.pattern),
    }
    for key, name in ((END_OF_TURN_KEY, END_OF_TURN), (PADDING_KEY, PADDING)):
        if name in special:
            metadata[key] = whole(special[name])
    if vocabulary.chat_template is not None:
        metadata[TEMPLATE_KEY] = text(vocabulary.chat_template)
    return metadata


def unused_name(token: int) -> str:
    """The name of an id that no token has."""
    return f"[PAD{token}]"


def check_names(tokens: Sequence[str]) -> None:
    """llama.cpp finds tokens by name, so no two may share one."""
    if len(set(tokens)) < len(tokens):
        seen: set[str] = set()
        twice = next(name for name in tokens if name in seen or seen.add(name))
        raise HomespunError(f"two tokens have the name {shorten(twice)}; the format has one name for each")


def read_tokenizer(container: Container) -> Tokenizer:
    """The tokenizer in a file; what cannot be reproduced exactly is a ``HomespunError`` of one line."""
    model = text_at(container, MODEL_KEY)
    if model != BYTE_LEVEL_BPE:
        raise HomespunError(
            f"the tokenizer is of the kind {model!r:.40}; homespun reads byte-level BPE ({BYTE_LEVEL_BPE})"
        )
    return Tokenizer.of(read_vocabulary(container))


def read_vocabulary(container: Container) -> Vocabulary:
    """Tokens, merges and special tokens -> a vocabulary; errors need not name the file."""
    split = text_at(container, SPLIT_KEY)
    pattern = pattern_of_name(split, text_at(container, PATTERN_KEY) if PATTERN_KEY in container.metadata else None)
    tokens = list_at(container, TOKENS_KEY, (Kind.STRING,), "a list of texts")
    types = list_at(container, TYPES_KEY, WHOLE, "a list of whole numbers")
    if not tokens or len(tokens) != len(types):
        raise damaged(container.path, f"it has {len(tokens):,} tokens, but {len(types):,} types of tokens")
    check_names(tokens)
    table, special = sort_tokens(container, tokens, types)
    lines = list_at(container, MERGES_KEY, (Kind.STRING,), "a list of texts")
    merges, names = learn_names([parse_merge(container, line) for line in lines])
    ids = ids_of_names(names, table, special)
    template = text_at(container, TEMPLATE_KEY) if TEMPLATE_KEY in container.metadata else None
    vocabulary = Vocabulary(pattern, merges, special, simplify(ids), end_of_text(container, tokens, special), template)
    check_merging(vocabulary, split)
    return vocabulary


def sort_tokens(
    container: Container, tokens: Sequence[str], types: Sequence[int]
) -> tuple[dict[str, int], dict[str, int]]:
    """Ordinary tokens, and special ones, by name. Gaps are neither, but the last id has to be somebody's."""
    table: dict[str, int] = {}
    special: dict[str, int] = {}
    for token, (name, kind) in enumerate(zip(tokens, types, strict=True)):
        if kind == TokenType.NORMAL:
            table[name] = token
        elif kind not in TokenType.__members__.values() or kind == TokenType.BYTE:
            raise damaged(container.path, f"the token {shorten(name)} has the type {kind}")
        elif kind != TokenType.UNUSED or name != unused_name(token) or token == len(tokens) - 1:
            special[name] = token
    return table, special


def parse_merge(container: Container, line: str) -> NamedPair:
    """``left right`` -> the two names."""
    left, _, right = line.partition(" ")
    if not left or not right or " " in right:
        raise damaged(container.path, f"the merge {shorten(line)} is not two tokens")
    return left, right


def end_of_text(container: Container, tokens: Sequence[str], special: dict[str, int]) -> str:
    """The name of the token that divides documents.

    Where the token that begins texts is also the one that ends them, it is that one, as in GPT-2 and in our files.
    Else it is the first usual one; the token that ends texts may be one that ends turns of a chat.
    """
    begin, end = (
        tokens[whole_at(container, key, len(tokens) - 1, 0)] if key in container.metadata else None
        for key in (BEGIN_KEY, END_KEY)
    )
    if begin is not None and begin == end and begin in special:
        return begin
    wanted = end if end in special and not any(name in special for name in NAMES_OF_END) else None
    return find_end_of_text(special, wanted)
