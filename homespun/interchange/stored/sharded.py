"""Several safetensors files and the index that says which tensor is in which: ``model.safetensors.index.json``."""

from collections.abc import Collection
from pathlib import Path
from typing import Any, TypeGuard

import torch

from homespun.common.errors import DamagedFileError
from homespun.interchange.stored.safetensors_file import SafetensorsFile
from homespun.tokenizer.formats.reading import json_of, read_bytes, shorten


class ShardedFiles:
    """A ``TensorSource`` over all files of an index; index and files must agree about every tensor."""

    def __init__(self, index: Path) -> None:
        self.index = index
        value = json_of(index, read_bytes(index))
        places = value.get("weight_map") if isinstance(value, dict) else None
        if not is_weight_map(places):
            raise DamagedFileError(f"{index} has no weight_map of tensors and files; get it again")
        files = {name: self.open(name) for name in sorted(set(places.values()))}
        for file_name, file in files.items():
            for name in file.names():
                if places.get(name) != file_name:
                    raise DamagedFileError(
                        f"{file.path} has the tensor {name}, which {index.name} "
                        f"{'does not list' if name not in places else f'says is in {places[name]}'}"
                    )
        for name, file_name in places.items():
            if name not in files[file_name].names():
                raise DamagedFileError(
                    f"{files[file_name].path} lacks the tensor {shorten(name)}, which {index.name} lists"
                )
        self.places = {name: files[file_name] for name, file_name in places.items()}

    def open(self, file_name: str) -> SafetensorsFile:
        """A file beside the index."""
        if Path(file_name).name != file_name:
            raise DamagedFileError(f"{self.index} names the file {shorten(file_name)}; it must lie beside the index")
        path = self.index.with_name(file_name)
        if not path.is_file():
            raise DamagedFileError(f"{path} is missing, which {self.index.name} names; get it again")
        return SafetensorsFile(path)

    def names(self) -> Collection[str]:
        return self.places.keys()

    def shape(self, name: str) -> tuple[int, ...]:
        return self.places[name].shape(name)

    def type_name(self, name: str) -> str:
        return self.places[name].type_name(name)

    def is_float(self, name: str) -> bool:
        return self.places[name].is_float(name)

    def file(self, name: str) -> Path:
        return self.places[name].path

    def read(self, name: str) -> torch.Tensor:
        return self.places[name].read(name)


def is_weight_map(value: Any) -> TypeGuard[dict[str, str]]:
    """Whether ``value`` maps names to names of files."""
    return isinstance(value, dict) and bool(value) and all(isinstance(one, str) and one for one in value.values())
