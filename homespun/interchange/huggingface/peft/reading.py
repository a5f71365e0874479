"""A folder in PEFT's layout -> an ``Adapter`` for one model of ours.

``AdapterFolder.open`` looks at the folder alone, ``read`` at what it is for. Every tensor is checked: it must belong to
a layer that the model has and the settings mean, and no layer that they mean may lack one.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from homespun.common.errors import DamagedFileError, HomespunError, UsageError
from homespun.interchange.forms import forms_of
from homespun.interchange.huggingface.companions.text import MOST_PADDING
from homespun.interchange.huggingface.family import Family
from homespun.interchange.huggingface.peft.places import WEIGHT, Place, family_with_adapters, places_of, tables_of
from homespun.interchange.huggingface.peft.settings import Settings, is_named, read_settings
from homespun.interchange.huggingface.reading import ADAPTER as SETTINGS
from homespun.interchange.huggingface.tensors import EMBEDDING, HEAD, read_checked
from homespun.interchange.manifest import check_manifest
from homespun.interchange.options import tell_nobody
from homespun.interchange.stored.pickled import refuse_pickled
from homespun.interchange.stored.safetensors_file import SafetensorsFile
from homespun.models.adapter import Adapter, Difference, Rows, check_adapter
from homespun.models.settings import ModelConfig, TextModelConfig
from homespun.tokenizer.formats.reading import shorten

WEIGHTS, PICKLE = "adapter_model.safetensors", "adapter_model.bin"
PREFIX = "base_model.model."
DOWN, UP = "lora_A.weight", "lora_B.weight"
EMBEDDING_DOWN, EMBEDDING_UP = "lora_embedding_A", "lora_embedding_B"
COPY = "base_layer.weight"  # of the base's own matrix, which PEFT saves beside a difference of embedding or head
# Rows of single tokens, which stand for the base's; the library also saves a copy of a table that it has made longer.
TOKENS, ROWS = ".token_adapter.", "trainable_tokens_delta"
PARTS = (DOWN, UP, EMBEDDING_DOWN, EMBEDDING_UP, COPY)
NAME = re.compile(f"{re.escape(PREFIX)}(?P<layer>.+)\\.(?P<part>{'|'.join(map(re.escape, PARTS))})")


@dataclass(frozen=True)
class Layer:
    """What a file has of one layer: ``name`` as it is there, and for each part the whole name of its tensor."""

    name: str
    stored: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class AdapterFolder:
    """Settings and tensors, each read and checked by itself; nothing is known of the model yet.

    ``whole``: layers that it may have beside its differences, by the end of their names.
    """

    settings: Settings
    source: SafetensorsFile
    whole: tuple[str, ...] = ()

    @classmethod
    def open(
        cls, folder: Path, warn: Callable[[str], None] = tell_nobody, whole: tuple[str, ...] = ()
    ) -> "AdapterFolder":
        """The two files; whatever is missing, damaged or cannot be honoured is one line."""
        if not folder.is_dir():
            raise UsageError(f"there is no folder {folder}; an adapter is a folder with {SETTINGS} and {WEIGHTS}")
        check_manifest(folder)
        if not (folder / SETTINGS).is_file():
            raise HomespunError(f"{folder} has no {SETTINGS}; it is no adapter in PEFT's layout")
        settings = read_settings(folder / SETTINGS, warn, whole)
        if (folder / PICKLE).exists() and not (folder / WEIGHTS).exists():
            raise refuse_pickled(folder / PICKLE, WEIGHTS)
        if not (folder / WEIGHTS).is_file():
            raise HomespunError(f"{folder} has no {WEIGHTS}; get it again")
        return cls(settings, SafetensorsFile(folder / WEIGHTS), whole)

    def read(self, config: ModelConfig, tensors: Mapping[str, torch.Tensor]) -> Adapter:
        """The adapter for a model of ours, of which ``tensors`` are the weights."""
        if not isinstance(config, TextModelConfig):
            raise HomespunError(f"{self.source.path.parent}: adapters are merged into models of text, not of images")
        family = family_with_adapters(config)
        places = places_of(family, config)
        layers = self.layers(family, places)
        self.check_selection(family, places, layers)
        for name, layer in layers.items():
            if COPY in layer.stored:
                self.check_copy(layer.stored[COPY], places[name], tensors)
        adapter = Adapter(
            tuple(self.difference(place, layers[name]) for name, place in places.items() if name in layers),
            self.rows(family, config, tensors),
        )
        try:
            check_adapter(adapter, {name: form.shape for name, form in forms_of(config).items()})
        except HomespunError as error:
            raise HomespunError(f"{self.source.path}: {error}") from error
        return adapter

    def whole_layers(self) -> dict[str, torch.Tensor]:
        """Their tensors, by their names in the model."""
        names = [name for name in self.source.names() if is_of(name, self.whole)]
        return {name.removeprefix(PREFIX): self.source.read(name) for name in names}

    def tokens(self, family: Family, config: TextModelConfig) -> dict[str, tuple[int, ...]]:
        """Of which tables of ours the adapter has rows, and for which tokens.

        Where embedding and head are one, PEFT takes what is said of the embedding, or of both, for both.
        """
        tables, found = tables_of(family, config), {}
        for said, tokens in self.settings.tokens.items():
            chosen = {EMBEDDING} if said is None else {ours for name, ours in tables.items() if is_named(name, (said,))}
            if not chosen:
                raise self.refuse_tokens(
                    f"names {shorten(said)}, which is no table of this model; it has {words(tables)}"
                )
            for ours in chosen:
                if found.setdefault(ours, tokens) != tokens:
                    raise self.refuse_tokens("has other tokens for embedding and head, which are one in this model")
        names = tuple(said for said in self.settings.tokens if said is not None)
        if found and config.tied_embeddings and len(names) == len(self.settings.tokens):
            embedding = family.stored_names(EMBEDDING)[0].removesuffix(WEIGHT)
            if not is_named(embedding, names):
                raise self.refuse_tokens("names the head alone, which is one with the embedding in this model")
        return found

    def refuse_tokens(self, why: str) -> HomespunError:
        """The error for tokens that this model has no place for."""
        return HomespunError(f"{self.settings.file.path}: trainable_token_indices {why}")

    def rows(self, family: Family, config: TextModelConfig, tensors: Mapping[str, torch.Tensor]) -> tuple[Rows, ...]:
        """Those of single tokens; each table that the settings name has them, and no other."""
        wanted, rows = self.tokens(family, config), {}
        for stored in filter(is_of_tokens, self.source.names()):
            table, part = self.table(family, config, stored)
            if table not in wanted:
                raise HomespunError(
                    f"{self.source.path} has {stored}, a table that trainable_token_indices of {SETTINGS} does not name"
                )
            if part == COPY:
                known = forms_of(config)[table].shape[0]
                self.check_copy(stored, Place(stored, table, 0, known, config.width), tensors)
                continue
            shape = (len(wanted[table]), config.width)
            values = read_checked(self.source, stored, shape, f"trainable_token_indices of {SETTINGS} need")
            one = Rows(table, wanted[table], values).in_order()
            if not torch.equal(rows.setdefault(table, one).values, one.values):
                raise HomespunError(
                    f"{self.source.path}: {stored} has other rows than the embedding, which is one with it"
                )
        for table in wanted.keys() - rows.keys():
            raise HomespunError(
                f"{self.source.path} lacks the rows of {table} that trainable_token_indices of {SETTINGS} names"
            )
        return tuple(rows[table] for table in wanted)

    def table(self, family: Family, config: TextModelConfig, stored: str) -> tuple[str, str]:
        """Which of ours a tensor of rows is of, and which part of it."""
        layer, _, part = stored.removeprefix(PREFIX).partition(TOKENS)
        name, tables = family.full_name(layer + WEIGHT).removesuffix(WEIGHT), tables_of(family, config)
        if not stored.startswith(PREFIX) or part not in (ROWS, COPY) or name not in tables:
            raise HomespunError(f"{self.source.path}: {stored} is of a layer that {why_absent(family, name)}")
        return tables[name], part

    def layers(self, family: Family, places: Mapping[str, Place]) -> dict[str, Layer]:
        """What the file has, by the family's full names of the layers; each has both factors."""
        layers: dict[str, Layer] = {}
        of_others = [name for name in self.source.names() if is_of_tokens(name) or is_of(name, self.whole)]
        for stored in (name for name in self.source.names() if name not in of_others):
            found = NAME.fullmatch(stored)
            if not found:
                raise HomespunError(
                    f"{self.source.path}: the tensor {stored} is no part of a low-rank difference of a layer; homespun "
                    f"knows {PREFIX}LAYER.{DOWN} and .{UP}"
                )
            name = family.full_name(found["layer"] + WEIGHT).removesuffix(WEIGHT)
            if name not in places:
                raise HomespunError(f"{self.source.path}: {stored} is of a layer that {why_absent(family, name)}")
            layer = layers.setdefault(name, Layer(found["layer"]))
            if layer.name != found["layer"]:
                raise DamagedFileError(f"{self.source.path} has the layer {name} twice, the second time in {stored}")
            layer.stored[found["part"]] = stored
        if not self.source.names():
            raise HomespunError(f"{self.source.path} has no tensors; get it again")
        for name, layer in layers.items():
            self.check_parts(layer, places[name])
        return layers

    def check_parts(self, layer: Layer, place: Place) -> None:
        """Both factors and nothing else, of the kind that the layer has."""
        wanted = (EMBEDDING_DOWN, EMBEDDING_UP) if place.is_embedding else (DOWN, UP)
        some = next(iter(layer.stored.values()))
        for part in wanted:
            if part not in layer.stored:
                raise DamagedFileError(f"{self.source.path} has {some}, but lacks {PREFIX}{layer.name}.{part}")
        for part, stored in layer.stored.items():
            if part not in (*wanted, COPY):
                raise DamagedFileError(f"{self.source.path} has {stored} beside {some}; a layer has one kind of them")

    def check_selection(self, family: Family, places: Mapping[str, Place], layers: Mapping[str, Layer]) -> None:
        """Settings and tensors must mean the same layers: PEFT leaves aside what only one of them has."""
        if self.settings.targets is None:
            return
        # An adapter of a model's body alone has names without the prefix; one pattern may fit one and not the other.
        is_bare = any(layer.name != name for name, layer in layers.items())
        for name, place in places.items():
            own = name.removeprefix(family.prefix) if is_bare else name
            is_meant = self.settings.selects(own, place)
            if is_meant and name not in layers:
                raise HomespunError(
                    f"{self.source.path} lacks {PREFIX}{own}.{EMBEDDING_DOWN if place.is_embedding else DOWN}, a layer "
                    f"that target_modules of {SETTINGS} means"
                )
            if not is_meant and name in layers:
                raise HomespunError(
                    f"{self.source.path} has {next(iter(layers[name].stored.values()))}, of a layer that "
                    f"target_modules of {SETTINGS} does not mean"
                )

    def check_copy(self, stored: str, place: Place, tensors: Mapping[str, torch.Tensor]) -> None:
        """A copy of the base's own matrix must be that: PEFT would take it instead of the base's."""
        shape = (self.rows_in_file(stored, 0, place), place.columns)
        copy = read_checked(self.source, stored, shape, f"the model's {place.tensor} needs")
        own = tensors[place.tensor][place.first_row : place.end_row]
        if not torch.equal(copy[: place.rows], own.to(torch.float32)):
            raise HomespunError(f"{self.source.path}: {stored} has other numbers than this model; it has another base")

    def difference(self, place: Place, layer: Layer) -> Difference:
        """Of one layer, every number of it checked."""
        rank = self.settings.rank_of(layer.name)
        need = f"the rank {rank} of {SETTINGS} and the model's {place.tensor} need"
        if place.is_embedding:
            stored = layer.stored[EMBEDDING_DOWN]
            rows = self.rows_in_file(stored, 1, place)
            up = read_checked(self.source, stored, (rank, rows), need).T
            down = read_checked(self.source, layer.stored[EMBEDDING_UP], (place.columns, rank), need).T
        else:
            stored = layer.stored[UP]
            down = read_checked(self.source, layer.stored[DOWN], (rank, place.columns), need)
            up = read_checked(self.source, stored, (self.rows_in_file(stored, 0, place), rank), need)
        up, down = up[: place.rows].contiguous(), down.contiguous()  # (R, r), (r, C)
        return Difference(place.tensor, place.first_row, up, down, self.settings.scale_of(layer.name))

    def rows_in_file(self, stored: str, axis: int, place: Place) -> int:
        """How many rows a tensor must have: those of embedding and head may go on behind the last token.

        They do so in the base, too, and an import leaves them out there (``huggingface.companions.text``).
        """
        shape = self.source.shape(stored)
        rows = shape[axis] if axis < len(shape) else 0
        is_padded = place.tensor in (EMBEDDING, HEAD) and place.rows < rows <= place.rows + MOST_PADDING
        return rows if is_padded else place.rows


def is_of_tokens(stored: str) -> bool:
    """Whether a tensor has rows of single tokens."""
    return TOKENS in stored


def is_of(stored: str, layers: tuple[str, ...]) -> bool:
    """Whether a tensor is of one of these layers, or of a layer within one."""
    parts = stored.removeprefix(PREFIX).split(".")
    return any(layer in parts for layer in layers) and not stored.endswith(PARTS)


def words(names: Iterable[str]) -> str:
    """Several, for people."""
    return " and ".join(names)


def why_absent(family: Family, name: str) -> str:
    """In words, behind "of a layer that"."""
    if name + WEIGHT in family.stored_names(HEAD) + family.stored_names(EMBEDDING):
        return "is one with embedding and head in this model (tie_word_embeddings); a difference of one has no place"
    return "this model does not have; the adapter is for another base"


def read_adapter(
    folder: Path,
    config: TextModelConfig,
    tensors: Mapping[str, torch.Tensor],
    warn: Callable[[str], None] = tell_nobody,
) -> Adapter:
    """Both steps at once."""
    return AdapterFolder.open(folder, warn).read(config, tensors)
