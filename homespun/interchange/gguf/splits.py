"""Our split patterns <-> the names (``tokenizer.ggml.pre``) under which llama.cpp knows splits.

llama.cpp cannot be given an expression; it has a list of named ones in its source (``src/llama-vocab.cpp``). So a
tokenizer can only go into a GGUF file if one of those cuts every text as its own pattern does, or else the model would
read tokens that it has not learned from. How equal they are is measured: ``benchmarks/gguf_in_llama_cpp.py``.
"""

from homespun.common.errors import HomespunError

# The name that is written.
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
# Under these names llama.cpp takes a piece that is a token as that token, without merging.
IGNORES_MERGES = ("llama3", "llama-v3", "llama-bpe")


def name_of_pattern(pattern: str) -> str:
    """The name to write; a pattern that llama.cpp has no equal of is a ``HomespunError``."""
    if pattern not in NAME_OF_PATTERN:
        raise HomespunError(
            f"llama.cpp knows no split that is equal to the tokenizer's pattern {pattern}, so it would give the model "
            f"tokens that it has not learned; train with tokenizer.pattern = one of {', '.join(NAME_OF_PATTERN)}"
        )
    return NAME_OF_PATTERN[pattern]


def pattern_of_name(name: str) -> str:
    """Our pattern for a name in a file; a name that we have none for is a ``HomespunError``."""
    if name not in PATTERN_OF_NAME:
        raise HomespunError(
            f"the tokenizer splits as {name!r:.40} does; homespun knows {', '.join(PATTERN_OF_NAME)} and reads no other"
        )
    return PATTERN_OF_NAME[name]
