"""A folder or a file -> its tensors, whatever keeps them; pickles are refused before a byte of them is used."""

from collections.abc import Callable
from pathlib import Path

from homespun.common.errors import HomespunError, UsageError
from homespun.common.files import explain_os_error
from homespun.interchange.stored.numpy_archive import NumpyArchive
from homespun.interchange.stored.pickled import ENDINGS, TENSORFLOW_MARK, is_pickled, refuse_pickled
from homespun.interchange.stored.safetensors_file import SafetensorsFile
from homespun.interchange.stored.sharded import ShardedFiles
from homespun.interchange.stored.source import TensorSource

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
# In a folder the first of these that is there is taken, as Hugging Face's library does.
NAMES: dict[str, Callable[[Path], TensorSource]] = {
    SINGLE: SafetensorsFile,
    INDEX: ShardedFiles,
    "model.npz": NumpyArchive,
}


def open_tensors(path: Path) -> TensorSource:
    """The tensors of a folder, or of a file; nothing is read yet but headers."""
    if path.is_dir():
        path = weights_in(path)
    if not path.exists():
        raise UsageError(f"there is no file {path}")
    try:
        if is_pickled(path) or TENSORFLOW_MARK in path.name:
            raise refuse_pickled(path)
    except OSError as error:
        raise explain_os_error(error, "cannot read") from error
    if path.name.endswith(".index.json"):
        return ShardedFiles(path)
    return NumpyArchive(path) if path.suffix == ".npz" else SafetensorsFile(path)


def weights_in(folder: Path) -> Path:
    """The file of a folder that has its weights, or tells where they are."""
    for name in NAMES:
        if (folder / name).is_file():
            return folder / name
    files = sorted(path for path in folder.iterdir() if path.is_file())
    readable = [path for path in files if path.suffix in (".safetensors", ".npz")]
    if len(readable) == 1:
        return readable[0]
    if readable:
        raise HomespunError(f"{folder} has no {SINGLE} but {', '.join(path.name for path in readable)}; name one file")
    for path in files:
        if path.suffix in ENDINGS or TENSORFLOW_MARK in path.name:
            raise refuse_pickled(path)
    raise HomespunError(f"{folder} has no weights: no {', no '.join(NAMES)}")
