"""The tokenizer's part of a folder: ``tokenizer.json``, ``tokenizer_config.json``, the chat template, special ids.

In: a folder. Out: a ``Tokenizer`` with its chat template; and back. ``homespun.tokenizer.formats`` reads and writes the
table of tokens itself; here is what stands around it.

Two things are not as in Hugging Face's library, and are said when a folder is read: a file that brings texts into the
Unicode form NFC first (Qwen's) is taken, but homespun encodes texts as they are; and special tokens are encoded only
where the caller allows them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from homespun.common.errors import HomespunError
from homespun.common.files import write_atomic, write_json
from homespun.interchange.huggingface.config_file import ConfigFile
from homespun.tokenizer import special as marks
from homespun.tokenizer.formats import read_vocabulary, recognize
from homespun.tokenizer.formats.huggingface import Frame, vocabulary_of, write_huggingface
from homespun.tokenizer.formats.named_merges import NAMES_OF_END
from homespun.tokenizer.formats.reading import json_of, read_bytes, shorten
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.vocabulary import Vocabulary

TOKENIZER, CONFIG = "tokenizer.json", "tokenizer_config.json"
TEMPLATE, GENERATION = "chat_template.jinja", "generation_config.json"
DEFAULT_TEMPLATE = "default"
# The class that reads tokenizer.json as it is, in every version of the library; others put a split of their own in.
CLASS = "PreTrainedTokenizerFast"


def read_tokenizer(
    folder: Path, chosen: Path | None, end_of_text: str | None, warn: Callable[[str], None]
) -> Tokenizer:
    """The tokenizer of a folder, or the ``chosen`` file's, with the folder's chat template.

    ``end_of_text``: the special token that divides documents, where the files do not make it plain.
    """
    settings = load_if_there(folder / CONFIG)
    ends = ids_that_end(folder)
    format_name, file = recognize(chosen or folder)
    if format_name == "huggingface":
        vocabulary = read_table(file, settings, ends, end_of_text, warn)
    else:
        vocabulary = read_vocabulary(file, None, end_of_text)
    if (template := read_template(folder, settings)) is not None:
        vocabulary = vocabulary.with_chat_template(template)
    tell_of_other_ends(vocabulary, ends, warn)
    begin = token_name(settings, "bos_token")
    if begin in vocabulary.special_tokens and begin != vocabulary.end_of_text:
        end = vocabulary.end_of_text
        warn(f"this model was trained with {shorten(begin)} before each text; homespun puts {shorten(end)} there")
    return Tokenizer.of(vocabulary)


def read_table(
    file: Path, settings: ConfigFile, ends: list[int], end_of_text: str | None, warn: Callable[[str], None]
) -> Vocabulary:
    """``tokenizer.json``, without its normalizer where that is NFC alone."""
    value = json_of(file, read_bytes(file))
    added = value.get("added_tokens") if isinstance(value, dict) else None
    special = {
        one["content"]: one.get("id")
        for one in (added if isinstance(added, list) else ())
        if isinstance(one, dict) and isinstance(one.get("content"), str)
    }
    if isinstance(value, dict) and value.get("normalizer") in ({"type": "NFC"}, nested({"type": "NFC"})):
        warn(
            f"{file} brings texts into the Unicode form NFC before it encodes them; homespun encodes them as they are, "
            "so texts in another form get other ids than there"
        )
        value = value | {"normalizer": None}
    try:
        return vocabulary_of(value, None, end_of_text or find_end(special, settings, ends))
    except HomespunError as error:
        raise type(error)(f"{file}: {error}") from error


def nested(normalizer: dict[str, str]) -> dict[str, Any]:
    """The same as the only part of a sequence."""
    return {"type": "Sequence", "normalizers": [normalizer]}


def find_end(special: dict[str, Any], settings: ConfigFile, ends: list[int]) -> str | None:
    """The token that divides documents: the one that begins and ends a text, a usual name, or one that ends a text.

    A model for chats often ends its turns with another token than its documents, so that name comes last.
    """
    begin, end = token_name(settings, "bos_token"), token_name(settings, "eos_token")
    of_id = [name for name, token in special.items() if token in ends]
    candidates = [begin if begin == end else None, *NAMES_OF_END, end, *of_id]
    return next((name for name in candidates if name in special), None)


def token_name(settings: ConfigFile, key: str) -> str | None:
    """A token as ``tokenizer_config.json`` writes it: a name, or an object with a name in it."""
    value = settings.get(key, None)
    value = value.get("content") if isinstance(value, dict) else value
    return value if isinstance(value, str) else None


def ids_that_end(folder: Path) -> list[int]:
    """The ids at which generation stops, one or several; empty where no file says."""
    value = load_if_there(folder / GENERATION).get("eos_token_id", None)
    if value is None:
        value = load_if_there(folder / "config.json").get("eos_token_id", None)
    return [one for one in (value if isinstance(value, list) else [value]) if type(one) is int]


def tell_of_other_ends(vocabulary: Vocabulary, ends: list[int], warn: Callable[[str], None]) -> None:
    """Say it if the model ends what it writes with other tokens than the one at which homespun stops."""
    names = [name for name, token in vocabulary.special_tokens.items() if token in ends]
    others = [name for name in names if name != vocabulary.end_of_text]
    if others:
        warn(
            f"this model also ends what it writes with {' or '.join(map(shorten, others))}, where homespun stops only "
            f"at {shorten(vocabulary.end_of_text)}: give --stop {shorten(others[0])} when it generates"
        )


def read_template(folder: Path, settings: ConfigFile) -> str | None:
    """The chat template: a file of its own, or an entry of ``tokenizer_config.json``; of several the default one."""
    if (folder / TEMPLATE).is_file():
        return read_bytes(folder / TEMPLATE).decode("utf-8", "replace")
    value = settings.get("chat_template", None)
    if isinstance(value, list):
        named = [one.get("template") for one in value if isinstance(one, dict) and one.get("name") == DEFAULT_TEMPLATE]
        value = named[-1] if named else None
    return value if isinstance(value, str) else None


def load_if_there(path: Path) -> ConfigFile:
    """A JSON file that a folder may lack."""
    return ConfigFile.load(path) if path.is_file() else ConfigFile(path, {})


def write_tokenizer(tokenizer: Tokenizer, context: int, folder: Path, ids_of_end: tuple[str, ...] = ()) -> None:
    """All files around a tokenizer; ``AutoTokenizer`` then gives the same ids for the same text."""
    vocabulary = tokenizer.vocabulary
    write_huggingface(vocabulary, folder / TOKENIZER)
    write_json(folder / CONFIG, settings_of(vocabulary, context))
    if vocabulary.chat_template is not None:
        write_atomic(folder / TEMPLATE, vocabulary.chat_template)
    write_json(folder / GENERATION, special_ids(tokenizer, ids_of_end))


def write_framing_tokenizer(tokenizer: Tokenizer, around: Frame, length: int, folder: Path) -> None:
    """The files of a tokenizer that makes the rows of a classifier: marks ``around`` each text, by name, and no more
    than ``length`` tokens where its caller cuts; what a text spells is never a special token.
    """
    vocabulary = tokenizer.vocabulary
    write_huggingface(vocabulary, folder / TOKENIZER, around)
    write_json(
        folder / CONFIG,
        settings_of(vocabulary, length)
        | {
            "pad_token": padding_of(vocabulary),
            "padding_side": "right",
            "truncation_side": "right",
            "split_special_tokens": True,
            # Not the numbers of texts: GPT-2 takes those for tokens.
            "model_input_names": ["input_ids", "attention_mask"],
        },
    )
    if vocabulary.chat_template is not None:
        write_atomic(folder / TEMPLATE, vocabulary.chat_template)


def padding_of(vocabulary: Vocabulary) -> str:
    """What fills up the rows of a classifier: a token that no text ends with."""
    return marks.PADDING if marks.PADDING in vocabulary.special_tokens else vocabulary.end_of_text


def padding_id(tokenizer: Tokenizer) -> int:
    """Its id, by which the library finds the last token of a text."""
    return tokenizer.special_tokens[padding_of(tokenizer.vocabulary)]


def settings_of(vocabulary: Vocabulary, context: int) -> dict[str, Any]:
    """``tokenizer_config.json``."""
    end, padding = vocabulary.end_of_text, marks.PADDING if marks.PADDING in vocabulary.special_tokens else None
    of_gaps = {"mask_token": marks.MASK, "cls_token": marks.CLASS, "sep_token": marks.SEPARATOR}
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    special = sorted(vocabulary.special_tokens.items(), key=lambda entry: entry[1])
    return {
        "tokenizer_class": CLASS,
        "bos_token": end,
        "eos_token": end,
        "pad_token": padding,
        "unk_token": None,
        **{key: name for key, name in of_gaps.items() if name in vocabulary.special_tokens},
        "add_prefix_space": False,
        "clean_up_tokenization_spaces": False,
        "model_max_length": context,
        "added_tokens_decoder": {str(token): {"content": name} | flags for name, token in special},
    }


def special_ids(tokenizer: Tokenizer, ids_of_end: tuple[str, ...] = ()) -> dict[str, Any]:
    """The ids that begin and end a text, and that fill rows; a model for chats ends with its turn, too.

    ``ids_of_end``: further keys that are to hold the id of the end of a text.
    """
    special = tokenizer.special_tokens
    ends = [tokenizer.end_of_text]
    if tokenizer.chat_template is not None and marks.END_OF_TURN in special:
        ends.append(special[marks.END_OF_TURN])
    ids: dict[str, Any] = {"bos_token_id": tokenizer.end_of_text, "eos_token_id": ends if len(ends) > 1 else ends[0]}
    ids |= dict.fromkeys(ids_of_end, tokenizer.end_of_text)
    return ids | ({"pad_token_id": special[marks.PADDING]} if marks.PADDING in special else {})
