"""A run folder and a task -> ``evaluations/NAME.json`` in it, and the report written anew.

In: one run, or two that are compared. Out: the record, as written: what was asked (task, data with its checksum, shots,
seed, checkpoint), the figures, and what the first prompt looked like.
"""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from homespun import __version__
from homespun.common.errors import UsageError
from homespun.common.files import explain_os_error, sha256_of_file, write_json
from homespun.common.progress import Reporter, Silent
from homespun.corpus.manifest import CorpusManifest
from homespun.corpus.shards import read_texts
from homespun.evaluation.kind import Material, Subject, Texts
from homespun.evaluation.run_task import FORMAT_VERSION, kind_of, run_task
from homespun.evaluation.task import KEYS, Task, load_task
from homespun.inference.uses import USES, Use, check_use
from homespun.interchange.adapted import load_adapted
from homespun.pipeline.run_folder import RunFolder
from homespun.report.write import write_report
from homespun.training.checkpoint import newest_checkpoint


@dataclass(frozen=True)
class Wish:
    """What the user asked for; ``limit`` 0: every example."""

    task: str
    data: Path | None = None
    shots: int = 0
    limit: int = 0
    seed: int = 1

    def __post_init__(self) -> None:
        for name, value in (("--shots", self.shots), ("--limit", self.limit), ("--seed", self.seed)):
            if value < 0:
                raise UsageError(f"{name} is {value}; it must be at least 0")


def evaluate_run(
    run: Path,
    wish: Wish,
    against: Path | None,
    device: torch.device,
    reporter: Reporter,
    adapter: Path | None = None,
) -> dict[str, Any]:
    """Evaluate the newest checkpoint of ``run``, with ``adapter`` if there is one; the record that was written."""
    task = load_task(wish.task)
    if wish.data is not None:
        task = task.with_data(wish.data)
    kind = kind_of(task)
    if against is not None and not kind.models:
        raise UsageError(f"--against means nothing for a task of kind {task.kind}: no model is asked")
    if adapter is not None and not kind.models:
        raise UsageError(f"--adapter means nothing for a task of kind {task.kind}: no model is asked")
    if not run.is_dir():
        raise UsageError(f"there is no run folder {run}; make one with: homespun build SOURCE --out {run}")
    asked = [(run, adapter), *([(against, None)] if against else [])] if kind.models else []
    subjects = [load_subject(folder, own, kind.models, device, reporter) for folder, own in asked]
    material = Material(task, texts_of(run), wish.shots, wish.limit, wish.seed)
    first, second = (*subjects, None, None)[:2]
    found = run_task(material, first, second, reporter)
    record = heading(run, task, wish, adapter) | found
    write_record(run, record)
    return record


def load_subject(
    folder: Path, adapter: Path | None, uses: tuple[Use, ...], device: torch.device, reporter: Reporter
) -> Subject:
    """The model of a run folder, if it can be asked, with an adapter or as it is."""
    loaded = load_adapted(folder, [str(adapter)] if adapter else [], reporter.warn, device)
    if USES[loaded.model.config.task] not in uses:
        check_use(loaded.model.config, uses[0], folder)
    name = folder.resolve().name + (f" with {adapter.resolve().name}" if adapter else "")
    return Subject(name, loaded.model, loaded.tokenizer)


def texts_of(run: Path) -> Callable[[str], Texts]:
    """The documents of a split of the run's corpus."""

    def split_texts(split: str) -> Texts:
        folder = RunFolder(run).corpus
        if not folder.is_dir():
            raise UsageError(f"{run} has no text in it (its model was imported), which this task needs")
        shards = CorpusManifest.load(folder).splits[split].shards

        def iterate() -> Iterator[str]:
            for shard in shards:
                yield from read_texts(folder / shard.name)

        return iterate

    return split_texts


def heading(run: Path, task: Task, wish: Wish, adapter: Path | None = None) -> dict[str, Any]:
    """What was asked, of whom, and when."""
    checkpoint = newest_checkpoint(run / "checkpoints", Silent().warn, clean=False)
    path = task.data_path
    return {
        "format": FORMAT_VERSION,
        "homespun_version": __version__,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": file_name(task, wish) + (f"-with-{adapter.resolve().name}" if adapter else ""),
        "task": task.name,
        "kind": task.kind,
        "about": task.about,
        "settings": {key: value for key, value in asdict(task).items() if key in KEYS and key in task.given},
        "data": path.name if path else None,
        "data_sha256": sha256_of_file(path) if path and path.is_file() else None,
        "checkpoint": checkpoint.name if checkpoint else None,
        "adapter": adapter.resolve().name if adapter else None,
        "shots": wish.shots,
        "limit": wish.limit,
        "seed": wish.seed,
    }


def file_name(task: Task, wish: Wish) -> str:
    """The task, and how many examples it was shown where it was any: ``addition-5-shot``."""
    return f"{task.name}-{wish.shots}-shot" if wish.shots else task.name


def write_record(run: Path, record: dict[str, Any]) -> Path:
    """Write the record, and the report of a run that has one."""
    path = RunFolder(run).evaluations / f"{record['name']}.json"
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, "cannot make") from error
    write_json(path, record)
    if (run / "run.json").exists():
        write_report(run)
    return path
