"""``adapter_config.json``: ranks, scales and the layers that an adapter is for.

In: the file. Out: ``Settings``, which answers for one layer at a time as the library does
(``peft.tuners.tuners_utils.check_target_module_exists``, ``peft.utils.other.get_pattern_key``). Whatever else changes
what is computed (DoRA, layers saved whole, trained biases …) is refused by its key; a key that nobody knows is told.
"""

import math
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from homespun.common.errors import DamagedFileError
from homespun.interchange.huggingface.config_file import ConfigFile
from homespun.interchange.huggingface.peft.places import Place
from homespun.tokenizer.formats.reading import shorten

LORA, ALL_LINEAR, WHOLE = "LORA", "all-linear", "modules_to_save"
DEFAULT_RANK = DEFAULT_ALPHA = 8
MOST_RANK, MOST_TOKENS = 1 << 20, 1 << 32
# How the two factors began does not matter to what became of them; the other ways there are (PiSSA, OLoRA, CorDA,
# LoftQ, LoRA-GA) changed the base as well, so that the difference is to weights that no file has.
STARTS = (True, False, "gaussian", "eva", "orthogonal", "mica")
# Keys that must be empty, and what homespun computes instead.
REFUSED = {
    "use_dora": "plain differences, without DoRA's magnitudes",
    WHOLE: "low-rank differences alone, and no layers saved whole",
    "lora_bias": "low-rank differences of matrices alone, and no biases",
    "target_parameters": "differences of whole layers only",
    "layer_replication": "adapters of a model's own layers, each once",
    "alora_invocation_tokens": "adapters that are always on",
    "use_qalora": "adapters of weights that are not quantized",
    "use_bdlora": "whole matrices, not blocks on a diagonal",
    "arrow_config": "one adapter, not a choice among several",
    "enable_lora": "one difference for all rows of a layer",
    "kasa_config": "two factors, without singular values between them",
    "monteclora_config": "differences that are always the same",
}
# What was useful in training, what names things for people, what is asked for below, and what PEFT itself sets right:
# fan_in_fan_out follows from the kind of a layer, whatever the file says.
HARMLESS = (
    "alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "corda_config", "ensure_weight_tying",
    "eva_config", "exclude_modules", "fan_in_fan_out", "inference_mode", "init_lora_weights", "layers_pattern",
    "layers_to_transform", "loftq_config", "lora_alpha", "lora_dropout", "lora_ga_config", "megatron_config",
    "megatron_core", "merge_weights", "peft_type", "peft_version", "qalora_group_size", "r", "rank_pattern",
    "revision", "runtime_config", "target_modules", "task_type", "trainable_token_indices", "use_rslora",
    "velora_config",
)  # fmt: skip

END_OF_NAME, NUMBER_IN, ANY_STACK = r"(.*\.)?({})$", r".*?\.{}\.(?P<number>\d+)\.", r"[^.]*"

Names = re.Pattern[str] | tuple[str, ...]
T = TypeVar("T")
Patterns = tuple[tuple[re.Pattern[str], T], ...]  # the first that fits holds


@dataclass(frozen=True)
class Settings:
    """``targets``: the layers that are meant, by name or pattern; None where the file leaves it to its tensors.

    ``ranks`` and ``alphas``: by pattern, for layers that have others than ``rank`` and ``alpha``. ``tokens``: by the
    end of a table's name, whose rows were learned; None for the name is the embedding.
    """

    file: ConfigFile
    rank: int
    alpha: float
    ranks: Patterns[int]
    alphas: Patterns[float]
    is_stabilized: bool
    targets: Names | None
    excluded: Names
    layers: tuple[int, ...]
    stacks: tuple[str, ...]
    tokens: Mapping[str | None, tuple[int, ...]]

    def rank_of(self, layer: str) -> int:
        """The inner size of the two factors of a layer."""
        return next((rank for names, rank in self.ranks if names.match(layer)), self.rank)

    def scale_of(self, layer: str) -> float:
        """What their product is multiplied by: alpha / r, or alpha / sqrt(r) (Kalajdzievski 2023, rsLoRA)."""
        alpha = next((alpha for names, alpha in self.alphas if names.match(layer)), self.alpha)
        rank = self.rank_of(layer)
        return alpha / (math.sqrt(rank) if self.is_stabilized else rank)

    def selects(self, layer: str, place: Place) -> bool:
        """Whether the adapter is for this layer; ``layer`` is its name in the model that the adapter was made for."""
        if is_named(layer, self.excluded):
            return False
        if self.targets is None or isinstance(self.targets, re.Pattern):
            return self.targets is None or is_named(layer, self.targets)
        if self.targets == (ALL_LINEAR,):
            return place.is_linear
        return layer in self.targets or (is_named(layer, self.targets) and self.is_among_layers(layer))

    def is_among_layers(self, layer: str) -> bool:
        """Whether the number in its name is one of those that ``layers_to_transform`` asks for."""
        if not self.layers:
            return True
        numbered = (pattern(self.file, NUMBER_IN.format(stack)).match(layer) for stack in self.stacks or (ANY_STACK,))
        number = next((int(match["number"]) for match in numbered if match), None)
        return number in self.layers


