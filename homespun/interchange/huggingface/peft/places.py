"""Which rows of which of our tensors a layer of theirs is.

In: a family and the configuration of a model. Out: a ``Place`` for every layer of theirs that can have a low-rank
difference. Where homespun fuses several of theirs (queries, keys and values; gate and path), each is a part of the
rows; where they fuse and homespun does too (GPT-2's ``c_attn``), it is all of them.
"""

from dataclasses import dataclass

from homespun.interchange.forms import forms_of
from homespun.interchange.huggingface.families import family_of_model
from homespun.interchange.huggingface.family import Family
from homespun.interchange.huggingface.tensors import EMBEDDING, HEAD
from homespun.models.settings import TextModelConfig

WEIGHT = ".weight"
# Their rows are looked up and not multiplied, for which PEFT has tensors of another name and layout.
EMBEDDINGS = (EMBEDDING, "positions.weight", "segment_embedding.weight")


@dataclass(frozen=True)
class Place:
    """``layer``: their full name. It has ``rows`` outputs and ``columns`` inputs, from ``first_row`` of ``tensor`` on.

    Nothing is said of how the family stores the matrix: PEFT's two factors lie in the same way for all.
    """

    layer: str
    tensor: str
    first_row: int
    rows: int
    columns: int

    @property
    def end_row(self) -> int:
        """The first row behind it."""
        return self.first_row + self.rows

    @property
    def is_embedding(self) -> bool:
        """Whether its rows are looked up."""
        return self.tensor in EMBEDDINGS

    @property
    def is_linear(self) -> bool:
        """Whether PEFT means it by ``all-linear``: every matrix that is multiplied, but for the head."""
        return not self.is_embedding and self.tensor != HEAD


def family_with_adapters(config: TextModelConfig) -> Family:
    """The family whose names an adapter of this model has."""
    return family_of_model(config, advice="PEFT's adapters are for models that have one there")


def tables_of(family: Family, config: TextModelConfig) -> dict[str, str]:
    """Their names of embedding and head, and ours; both names are of one table where the head is the embedding."""
    ours = {EMBEDDING: EMBEDDING, HEAD: EMBEDDING if config.tied_embeddings else HEAD}
    return {family.stored_names(one)[0].removesuffix(WEIGHT): table for one, table in ours.items()}


def places_of(family: Family, config: TextModelConfig) -> dict[str, Place]:
    """By their name, in the order of the model. A head that is the embedding has none, nor has the embedding.

    PEFT changes one of both alone there, for which homespun's single tensor has no room.
    """
    places = {}
    for ours, form in forms_of(config).items():
        if len(form.shape) != 2 or not ours.endswith(WEIGHT) or (ours == EMBEDDING and config.tied_embeddings):
            continue
        names, first_row = family.stored_names(ours), 0
        for name, rows in zip(names, form.parts if len(names) > 1 else (form.shape[0],), strict=True):
            layer = name.removesuffix(WEIGHT)
            places[layer] = Place(layer, ours, first_row, rows, form.shape[1])
            first_row += rows
    return places
