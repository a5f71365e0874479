"""Our split patterns <-> the names (``tokenizer.ggml.pre``) under which llama.cpp knows splits.

llama.cpp cannot be given an expression; it has a list of named ones in its source (``src/llama-vocab.cpp``). So a
tokenizer can only go into a GGUF file if one of those cuts every text as its own pattern does, or else the model would
read tokens that it has not learned from. How equal they are is measured: ``benchmarks/gguf_in_llama_cpp.py``.
"""

from homespun.common.errors import HomespunError
from homespun.tokenizer.encoding import encode_piece, token_of_pairs
from homespun.tokenizer.settings import BYTES
from homespun.tokenizer.vocabulary import Vocabulary

NAME_OF_PATTERN = {"gpt2": "gpt-2", "llama3": "llama-bpe", "qwen2": "qwen2"}
# All names that are read: those of llama.cpp's that stand for the expressions we have.
PATTERN_OF_NAME = {
    "gpt-2": "gpt2",
    "llama3": "llama3",
    "llama-v3": "llama3",
    "llama-bpe": "llama3",
    "smaug-bpe": "llama3",
    "dbrx": "llama3",
    "qwen2": "qwen2",
    "deepseek-r1-qwen": "qwen2",
    "gpt-4o": "o200k",
}
# Under these names llama.cpp takes a piece that is a token as that token, without merging. Where merging gives
# something else, another name for the same expression is written.
TAKES_TOKENS_WHOLE = ("llama3", "llama-v3", "llama-bpe")
MERGES_ALWAYS = {"llama-bpe": "smaug-bpe"}


def name_of_split(vocabulary: Vocabulary) -> str:
    """The name to write; a pattern that llama.cpp has no equal of is a ``HomespunError``."""
    name = NAME_OF_PATTERN.get(vocabulary.pattern)
    if name is None:
        raise HomespunError(
            f"llama.cpp knows no split that is equal to the tokenizer's pattern {vocabulary.pattern}, so it would give "
            f"the model tokens that it has not learned; train with tokenizer.pattern = one of "
            f"{', '.join(NAME_OF_PATTERN)}"
        )
    if name in TAKES_TOKENS_WHOLE and unreachable_token(vocabulary) is not None:
        return MERGES_ALWAYS[name]
    return name


def pattern_of_name(name: str) -> str:
    """Our pattern for a name in a file; a name that we have none for is a ``HomespunError``."""
    if name not in PATTERN_OF_NAME:
        raise HomespunError(
            f"the tokenizer splits as {name!r:.40} does; homespun knows {', '.join(PATTERN_OF_NAME)} and reads no other"
        )
    return PATTERN_OF_NAME[name]


def check_merging(vocabulary: Vocabulary, name: str) -> None:
    """Refuse a split that takes tokens whole where merging, which homespun always does, gives something else."""
    if name in TAKES_TOKENS_WHOLE and (raw := unreachable_token(vocabulary)) is not None:
        raise HomespunError(
            f"the split {name} takes a piece that is a token as that token, and merging does not make the token "
            f"{raw!a:.40}; homespun cannot reproduce it exactly, so it does not read the file"
        )


def unreachable_token(vocabulary: Vocabulary) -> bytes | None:
    """The first token that merging does not make of its own bytes, if there is one."""
    tokens = token_of_pairs(vocabulary.merges)
    for token, raw in enumerate(vocabulary.learned_bytes[BYTES:], start=BYTES):
        if encode_piece(raw, tokens) != [token]:
            return raw
    return None
