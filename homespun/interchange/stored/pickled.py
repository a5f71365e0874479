"""Files that homespun never opens, since to read one is to run it: pickles, under their many names.

In: a path. Out: the one line that says why, and how to convert the file where it is trusted.
"""

from pathlib import Path

from homespun.common.errors import HomespunError

ENDINGS = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt")
PICKLE = b"\x80"
ZIP = b"PK\x03\x04"
HEAD = 9
TENSORFLOW_MARK = ".ckpt."
CONVERT_TORCH = (
    'python -c "import torch, safetensors.torch as s; '
    "s.save_file({{k: v.clone() for k, v in torch.load('{name}', weights_only=True).items()}}, '{target}')\""
)
CONVERT_TENSORFLOW = (
    "python -c \"import numpy, tensorflow as t; r = t.train.load_checkpoint('.'); "
    "numpy.savez('model.npz', **{n: r.get_tensor(n) for n in r.get_variable_to_shape_map()})\""
)


def is_pickled(path: Path) -> bool:
    """By its first bytes, whatever it is called; PyTorch's own format is a zip with a pickle in it."""
    if path.suffix in ENDINGS:
        return True
    with open(path, "rb") as file:
        head = file.read(HEAD)
    # The length of a safetensors header can begin like a pickle, but then the header follows.
    return path.suffix != ".npz" and (head.startswith(ZIP) or (head.startswith(PICKLE) and head[-1:] != b"{"))


def refuse_pickled(path: Path, target: str = "model.safetensors") -> HomespunError:
    """The error for a pickle, or for a checkpoint that only TensorFlow reads; ``target``: the file to make of it."""
    if TENSORFLOW_MARK in path.name:
        return HomespunError(
            f"{path} is part of a TensorFlow checkpoint, which homespun does not read; "
            f"convert it in its folder: {CONVERT_TENSORFLOW}"
        )
    return HomespunError(
        f"{path} is a pickle: to read it is to run whatever program its maker put into it, so homespun does not; "
        f"if you trust it, convert it in its folder: {CONVERT_TORCH.format(name=path.name, target=target)}"
    )
