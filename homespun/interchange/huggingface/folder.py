"""The format's two functions: a folder read, a folder written."""

from homespun.interchange.huggingface.reading import read_folder
from homespun.interchange.huggingface.writing import write_folder

__all__ = ["read_folder", "write_folder"]
