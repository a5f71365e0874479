"""A model of another program -> a run folder that every later command takes.

In: a folder or file that ``homespun.interchange`` reads, and maybe an adapter, which is merged into its weights. Out: a
run that was never trained here: one checkpoint at step 0 with nothing in its optimizer, a ``run.json`` that says where
the weights came from. It appears whole or not at all. Going on with its training is refused
(``homespun.pipeline.build``): there is no text and no optimizer's state.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from homespun.common.configuration import flatten
from homespun.common.errors import HomespunError, UsageError
from homespun.common.files import atomic_folder
from homespun.common.progress import Reporter, Stage
from homespun.interchange.formats import recognize
from homespun.interchange.huggingface.peft.onto_base import Brought, bring
from homespun.interchange.huggingface.peft.reading import AdapterFolder
from homespun.interchange.kinds import KINDS
from homespun.interchange.options import Reading
from homespun.interchange.weights import Weights
from homespun.models.adapter import EMBEDDING, Adapter, merge
from homespun.models.registry import build_model
from homespun.models.settings import TextModelConfig
from homespun.pipeline.configuration import Configuration, write_toml
from homespun.pipeline.run_folder import IMPORTED, RunFolder, create_run, existing_folder_line
from homespun.pipeline.train_stage import write_model_record
from homespun.training.checkpoint import Snapshot, TrainingState, save_checkpoint
from homespun.training.execution import Execution


@dataclass(frozen=True)
class Imported:
    """What was read, the name of its format, and the adapter that is in the weights now."""

    weights: Weights
    format_name: str
    adapter: Adapter | None


def import_run(
    source: Path, out: Path, options: Reading, command: list[str], reporter: Reporter, adapter: Path | None = None
) -> Imported:
    """Make the run folder ``out`` of the model in ``source``; ``adapter``: a folder in PEFT's layout."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(existing_folder_line(RunFolder(out)))
    found = recognize(source)
    adapter_folder = AdapterFolder.open(adapter, options.warn) if adapter else None  # before the long reading
    differences = None
    with reporter.stage("reading", 0, "weights") as stage:
        weights = found.read(source, replace(options, begin=stage.resize, advance=stage.advance))
    if adapter_folder:
        if not isinstance(weights.config, TextModelConfig):
            raise HomespunError(f"{adapter}: adapters are merged into models of text, not of images")
        brought = bring(adapter_folder, weights.config, weights.tensors, weights.tokenizer, options.warn)
        differences = brought.adapter
        with reporter.stage("merging", len(differences.differences), "differences") as stage:
            weights = with_adapter(weights, brought, adapter_folder, stage)
    with reporter.stage("writing", 1, "checkpoint") as stage, atomic_folder(out) as folder:
        write_run(folder, weights, command)
        origin = {"source": source.resolve().name, "format": found.name}
        origin |= {"adapter": adapter.resolve().name} if adapter else {}
        RunFolder(folder).update(name=out.resolve().name, state=IMPORTED, imported=origin)
        stage.advance(1)
    return Imported(weights, found.name, differences)


def with_adapter(weights: Weights, brought: Brought, folder: AdapterFolder, stage: Stage) -> Weights:
    """The same model with the differences in its tensors; it may know more tokens than before."""
    try:
        tensors = merge(weights.tensors, brought.adapter, stage.advance)
        config = replace(weights.config, vocabulary_size=len(tensors[EMBEDDING]))  # pyrefly: ignore  # it is of text
        return Weights(config, tensors, brought.tokenizer)
    except HomespunError as error:
        raise HomespunError(f"{folder.source.path.parent}: {error}") from error


def write_run(folder: Path, weights: Weights, command: list[str]) -> None:
    """Everything of a run that can be known of a model alone."""
    run = create_run(folder, [], None, command, {}, {})
    configuration = replace(Configuration(), model=weights.config)
    kind = KINDS[weights.config.reads]
    tokenizer_file = kind.save(weights.inputs, run.path)
    write_toml(run.config, configuration)
    with torch.device("meta"):
        write_model_record(run, configuration, build_model(weights.config))
    made_with: dict[str, Any] = {
        "configuration": {key: value for key, value in flatten(configuration).items() if key.startswith("model.")},
        "data": {},
        "tokenizer": kind.record(weights.inputs),
    }
    documents = {"config.json": flatten(weights.config), "made_with.json": made_with}
    snapshot = Snapshot(weights.tensors, {}, TrainingState(0, 0, 0, 0.0, Execution()))
    save_checkpoint(run.checkpoints, snapshot, documents, tokenizer_file, keep=1)
