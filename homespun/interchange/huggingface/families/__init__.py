"""The families there are: one file each, one line here. The first that can hold a model is the one it is written as."""

from homespun.common.errors import HomespunError
from homespun.interchange.huggingface.classifiers import classifier_of, is_classifier, without_read_out
from homespun.interchange.huggingface.config_file import ConfigFile
from homespun.interchange.huggingface.families.bert import BERT
from homespun.interchange.huggingface.families.gpt1 import GPT1
from homespun.interchange.huggingface.families.gpt2 import GPT2
from homespun.interchange.huggingface.families.llama import LLAMA
from homespun.interchange.huggingface.families.marian import MARIAN
from homespun.interchange.huggingface.families.mistral import MISTRAL
from homespun.interchange.huggingface.families.qwen2 import QWEN2
from homespun.interchange.huggingface.families.qwen3 import QWEN3
from homespun.interchange.huggingface.families.vit import VIT
from homespun.interchange.huggingface.family import Family
from homespun.models.settings import ClassifierConfig, ModelConfig
from homespun.tokenizer.formats.reading import shorten

FAMILIES: dict[str, Family] = {
    family.model_type: family for family in (GPT1, GPT2, LLAMA, QWEN2, QWEN3, MISTRAL, BERT, MARIAN, VIT)
}


def family_of_file(config: ConfigFile) -> Family:
    """The family that a ``config.json`` names; one that is not known is refused with those that are."""
    known = f"homespun knows {', '.join(FAMILIES)}"
    model_type, architectures = config.get("model_type", None), config.get("architectures", None)
    if model_type is None and isinstance(architectures, list) and architectures:
        model_type = next((name for name, family in FAMILIES.items() if architectures[0] in family.architectures), None)
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        what = (
            f"model_type {shorten(model_type)}" if model_type is not None else f"architectures {shorten(architectures)}"
        )
        raise HomespunError(f"{config.path}: unknown {what}; {known}")
    family = FAMILIES[model_type]
    if is_classifier(family, architectures):
        family = classifier_of(family)
    if architectures is not None and (
        not isinstance(architectures, list) or not set(map(str, architectures)) <= set(family.architectures)
    ):
        raise HomespunError(
            f"{config.path}: unknown architectures {shorten(architectures)}; "
            f"homespun knows {', '.join(one.architectures[0] for one in FAMILIES.values())}"
        )
    for key in ("quantization_config", "auto_map"):
        if config.get(key, None):
            raise config.refuse(key, config.get(key), "neither quantized weights nor models with code of their own")
    return family


def family_of_model(config: ModelConfig, advice: str = "--format safetensors keeps the model as it is") -> Family:
    """The first family that can hold a model of ours; if none can, the line says what the nearest one lacks.

    ``advice`` ends that line. A classifier is written as what its body is, with a head.
    """
    if isinstance(config, ClassifierConfig):
        family = classifier_of(family_of_model(without_read_out(config.body), advice))
        if reason := family.why_not(config):
            raise HomespunError(f"Hugging Face's layout has no place for this classifier: {reason}; {advice}")
        return family
    faults = {name: family.faults(config) for name, family in FAMILIES.items()}
    # One of the same architecture comes nearer than any of another, of which nothing else is told.
    nearest = min(faults, key=lambda name: (not FAMILIES[name].is_for(config), len(faults[name])))
    words = " and ".join(faults[nearest])
    for name, family in FAMILIES.items():
        if not faults[name]:
            reason = family.why_not(config)
            if reason is None:
                return family
            words = words or reason
    raise HomespunError(
        f"Hugging Face's layout has no place for this model: {words}, unlike {nearest}, which comes nearest; {advice}"
    )
