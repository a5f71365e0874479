"""Word vectors <-> a folder: the matrix, the words, and the settings, checked by SHA-256.

``vectors.safetensors`` holds one tensor ``vectors`` (V, D), float32; ``vocabulary.json`` the words and their counts;
``settings.json`` how they were learned; ``manifest.json`` a checksum for each. The folder is filled under a temporary
name and renamed, so it is whole or absent.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from homespun.common.errors import DamagedFileError, UsageError
from homespun.common.files import atomic_folder, read_json, sha256_of_file, write_json
from homespun.training.word_vectors.settings import WordVectorConfig
from homespun.training.word_vectors.vectors import WordVectors

FORMAT = "homespun-word-vectors"
VERSION = 1
MANIFEST = "manifest.json"
FILES = ("vectors.safetensors", "vocabulary.json", "settings.json")
TENSOR = "vectors"


def save_word_vectors(found: WordVectors, folder: Path) -> None:
    """Write the folder, which must not exist yet."""
    if folder.exists():
        raise UsageError(f"{folder} exists; give another --out")
    vocabulary = {"words": found.words, "counts": None if found.counts is None else found.counts.tolist()}
    with atomic_folder(folder) as unfinished:
        save_file({TENSOR: np.ascontiguousarray(found.vectors, np.float32)}, unfinished / FILES[0])
        write_json(unfinished / FILES[1], vocabulary)
        write_json(unfinished / FILES[2], asdict(found.config) if found.config else None)
        sums = {name: sha256_of_file(unfinished / name) for name in FILES}
        write_json(unfinished / MANIFEST, {"format": FORMAT, "version": VERSION, "sha256": sums})


def load_word_vectors(folder: Path) -> WordVectors:
    """Read and check a folder; anything wrong in it is one line that names the file."""
    if not (folder / MANIFEST).is_file():
        raise UsageError(f"{folder} holds no word vectors; give the folder that homespun vectors train wrote")
    check_manifest(folder, read_json(folder / MANIFEST))
    try:
        tensors: Mapping[str, Any] = load_file(folder / FILES[0])
    except (SafetensorError, OSError) as error:
        raise DamagedFileError(f"{folder / FILES[0]} is damaged ({error}); make the vectors again") from error
    vocabulary, settings = read_json(folder / FILES[1]), read_json(folder / FILES[2])
    fault = find_fault(tensors, vocabulary, settings)
    if fault:
        raise DamagedFileError(f"{folder}: {fault}; make the vectors again")
    counts = None if vocabulary["counts"] is None else np.array(vocabulary["counts"], np.int64)
    config = None if settings is None else WordVectorConfig(**settings)
    return WordVectors(tuple(vocabulary["words"]), tensors[TENSOR], counts, config)


def check_manifest(folder: Path, manifest: Any) -> None:
    """Every file must be there and unchanged."""
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise UsageError(f"{folder} holds no word vectors; give the folder that homespun vectors train wrote")
    if manifest.get("version") != VERSION:
        raise DamagedFileError(
            f"{folder} was made by another version of homespun (format {manifest.get('version')!r}, "
            f"this one reads {VERSION})"
        )
    sums = manifest.get("sha256")
    for name in FILES:
        path = folder / name
        if not path.is_file():
            raise DamagedFileError(f"{path} is missing; make the vectors again")
        if not isinstance(sums, dict) or sums.get(name) != sha256_of_file(path):
            raise DamagedFileError(f"{path} is damaged (it does not match its sha256); make the vectors again")


def find_fault(tensors: Mapping[str, Any], vocabulary: Any, settings: Any) -> str | None:
    """What does not fit together, or None; checksums alone do not say that the files belong to each other."""
    matrix = tensors.get(TENSOR)
    if matrix is None or matrix.ndim != 2 or matrix.dtype != np.float32:
        return f"{FILES[0]} has no matrix {TENSOR} of float32"
    words = vocabulary.get("words") if isinstance(vocabulary, dict) else None
    if not isinstance(words, list) or set(map(type, words)) - {str} or len(set(words)) < len(words):
        return f"{FILES[1]} is no list of different words"
    if len(words) != len(matrix):
        return f"{len(words):,} words, but {len(matrix):,} vectors"
    counts = vocabulary.get("counts")
    if counts is not None and (not isinstance(counts, list) or len(counts) != len(words)):
        return f"{FILES[1]} has not one count for each word"
    if settings is None:
        return None
    try:
        config = WordVectorConfig(**settings)
    except (TypeError, UsageError) as error:
        return f"{FILES[2]} is not what it should be ({error})"
    if config.dimensions != matrix.shape[1]:
        return f"{FILES[2]} says {config.dimensions} dimensions, but the vectors have {matrix.shape[1]}"
    return None
