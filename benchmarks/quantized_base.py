"""Question: what does a base in 8 or 4 bits save in memory, and what does it cost in loss?

    python benchmarks/quantized_base.py BASE FILE… --out DIR [--seeds 3] [--json]
    python benchmarks/quantized_base.py BASE FILE… --out … -- --conversations.epochs 1  (behind --: to the finetuning)
    python benchmarks/quantized_base.py --memory-only [--width 768] [--layers 12] [--rows 4] [--context 128] [--json]

Loss: BASE is a run folder of any model that reads from left to right, FILE has instructions. The product itself does
the work: ``homespun finetune instructions --train lora`` with the base in 32, 8 and 4 bits, on the same files, with the
same seeds; the loss is that of the validation, exact. ``--out`` keeps all runs; one that is there already is only read.

Memory: a decoder of the given size with random weights, finetuned by LoRA for two real steps, each way in a process of
its own (``quantized_base_steps.py``). Its peak is told twice: of the whole process, which first has the base in full
and packs it matrix by matrix, and, where the system can tell (Linux), of the steps alone. Beside it what the base's
weights take, and what the product expects for all of it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from measuring import ask_program, exit_with, machine, machine_lines, table, tell

from homespun.common.errors import HomespunError, UsageError

BITS = (32, 8, 4)


def main() -> int:
    """Finetune, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("base", type=Path, nargs="?", help="the run folder of the base")
    parser.add_argument("files", type=Path, nargs="*", help="instructions or conversations")
    parser.add_argument("--out", type=Path, help="a folder for the runs")
    parser.add_argument("--seeds", type=int, default=3, help="how many [3]")
    parser.add_argument("--memory-only", action="store_true", help="no finetuning; needs neither BASE nor FILE")
    parser.add_argument("--width", type=int, default=768, help="of the model whose memory is measured [768]")
    parser.add_argument("--layers", type=int, default=12, help="of that model [12]")
    parser.add_argument("--rows", type=int, default=4, help="conversations at once there [4]")
    parser.add_argument("--context", type=int, default=128, help="tokens of each there [128]")
    parser.add_argument("--json", action="store_true", help="print all figures for programs")
    given = sys.argv[1:]
    split = given.index("--") if "--" in given else len(given)
    options, more = parser.parse_args(given[:split]), given[split + 1 :]
    facts, losses = machine(), {}
    if not options.memory_only:
        if options.base is None or not options.files or options.out is None:
            raise UsageError("give BASE, FILE and --out DIR, or --memory-only")
        options.out.mkdir(parents=True, exist_ok=True)
        losses = measure_losses(options.base, options.files, options.out, options.seeds, more)
    memory = measure_memory(options.width, options.layers, options.rows, options.context)
    if options.json:
        print(json.dumps({"machine": facts, "loss": losses, "memory": memory}, indent=1))
        return 0
    print("\n".join([*machine_lines(facts), "", *loss_lines(losses), *memory_lines(memory)]))
    return 0


def measure_losses(base: Path, files: list[Path], out: Path, seeds: int, more: list[str]) -> dict[str, Any]:
    """By bits: the loss of the validation for each seed, and the bytes of the base as it is held."""
    found: dict[str, Any] = {str(bits): {"loss": [], "seconds": []} for bits in BITS}
    for seed in range(1, seeds + 1):
        for bits in BITS:
            run = out / f"bits-{bits}-{seed}"
            if not (run / "result.json").exists():
                tell(f"{bits} bits, seed {seed} …")
                finetune(base, files, run, bits, seed, more)
            result = json.loads((run / "result.json").read_text("utf-8"))
            found[str(bits)]["loss"].append(result["validation_loss"])
            found[str(bits)]["seconds"].append(result["seconds_training"])
            found[str(bits)]["base_bytes"] = base_bytes(run)
    return found


def finetune(base: Path, files: list[Path], run: Path, bits: int, seed: int, more: list[str]) -> None:
    """One run in its own process; one that was stopped goes on."""
    ways = ["--train", "lora", "--model.base-bits", str(bits), "--training.seed", str(seed)]
    command = ["finetune", "instructions", str(base), *map(str, files), *ways, "--out", str(run), *more]
    if (run / "run.json").exists():
        command = ["train", "--resume", str(run)]
    done = subprocess.run([sys.executable, "-m", "homespun", *command], stdout=subprocess.DEVNULL, check=False)
    if done.returncode:
        raise HomespunError(f"homespun {' '.join(command[:2])} ended with exit code {done.returncode}")


def base_bytes(run: Path) -> int:
    """What the model of the run holds of the base: everything but the differences and the rows that learn."""
    import torch

    from homespun.common.files import read_json
    from homespun.models.registry import build_model
    from homespun.models.settings import model_settings
    from homespun.models.stored import held_still, stored_tensors

    config = model_settings(read_json(max((run / "checkpoints").iterdir()) / "config.json"))
    with torch.device("meta"):
        model = build_model(config)
    still = held_still(model)
    return sum(tensor.nbytes for name, tensor in stored_tensors(model).items() if name in still)


def measure_memory(width: int, layers: int, rows: int, context: int, ways: tuple[int, ...] = BITS) -> dict[str, Any]:
    """By bits: what the process of two steps has to say."""
    body = {"vocabulary_size": 4096, "context": context, "layers": layers, "width": width, "heads": max(1, width // 64)}
    found = {}
    for bits in ways:
        tell(f"memory of {bits} bits …")
        task = {"body": body, "bits": bits, "rows": rows}
        found[str(bits)] = ask_program("quantized_base_steps", task, os.environ | {"OMP_NUM_THREADS": "1"})
    return {"body": body, "rows": rows, "bits": found}


def loss_lines(losses: dict[str, Any]) -> list[str]:
    """For people."""
    if not losses:
        return []
    cells = [
        [f"{bits} bits", f"{one['base_bytes'] / 1e6:.2f}", *in_words(one["loss"]),
         f"{statistics.fmean(one['seconds']):.0f}", str(len(one["loss"]))]
        for bits, one in losses.items()
    ]  # fmt: skip
    header = ("base", "its weights MB", "validation loss", "least", "most", "seconds", "seeds")
    return [table(header, cells), ""]


def in_words(values: list[float]) -> list[str]:
    """Mean, least and most."""
    return [f"{value:.4f}" for value in (statistics.fmean(values), min(values), max(values))]


def memory_lines(memory: dict[str, Any]) -> list[str]:
    """For people."""
    cells = [
        [f"{bits} bits", *(f"{one[key] / 1e6:.0f}" if one[key] else "?" for key in
                           ("base_bytes", "steps_peak_bytes", "process_peak_bytes", "expected_bytes"))]
        for bits, one in memory["bits"].items()
    ]  # fmt: skip
    body = memory["body"]
    size = f"{body['width']} x {body['layers']}, {memory['rows']} x {body['context']} tokens at once"
    return [
        f"a decoder of {size}, fp32, MB",
        table(("base", "its weights", "peak of steps", "peak of process", "expected"), cells),
    ]


if __name__ == "__main__":
    exit_with(main)
