"""A configuration <-> the architecture of llama.cpp that computes the same, and the metadata that describes it.

In: ``GPTConfig``. Out: one of ``ARCHITECTURES`` and its metadata; and back. A setting that none of them has is refused
by its name, for llama.cpp would run the file and write nonsense. Likewise a file with metadata that we do not know.

Of a file of ours the whole configuration stands in ``homespun.config`` besides. It counts where it says the same as the
metadata that llama.cpp reads: so what only training needs (dropout), and defaults that were not worked out, come back.

Source: the GGUF specification (``docs/gguf.md`` of ggml), and ``src/models/*.cpp`` of llama.cpp for what each
architecture computes.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

from homespun.common.errors import HomespunError, UsageError
from homespun.interchange.gguf.container import Container
from homespun.interchange.gguf.cursor import damaged
from homespun.interchange.gguf.metadata import number_at, text_at, whole_at
from homespun.interchange.gguf.values import Value, real, text, whole
from homespun.models.settings import GPTConfig, ModelConfig, model_settings

ARCHITECTURE_KEY = "general.architecture"
CONFIG_KEY = "homespun.config"
HEAD = "output.weight"  # without it the head is the token embedding

ROTARY = {"positions": "rotary", "normalization": "rms", "feedforward": "swiglu"}
# What no architecture here has. Settings that are neither here nor below are refused unless they have their default.
ABSENT = {"norm_order": "pre", "window": 0, "value_embeddings": 0, "logit_softcap": 0.0}
# What any architecture takes as it is.
FREE = (
    "architecture",
    "vocabulary_size",
    "context",
    "layers",
    "width",
    "heads",
    "key_value_heads",
    "head_width",
    "feedforward_width",
    "rotary_base",
    "norm_epsilon",
    "tied_embeddings",
    "query_key_value_biases",  # where there are biases everywhere, these are among them
    "window_every",  # without a window there is nothing to repeat
)
IN_TRAINING_ONLY = ("dropout", "zero_output_projections")

# Metadata beyond that which changes nothing, with the values for which this is so.
HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "rope.scaling.type": ("none",),
    "rope.scaling.factor": (0.0, 1.0),
    "expert_count": (0,),
    "expert_used_count": (0,),
    "attention.causal": (True,),
    "attention.sliding_window": (0,),
    "use_parallel_residual": (False,),
    "tensor_data_layout": ("Meta AI original pth",),
}

# No model has more; a file may not make us build what it likes.
LARGEST_SIZE = 1 << 24
MOST_LAYERS = 1_000


@dataclass(frozen=True)
class Architecture:
    """One of llama.cpp's architectures.

    ``parts``: the settings that a model of it has. ``interleaved``: its rotary positions turn neighbouring channels,
    so the rows of queries and keys stand in another order. ``fused``: queries, keys and values are one matrix.
    """

    name: str
    parts: Mapping[str, Any]
    interleaved: bool = False
    fused: bool = False

    @property
    def is_rotary(self) -> bool:
        return self.parts["positions"] == "rotary"

    @property
    def epsilon_key(self) -> str:
        """Where the epsilon of its normalization stands."""
        kind = "layer_norm_rms_epsilon" if self.parts["normalization"] == "rms" else "layer_norm_epsilon"
        return f"{self.name}.attention.{kind}"

    def differences(self, config: ModelConfig) -> list[tuple[str, Any]]:
        """The settings that a model of this architecture has otherwise, each with the value that would fit."""
        needed = ABSENT | dict(self.parts)
        known = {*needed, *FREE, *IN_TRAINING_ONLY}
        needed |= {field.name: field.default for field in fields(config) if field.name not in known}
        found = [(name, value) for name, value in needed.items() if getattr(config, name, value) != value]
        if self.fused and isinstance(config, GPTConfig) and config.heads * config.width_of_head != config.width:
            found.append(("head_width", 0))
        return found


ARCHITECTURES = {
    architecture.name: architecture
    for architecture in (
        Architecture(
            "gpt2",
            {
                "positions": "learned",
                "normalization": "layer",
                "feedforward": "gelu",
                "biases": True,
                "query_key_norm": False,
            },
            fused=True,
        ),
        Architecture(
            "llama", {**ROTARY, "biases": False, "query_key_value_biases": False, "query_key_norm": False}, True
        ),
        Architecture("qwen2", {**ROTARY, "biases": False, "query_key_value_biases": True, "query_key_norm": False}),
        Architecture("qwen3", {**ROTARY, "biases": False, "query_key_value_biases": False, "query_key_norm": True}),
    )
}


def find_architecture(config: ModelConfig) -> Architecture:
    """The architecture that computes what ``config`` says; ``HomespunError`` with the settings that none has."""
    if not isinstance(config, GPTConfig):
        raise HomespunError(
            f"a model of the architecture {config.architecture} cannot be written as GGUF: "
            f"homespun writes {', '.join(ARCHITECTURES)}, which are decoders; choose another format"
        )
    differences = {name: found.differences(config) for name, found in ARCHITECTURES.items()}
    nearest = min(differences, key=lambda name: len(differences[name]))
    if not differences[nearest]:
        return ARCHITECTURES[nearest]
    wrong = ", ".join(
        f"model.{name} = {getattr(config, name)!r} (there {fitting!r})" for name, fitting in differences[nearest]
    )
    raise HomespunError(
        f"llama.cpp has no architecture for this model; the nearest is {nearest}, which differs in {wrong}; "
        "choose another format, or train a model of that shape"
    )


def metadata_of(config: GPTConfig, architecture: Architecture) -> dict[str, Value]:
    """The metadata that describes the model."""
    prefix = architecture.name
    metadata = {
        f"{prefix}.vocab_size": whole(config.vocabulary_size),
        f"{prefix}.context_length": whole(config.context),
        f"{prefix}.embedding_length": whole(config.width),
        f"{prefix}.block_count": whole(config.layers),
        f"{prefix}.feed_forward_length": whole(config.hidden_width),
        f"{prefix}.attention.head_count": whole(config.heads),
        f"{prefix}.attention.head_count_kv": whole(config.count_of_key_value_heads),
        architecture.epsilon_key: real(config.norm_epsilon),
        CONFIG_KEY: text(json.dumps(asdict(config))),
    }
    if architecture.is_rotary:
        metadata |= {
            f"{prefix}.attention.key_length": whole(config.width_of_head),
            f"{prefix}.attention.value_length": whole(config.width_of_head),
            f"{prefix}.rope.dimension_count": whole(config.width_of_head),
            f"{prefix}.rope.freq_base": real(config.rotary_base),
        }
    return metadata


def read_architecture(container: Container) -> Architecture:
    """The architecture that a file names; one that we do not read is a ``HomespunError``."""
    name = text_at(container, ARCHITECTURE_KEY)
    if name not in ARCHITECTURES:
        raise HomespunError(f"the model is of the architecture {name!r:.40}; homespun reads {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]


def read_config(container: Container, architecture: Architecture, vocabulary_size: int) -> GPTConfig:
    """The configuration that a file describes."""
    check_keys(container, architecture)
    prefix = architecture.name
    sizes: dict[str, Any] = {
        name: whole_at(container, f"{prefix}.{key}", LARGEST_SIZE)
        for name, key in (
            ("context", "context_length"),
            ("width", "embedding_length"),
            ("feedforward_width", "feed_forward_length"),
            ("heads", "attention.head_count"),
        )
    }
    sizes["layers"] = whole_at(container, f"{prefix}.block_count", MOST_LAYERS)
    sizes["key_value_heads"] = whole_at(
        container, f"{prefix}.attention.head_count_kv", LARGEST_SIZE, default=sizes["heads"]
    )
    sizes["head_width"] = read_head_width(container, architecture, sizes["width"], sizes["heads"])
    rest: dict[str, Any] = {
        "norm_epsilon": number_at(container, architecture.epsilon_key),
        "tied_embeddings": HEAD not in container.entries,
    }
    if architecture.is_rotary:
        rest["rotary_base"] = number_at(container, f"{prefix}.rope.freq_base", default=10_000.0)
    settings: dict[str, Any] = {**sizes, **rest, **architecture.parts}
    try:
        config = GPTConfig(vocabulary_size=vocabulary_size, **settings)
    except UsageError as error:
        raise damaged(container.path, str(error)) from error
    return stored_config(container, config) or config


def read_head_width(container: Container, architecture: Architecture, width: int, heads: int) -> int:
    """Channels of one head: the same for queries, keys and values, and rotary positions turn all of them."""
    prefix = architecture.name
    keys = [f"{prefix}.attention.key_length", f"{prefix}.attention.value_length", f"{prefix}.rope.dimension_count"]
    found = {key: whole_at(container, key, LARGEST_SIZE) for key in keys if key in container.metadata}
    if not found and width % heads:
        raise damaged(container.path, f"a width of {width} does not divide into {heads} heads")
    head_width = next(iter(found.values()), width // heads)
    for key, value in found.items():
        if value != head_width:
            raise HomespunError(
                f"{container.path}: {key} is {value} where a head has {head_width} channels; "
                "homespun's heads are of one width and turn as a whole"
            )
    return head_width


def check_keys(container: Container, architecture: Architecture) -> None:
    """Refuse what the file says about the model beyond what we know: it would compute something else."""
    prefix = f"{architecture.name}."
    read = {
        "vocab_size",
        "context_length",
        "embedding_length",
        "block_count",
        "feed_forward_length",
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.value_length",
        architecture.epsilon_key.removeprefix(prefix),
        "rope.dimension_count",
        "rope.freq_base",
    }
    for key, value in container.metadata.items():
        name = key.removeprefix(prefix)
        if key.startswith(prefix) and name not in read and value.content not in HARMLESS.get(name, ()):
            raise HomespunError(
                f"{container.path}: {key} is {str(value.content)[:40]!r}, which homespun's model does not have; "
                "it does not read the file"
            )


def stored_config(container: Container, derived: GPTConfig) -> GPTConfig | None:
    """The configuration as homespun wrote it, if it is there and describes the same model."""
    if CONFIG_KEY not in container.metadata:
        return None
    try:
        config = model_settings(json.loads(text_at(container, CONFIG_KEY)))
    except (ValueError, TypeError, AttributeError, RecursionError, UsageError):
        return None
    return config if isinstance(config, GPTConfig) and worked_out(config) == worked_out(derived) else None


def worked_out(config: GPTConfig) -> dict[str, Any]:
    """The settings that decide what a trained model computes, defaults worked out, numbers as a file has them."""
    full = replace(
        config,
        key_value_heads=config.count_of_key_value_heads,
        head_width=config.width_of_head,
        feedforward_width=config.hidden_width,
        query_key_value_biases=config.biases or config.query_key_value_biases,
        rotary_base=config.rotary_base if config.positions == "rotary" else 1.0,
        window_every=config.window_every if config.window else 1,
    )
    return {
        name: float(np.float32(value)) if isinstance(value, float) else value
        for name, value in asdict(full).items()
        if name not in IN_TRAINING_ONLY
    }
