"""Which base an adapter is for: what lies beside PEFT's files, and an adapter's folder brought onto a base.

``write_beside``: ``base.json`` with the name and the fingerprint of the base's weights, and the tokenizer, which may
have tokens that the base lacks; of a classifier, the names of its classes. ``bring``: the folder and a base in, its
adapter and the tokenizer that belongs to both out; one for another base is a line. Folders of others have no
``base.json``: they are taken if all shapes fit, and it is said that no more is known.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from homespun.common.errors import DamagedFileError, HomespunError
from homespun.common.files import write_json
from homespun.interchange.huggingface.companions.labelled import frame_of
from homespun.interchange.huggingface.config_file import ConfigFile
from homespun.interchange.huggingface.labels import write_labels
from homespun.interchange.huggingface.peft.places import family_with_adapters
from homespun.interchange.huggingface.peft.reading import AdapterFolder
from homespun.interchange.huggingface.tokenizer_files import (
    TOKENIZER,
    padding_id,
    read_tokenizer,
    write_framing_tokenizer,
    write_tokenizer,
)
from homespun.interchange.manifest import NAME as MANIFEST
from homespun.interchange.options import tell_nobody
from homespun.models.adapter import EMBEDDING, Adapter, Rows, check_adapter
from homespun.models.fingerprint import fingerprint
from homespun.models.settings import ClassifierConfig, ModelConfig, TextModelConfig
from homespun.tokenizer.formats.reading import shorten
from homespun.tokenizer.tokenizer import Tokenizer

CLASSES = "classes.json"  # what the library's classifier is to be told besides where its base is
FILE, FORMAT, VERSION = "base.json", "homespun-base", 1
SHOWN = 12  # digits of a fingerprint that people are shown

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Brought:
    """An adapter that fits its base, and the tokenizer of both."""

    adapter: Adapter
    tokenizer: Tokenizer


def write_beside(
    folder: Path,
    name: str,
    tensors: Tensors,
    rows: tuple[Rows, ...],
    tokenizer: Tokenizer,
    config: ModelConfig,
) -> None:
    """``tensors``: the base's, by homespun's names; ``name``: what people call it; ``config``: of what it became."""
    digits = fingerprint(tensors, {one.tensor: one.places for one in rows})
    write_json(folder / FILE, {"format": FORMAT, "version": VERSION, "name": name, "fingerprint": digits})
    if isinstance(config, ClassifierConfig):
        write_framing_tokenizer(tokenizer, frame_of(config.body, tokenizer), config.window, folder)
        # Not the inverse besides: JSON has no whole numbers as keys, which the library wants there.
        numbers = write_labels(config.labels)["label2id"]
        write_json(folder / CLASSES, {"label2id": numbers, "pad_token_id": padding_id(tokenizer)})
    elif isinstance(config, TextModelConfig):
        write_tokenizer(tokenizer, config.context, folder)


def bring(
    opened: AdapterFolder, config: ModelConfig, tensors: Tensors, tokenizer: Tokenizer, warn: Callable[[str], None]
) -> Brought:
    """``opened`` for the model of ``config``, of which ``tensors`` are the weights and ``tokenizer`` is its own."""
    folder = opened.source.path.parent
    check_base(opened, config, tensors, warn)
    adapter = opened.read(config, tensors)
    known = check_adapter(adapter, {name: tuple(value.shape) for name, value in tensors.items()})
    found = own_tokenizer(folder, tokenizer)
    if found.vocabulary_size != known:
        raise HomespunError(
            f"{folder}: the adapter has rows for {known:,} tokens with the base's {len(tensors[EMBEDDING]):,}, its "
            f"tokenizer knows {found.vocabulary_size:,}; get the folder again, with its {TOKENIZER}"
        )
    return Brought(adapter, found)


def check_base(opened: AdapterFolder, config: ModelConfig, tensors: Tensors, warn: Callable[[str], None]) -> None:
    """By the fingerprint, where the folder has one."""
    folder = opened.source.path.parent
    if not (folder / FILE).is_file():
        warn(f"{folder} does not say which base it is for; all that can be told is whether its shapes fit")
        return
    record = ConfigFile.load(folder / FILE)
    record.demand("format", FORMAT, default=None)
    record.demand("version", VERSION, default=None)
    wanted, name = record.get("fingerprint"), record.get("name", "")
    if not isinstance(wanted, str) or not isinstance(name, str):
        raise DamagedFileError(f"{folder / FILE} is damaged (a fingerprint and a name are texts); get it again")
    places = opened.tokens(family_with_adapters(config), config) if isinstance(config, TextModelConfig) else {}
    if wanted != (digits := fingerprint(tensors, places)):
        raise HomespunError(
            f"{folder} is an adapter for another base ({shorten(name)}, whose weights have the fingerprint "
            f"{wanted[:SHOWN]}; those of this one have {digits[:SHOWN]}); if this is that base, only rounded, delete "
            f"{FILE} and {MANIFEST} there"
        )


def own_tokenizer(folder: Path, base: Tokenizer) -> Tokenizer:
    """The base's, with the special tokens and the chat template that the folder's has besides."""
    if not (folder / TOKENIZER).is_file():
        return base
    found = read_tokenizer(folder, None, base.vocabulary.end_of_text, tell_nobody)
    known, ours, theirs = base.vocabulary_size, base.vocabulary.token_bytes(), found.vocabulary.token_bytes()
    new = {token: name for name, token in found.special_tokens.items() if token >= known}
    extended = base.with_special_tokens(new[token] for token in sorted(new)) if new else base
    same = all(theirs.get(token) == raw for token, raw in ours.items()) and not (
        base.special_tokens.items() - found.special_tokens.items()
    )
    if not same or extended.special_tokens != found.special_tokens:
        raise HomespunError(
            f"{folder / TOKENIZER} is not the base's with special tokens added; the adapter is for another base"
        )
    return extended.with_chat_template(found.chat_template) if found.chat_template is not None else extended
