"""Our split patterns <-> the names (``tokenizer.ggml.pre``) under which llama.cpp knows splits.

llama.cpp cannot be given an expression; it has a list of named ones in its source (``src/llama-vocab.cpp``). A
tokenizer goes into a GGUF file if one of them cuts every text as its own pattern does, for else the model would read
tokens that it has not learned from. ``EQUAL`` ones gave the same tokens for 10,000 fuzzed texts and for texts in
English, Russian, Bengali and Python (``benchmarks/gguf_in_llama_cpp.py``). What remains are 4,382 letters and numbers
that came with Unicode 16.0 (Todhri, Garay, rare hieroglyphs …) and are not in llama.cpp's tables: it cuts around them.

For our own pattern there is no equal. ``NEAREST`` is what comes next to it, for whoever asks for that.
"""

import re

from homespun.common.errors import HomespunError
from homespun.tokenizer.encoding import encode_piece, token_of_pairs
from homespun.tokenizer.settings import BYTES
from homespun.tokenizer.vocabulary import Vocabulary

# cl100k has the expression of llama3 but for white space at the end of a text: see ``CROSSES_LAST_NEWLINE``.
EQUAL = {"gpt2": "gpt-2", "llama3": "llama-bpe", "qwen2": "qwen2", "cl100k": "llama-bpe"}
# superbpe cuts nothing but numbers, by three from the right, and leaves the rest to the merges. gpt-4o takes all
# letters beyond ASCII as caseless and knows no marks.
NEAREST = {"homespun": "superbpe", "o200k": "gpt-4o"}
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
# White space at the end of a text is one piece for cl100k; llama3 cuts it behind its last newline. Only a token with
# something behind its last newline can tell them apart.
CROSSES_LAST_NEWLINE = re.compile(rb"[\r\n][^\r\n]+\Z")


def name_of_split(vocabulary: Vocabulary, nearest: bool = False) -> str:
    """The name to write. A pattern without an equal is a ``HomespunError``, unless the ``nearest`` will do."""
    pattern = vocabulary.pattern
    if has_equal(vocabulary):
        name = EQUAL[pattern]
        return MERGES_ALWAYS[name] if name in TAKES_TOKENS_WHOLE and unreachable_token(vocabulary) else name
    if nearest:
        return NEAREST.get(pattern) or MERGES_ALWAYS[EQUAL[pattern]]
    raise HomespunError(
        f"llama.cpp has no split equal to the tokenizer's pattern {pattern}: for some texts it would give the model "
        "other tokens than it has learned; --nearest-split takes the nearest one all the same, or train with "
        "tokenizer.pattern = one of "
        f"{', '.join(name for name in EQUAL if name != pattern)}"
    )


def has_equal(vocabulary: Vocabulary) -> bool:
    """Tell whether llama.cpp can give the same tokens for every text."""
    if vocabulary.pattern == "cl100k":
        return not any(map(CROSSES_LAST_NEWLINE.search, vocabulary.learned_bytes))
    return vocabulary.pattern in EQUAL


def pattern_of_name(name: str, stated: str | None) -> str:
    """Our pattern for a name in a file; ``stated``: what a file of ours says. No pattern is a ``HomespunError``."""
    equal = EQUAL.get(stated or "", "")
    if stated and name in (equal, MERGES_ALWAYS.get(equal), NEAREST.get(stated)):
        return stated
    if name not in PATTERN_OF_NAME:
        raise HomespunError(
            f"the tokenizer splits as {name!r:.40} does; homespun knows {', '.join(PATTERN_OF_NAME)} and reads no other"
        )
    return PATTERN_OF_NAME[name]


def check_merging(vocabulary: Vocabulary, name: str) -> None:
    """Refuse a split that takes tokens whole where merging, which homespun always does, gives something else."""
    if name in TAKES_TOKENS_WHOLE and (raw := unreachable_token(vocabulary)):
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