def is_named(layer: str, names: Names) -> bool:
    """By a pattern for the whole name, or by one of several ends of it."""
    if isinstance(names, re.Pattern):
        return names.fullmatch(layer) is not None
    return any(layer == name or layer.endswith(f".{name}") for name in names)


def read_settings(path: Path, warn: Callable[[str], None], whole: tuple[str, ...] = ()) -> Settings:
    """The whole file; what homespun cannot honour is one line that names the key. ``whole``: layers that it may have
    saved whole, which are a classifier's head.
    """
    file = ConfigFile.load(path)
    file.demand("peft_type", LORA, default=None)
    file.demand("bias", "none", default="none")
    start = file.get("init_lora_weights", True)
    if (start.lower() if isinstance(start, str) else start) not in STARTS:
        raise file.refuse("init_lora_weights", start, "differences to the base as it is, which that start changes")
    for key, computes in REFUSED.items():
        if (value := file.get(key, None)) and not (key == WHOLE and value == list(whole)):
            raise file.refuse(key, value, computes)
    for key, value in file.values.items():
        if value and key not in HARMLESS:
            warn(f"{path} has the key {shorten(key)}, which homespun does not know: it is left aside")
    layers = file.get("layers_to_transform", [])
    layers = layers if isinstance(layers, list) else [layers]
    if any(type(one) is not int for one in layers):
        raise file.wrong("layers_to_transform", "a whole number or a list of them")
    return Settings(
        file,
        rank=file.whole("r", DEFAULT_RANK, most=MOST_RANK),
        alpha=file.number("lora_alpha", DEFAULT_ALPHA),
        ranks=by_pattern(file, "rank_pattern", lambda table, key: table.whole(key, most=MOST_RANK)),
        alphas=by_pattern(file, "alpha_pattern", lambda table, key: table.number(key)),
        is_stabilized=file.flag("use_rslora", False),
        targets=names_of(file, "target_modules") if file.get("target_modules", None) is not None else None,
        excluded=names_of(file, "exclude_modules"),
        layers=tuple(layers),
        stacks=list_of(file, "layers_pattern"),
        tokens=tokens_of(file, "trainable_token_indices"),
    )


def tokens_of(file: ConfigFile, key: str) -> dict[str | None, tuple[int, ...]]:
    """A list of tokens, or a table of them by the names of embedding and head."""
    value = file.get(key, {})
    tables: dict[str | None, Any] = value if isinstance(value, dict) else {None: value}
    for tokens in tables.values():
        numbers = tokens if isinstance(tokens, list) else [None]
        if any(type(one) is not int or not 0 <= one < MOST_TOKENS for one in numbers) or len({*numbers}) < len(numbers):
            raise file.wrong(key, "a list of tokens, each once, or a table of such lists")
    return {name: tuple(tokens) for name, tokens in tables.items() if tokens}


def by_pattern(file: ConfigFile, key: str, read: Callable[[ConfigFile, str], T]) -> Patterns[T]:
    """The numbers of a table whose own keys are patterns for the ends of names."""
    values = file.get(key, {})
    if not isinstance(values, dict):
        raise file.wrong(key, "a table of patterns and numbers")
    table = ConfigFile(file.path, {f"{key}.{one}": value for one, value in values.items()})
    return tuple((pattern(file, END_OF_NAME.format(one)), read(table, f"{key}.{one}")) for one in values)


def names_of(file: ConfigFile, key: str) -> Names:
    """A list of ends of names; or one text, which is a pattern, or the word for all matrices."""
    value = file.get(key, [])
    if isinstance(value, str) and value.lower() != ALL_LINEAR:
        return pattern(file, value)
    return (ALL_LINEAR,) if isinstance(value, str) else list_of(file, key)


def list_of(file: ConfigFile, key: str) -> tuple[str, ...]:
    """A list of texts, or one text."""
    value = file.get(key, None) or []
    value = [value] if isinstance(value, str) else value
    if not isinstance(value, list) or any(not isinstance(one, str) for one in value):
        raise file.wrong(key, "a text or a list of texts")
    return tuple(value)


def pattern(file: ConfigFile, text: str) -> re.Pattern[str]:
    """A regular expression of somebody else."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of constructs that may mean something else in later versions of Python
            return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise DamagedFileError(f"{file.path}: the pattern {shorten(text)} cannot be read ({error})") from None
