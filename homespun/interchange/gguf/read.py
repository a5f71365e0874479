"""A GGUF file -> ``Weights``: a model of the shape of GPT-2, Llama, Qwen2 or Qwen3, whoever wrote it.

In: a path. Out: its configuration, its tensors in float32 under our names, and its tokenizer. What homespun cannot
reproduce exactly is refused in one line, as is what is damaged.
"""

from pathlib import Path

from homespun.common.errors import HomespunError
from homespun.interchange.gguf.architectures import read_architecture, read_config
from homespun.interchange.gguf.container import Container
from homespun.interchange.gguf.cursor import damaged
from homespun.interchange.gguf.read_container import read_container
from homespun.interchange.gguf.tensors import read_tensors
from homespun.interchange.gguf.vocabulary import read_tokenizer
from homespun.interchange.weights import Weights

EMBEDDING = "token_embd.weight"


def read_gguf(path: Path) -> Weights:
    """Read the file; ``DamagedFileError`` for damage, ``HomespunError`` for what homespun does not have."""
    container = read_container(path)
    try:
        return weights_in(container)
    except HomespunError as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


def weights_in(container: Container) -> Weights:
    """The model; errors need not name the file."""
    architecture = read_architecture(container)
    tokenizer = read_tokenizer(container)
    embedding = container.entries.get(EMBEDDING)
    if embedding is not None and embedding.shape[0] != tokenizer.vocabulary_size:
        raise damaged(
            container.path,
            f"the tokenizer has {tokenizer.vocabulary_size:,} tokens, {EMBEDDING} {embedding.shape[0]:,} rows",
        )
    config = read_config(container, architecture, tokenizer.vocabulary_size)
    return Weights(config, read_tensors(container, config, architecture), tokenizer)
