"""A text in; the same character ids for both programs out, each in the form that it reads.

Characters in the order of their code points are the tokens; the first 90 % of the text is for
training, the rest for validation, as in nanoGPT's data/shakespeare_char.
"""

import pickle
from pathlib import Path

import numpy as np

from homespun.batches.shards import FORMAT_VERSION, write_split
from homespun.common.errors import UsageError
from homespun.common.files import explain_os_error, write_json

TRAINING_SHARE = 0.9
LEAST_VALIDATION = 1000  # tokens
VOCABULARY_LIMIT = 1 << 16  # nanoGPT's files are uint16


def write_data(text_file: Path, nanogpt_folder: Path, shards_folder: Path) -> int:
    """Write both forms; the number of tokens in the vocabulary."""
    try:
        text = text_file.read_text("utf-8")
    except OSError as error:
        raise UsageError(str(explain_os_error(error, "cannot read the text"))) from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{text_file} is not UTF-8 text ({error})") from error
    symbols, ids = np.unique(np.frombuffer(text.encode("utf-32-le"), "<u4"), return_inverse=True)
    border = int(len(ids) * TRAINING_SHARE)
    if len(ids) - border < LEAST_VALIDATION or len(symbols) > VOCABULARY_LIMIT:
        raise UsageError(f"{text_file} has {len(ids):,} characters, {len(symbols):,} different; take another text")
    splits = {"train": (ids[:border], text[:border]), "validation": (ids[border:], text[border:])}

    nanogpt_folder.mkdir(parents=True)
    for split, name in (("train", "train.bin"), ("validation", "val.bin")):
        splits[split][0].astype("<u2").tofile(nanogpt_folder / name)
    # train.py learns the size of the vocabulary from this file alone; no option of its own replaces it.
    (nanogpt_folder / "meta.pkl").write_bytes(pickle.dumps({"vocab_size": len(symbols)}))

    shards_folder.mkdir(parents=True)
    entries = {
        split: write_split(shards_folder, split, [part], len(symbols)) | {"bytes": len(words.encode("utf-8"))}
        for split, (part, words) in splits.items()
    }
    write_json(
        shards_folder / "manifest.json",
        {"format": FORMAT_VERSION, "vocabulary_size": len(symbols), "tokenizer": "characters", "splits": entries},
    )
    return len(symbols)
