"""``manifest.json`` beside an export: a checksum of every file, since safetensors has none of its own.

A folder that homespun wrote is checked against it before it is read again; folders of others have none, and a changed
number in them is noticed only where it makes a weight infinite.
"""

from pathlib import Path

from homespun.common.errors import DamagedFileError
from homespun.common.files import read_json, sha256_of_file, write_json

NAME, FORMAT, VERSION = "manifest.json", "homespun-export", 1


def write_manifest(folder: Path) -> None:
    """Checksums of all files that lie in ``folder``, which become as readable as this one.

    The library that writes safetensors makes files for their owner alone; an export is for others too.
    """
    files = sorted(folder.iterdir())
    sums = {path.name: sha256_of_file(path) for path in files}
    write_json(folder / NAME, {"format": FORMAT, "version": VERSION, "sha256": sums})
    for path in files:
        path.chmod((folder / NAME).stat().st_mode)


def check_manifest(folder: Path) -> None:
    """``DamagedFileError`` for a file that is missing or changed; nothing where there is no manifest of ours."""
    if not (folder / NAME).is_file():
        return
    value = read_json(folder / NAME)
    if not isinstance(value, dict) or value.get("format") != FORMAT:
        return
    sums = value.get("sha256")
    if value.get("version") != VERSION or not isinstance(sums, dict):
        raise DamagedFileError(f"{folder / NAME} is damaged, or of another version of homespun; export again")
    for name, expected in sums.items():
        path = folder / Path(name).name
        if not path.is_file():
            raise DamagedFileError(f"{path} is missing, which {NAME} lists; export again")
        if sha256_of_file(path) != expected:
            raise DamagedFileError(
                f"{path} was changed since it was written (its checksum differs); export again, or delete {NAME} "
                "if the change is yours"
            )
