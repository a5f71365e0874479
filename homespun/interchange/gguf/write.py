"""``Weights`` -> a GGUF file that llama.cpp and ollama run.

In: a model, a path, and the way in which most tensors are stored. Out: the file, whole or absent.
"""

from pathlib import Path

from homespun.common.errors import HomespunError, UsageError
from homespun.interchange.gguf import architectures, vocabulary
from homespun.interchange.gguf.architectures import ARCHITECTURE_KEY, find_architecture
from homespun.interchange.gguf.numbers import NUMBERS, Number
from homespun.interchange.gguf.tensors import stored_tensors
from homespun.interchange.gguf.values import Value, text, whole
from homespun.interchange.gguf.write_container import write_container
from homespun.interchange.weights import Weights
from homespun.models.settings import GPTConfig

QUANTIZATION_VERSION = 2  # of ggml: how blocks of Q8_0 and the like are laid out


def write_gguf(
    weights: Weights, path: Path, number: str = "F32", name: str = "homespun", nearest_split: bool = False
) -> None:
    """Write the file; ``number``: F32, F16, BF16, Q8_0 or Q4_0; ``name``: of the model, for people.

    A model or a tokenizer that llama.cpp cannot run as homespun does is a ``HomespunError`` that says why. With
    ``nearest_split`` it may split some texts in another way than the tokenizer (``splits``).
    """
    if number not in NUMBERS:
        raise UsageError(f"unknown way of storing weights {number!r}; choose one of {', '.join(NUMBERS)}")
    config = weights.config
    architecture = find_architecture(config)
    assert isinstance(config, GPTConfig)  # or there would have been none
    tokenizer = weights.tokenizer
    if tokenizer.vocabulary_size != config.vocabulary_size:
        raise HomespunError(
            f"the tokenizer has {tokenizer.vocabulary_size} tokens, the model {config.vocabulary_size}; they do not fit"
        )
    tensors = stored_tensors(config, weights.tensors, architecture, NUMBERS[number])
    metadata = (
        general_metadata(architecture.name, NUMBERS[number], name)
        | architectures.metadata_of(config, architecture)
        | vocabulary.metadata_of(tokenizer, nearest_split)
    )
    write_container(path, metadata, tensors)


def general_metadata(architecture: str, number: Number, name: str) -> dict[str, Value]:
    """What every GGUF file says of itself."""
    metadata = {
        ARCHITECTURE_KEY: text(architecture),
        "general.type": text("model"),
        "general.name": text(name),
        "general.file_type": whole(number.file_type),
    }
    if number.weights > 1:
        metadata["general.quantization_version"] = whole(QUANTIZATION_VERSION)
    return metadata
