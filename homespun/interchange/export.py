"""A model -> files of another format: written aside, read back, compared, and only then given their name.

In: a model and what makes its inputs (a tokenizer). Out: a folder that was not there before, or an error and no folder.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from homespun.common.errors import UsageError
from homespun.common.files import atomic_folder
from homespun.common.progress import Reporter, Stage
from homespun.interchange.formats import Format
from homespun.interchange.forms import weights_of
from homespun.interchange.manifest import write_manifest
from homespun.interchange.options import Reading, Writing
from homespun.interchange.verify import Verified, verify


@dataclass(frozen=True)
class Exported:
    """What lies at the path now: name and bytes of each file."""

    files: dict[str, int]
    verified: Verified


def export_model(model: Any, inputs: Any, target: Format, path: Path, options: Writing, reporter: Reporter) -> Exported:
    """Write ``path`` and verify it; whatever fails, nothing is left there. ``inputs``: as in ``Weights``."""
    if path.exists():
        raise UsageError(f"{path} exists; give another --out")
    with atomic_folder(path) as folder:
        with reporter.stage("writing", 0, "weights") as stage:
            target.write(weights_of(model, inputs), folder, replace(options, **progress(stage)))
        write_manifest(folder)
        with reporter.stage("reading back", 0, "weights") as stage:
            found = target.read(folder, Reading(**progress(stage)))
        verified = verify(model, inputs, found, options.number)
        del found  # it is a map of files that are about to get another name
    return Exported({file.name: file.stat().st_size for file in sorted(path.iterdir())}, verified)


def progress(stage: Stage) -> dict[str, Any]:
    """A stage as readers and writers speak to it."""
    return {"begin": stage.resize, "advance": stage.advance}
