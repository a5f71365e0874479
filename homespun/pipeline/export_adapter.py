"""What a run with low-rank differences has learned -> a folder in PEFT's layout.

In: the run folder of a finetuning with ``lora``. Out: the differences, the rows of its control tokens, its tokenizer,
and the fingerprint of the base, which the run has a copy of. Of a classifier its head goes with them, and the names of
its classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from homespun.common.errors import UsageError
from homespun.inference.load import find_newest
from homespun.interchange.huggingface.peft.head import head_of
from homespun.interchange.huggingface.peft.onto_base import write_beside
from homespun.interchange.huggingface.peft.writing import NO_HEAD, write_adapter
from homespun.interchange.plain import CONFIG, read_settings
from homespun.models.adapter import Adapter, adapter_of
from homespun.models.classifier import Classifier
from homespun.models.settings.finetuned import PartlyTrainedConfig
from homespun.pipeline.base import verify_base
from homespun.pipeline.run_folder import RunFolder
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.checkpoint import TOKENIZER, read_tensors
from homespun.training.kept_base import WEIGHTS, load_model


@dataclass(frozen=True)
class ExportedAdapter:
    """What lies at the path now: name and bytes of each file, and the name of the base."""

    adapter: Adapter
    files: dict[str, int]
    base: str


def export_adapter(run: Path, out: Path, warn: Callable[[str], None]) -> ExportedAdapter:
    """Write the folder ``out``; ``UsageError`` for a run that has no differences."""
    if out.exists():
        raise UsageError(f"{out} exists; give another --out")
    checkpoint = find_newest(run, warn)
    config = read_settings(checkpoint / CONFIG)
    trained = getattr(config, "trained", None)
    if not isinstance(config, PartlyTrainedConfig) or trained != "lora":
        how = f"model.trained is {trained}" if trained else "it is no finetuning"
        raise UsageError(
            f"{run} has no adapter ({how}), only a finetuning with --train lora has; for the whole model: "
            f"homespun export {run} --format huggingface --out {out}"
        )
    folder = RunFolder(run)
    verify_base(folder)
    model = load_model(checkpoint, config)
    adapter = adapter_of(model.body)
    tensors, tokenizer = read_tensors(folder.base / WEIGHTS), Tokenizer.load(checkpoint / TOKENIZER)
    head = head_of(model, tokenizer) if isinstance(model, Classifier) else NO_HEAD
    base = Path(folder.record()["sources"][0]).name

    def beside(written: Path) -> None:
        write_beside(written, base, tensors, adapter.rows, tokenizer, config if head.layers else config.body)

    write_adapter(adapter, config.body, out, beside=beside, head=head)
    return ExportedAdapter(adapter, {file.name: file.stat().st_size for file in sorted(out.iterdir())}, base)
