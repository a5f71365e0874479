"""The head of a classifier as PEFT keeps it: layers that are saved whole beside the differences of the body.

In: a classifier of ours. Out: a ``Head`` under the names of the family, whatever the library has between body and head
(``homespun.interchange.huggingface.classifiers``).
"""

from homespun.interchange.forms import weights_of
from homespun.interchange.huggingface.companions.labelled import check_place
from homespun.interchange.huggingface.families import family_of_model
from homespun.interchange.huggingface.family import BODY
from homespun.interchange.huggingface.peft.writing import Head
from homespun.interchange.huggingface.tensors import divide
from homespun.models.classifier import Classifier
from homespun.tokenizer.tokenizer import Tokenizer

NUMBER = "F32"


def head_of(model: Classifier, tokenizer: Tokenizer) -> Head:
    """``HomespunError`` for a classifier that this layout has no place for. ``model``: with its differences apart."""
    family = family_of_model(model.config, advice="PEFT's adapters are for models that have one there")
    weights = weights_of(model, tokenizer)
    check_place(weights)
    tensors = family.recast.outgoing(weights, NUMBER)
    forms = family.recast.forms(model.config)
    stored = {
        name: tensor
        for ours, value in tensors.items()
        if not ours.startswith(BODY)
        for name, tensor in divide(family, model.config, ours, forms[ours], value)
    }
    layers = dict.fromkeys(name.rpartition(".")[0].removesuffix(".dense") for name in stored)
    return Head(tuple(layers), stored)
