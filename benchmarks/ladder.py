"""Five sizes are trained, a law is fitted to their losses, and a sixth, larger one is predicted before it is trained.

    python benchmarks/ladder.py SOURCE --out DIR [--tokens 1000000] [--json FILE]

Each rung is the product's own command, ``homespun train``, on the same text, tokenizer and number of tokens, with the
rates that the plan gives to its width. With the text read held still, the law of ``homespun.training.budget``
(Hoffmann et al. 2022) is  loss = floor + scale / M^power,  M the weights of the block matrices; the constants are
fitted by least squares to five points. Runs that are already in DIR are not made again.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np

from homespun.common.files import read_json, write_json
from homespun.models.arithmetic import matrix_parameters
from homespun.models.settings import GPTConfig
from homespun.training.budget import learning_rate_for

RUNGS = ((64, 2), (64, 4), (96, 4), (128, 4), (160, 5), (192, 6))  # width, layers; the last one is predicted
HEAD_WIDTH = 32
CONTEXT, ROWS, VOCABULARY = 256, 4, 2048
POWERS = np.linspace(0.05, 1.5, 146)


def train(source: str, folder: Path, width: int, layers: int, tokens: int) -> float:
    """Validation loss of one rung, nats per token."""
    out = folder / f"{width}x{layers}-{tokens}"
    steps = tokens // (CONTEXT * ROWS)
    values = {
        "model.width": width, "model.layers": layers, "model.heads": width // HEAD_WIDTH, "model.context": CONTEXT,
        "tokenizer.vocabulary-size": VOCABULARY, "training.batch-size": ROWS, "training.steps": steps,
        "training.learning-rate": learning_rate_for(width, "muon"), "training.warmup-steps": max(5, steps // 20),
        "training.evaluate-every": steps, "training.sample-every": 0,
    }  # fmt: skip
    if not (out / "result.json").exists():
        command = [sys.executable, "-m", "homespun", "train"]
        command += ["--resume", str(out)] if (out / "run.json").exists() else [source, "--out", str(out)]
        if "--resume" not in command:
            command += [f"--{key}={value}" for key, value in values.items()]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return read_json(out / "result.json")["validation_loss"]


def fit(sizes: np.ndarray, losses: np.ndarray) -> tuple[float, float, float]:
    """``floor``, ``scale`` and ``power`` of least squared error."""
    best: tuple[float, tuple[float, float, float]] | None = None
    for power in POWERS:
        terms = np.stack([np.ones_like(sizes), sizes**-power], axis=1)
        (floor, scale), *_ = np.linalg.lstsq(terms, losses, rcond=None)
        error = float(((terms @ [floor, scale] - losses) ** 2).sum())
        if best is None or error < best[0]:
            best = (error, (float(floor), float(scale), float(power)))
    assert best is not None
    return best[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    shapes = [GPTConfig(width=width, layers=layers, heads=width // HEAD_WIDTH) for width, layers in RUNGS]
    sizes = np.array([matrix_parameters(shape) for shape in shapes], dtype=float)
    losses: list[float] = []
    for number, (width, layers) in enumerate(RUNGS):
        if number == len(RUNGS) - 1:
            floor, scale, power = fit(sizes[:-1], np.array(losses))
            predicted = floor + scale / sizes[-1] ** power
            print(f"law: {floor:.3f} + {scale:.4g} / M^{power:.2f}; {width} x {layers} should reach {predicted:.4f}")
        losses.append(train(arguments.source, arguments.out, width, layers, arguments.tokens))
        print(f"{width:4} x {layers}  {sizes[number]:>10,.0f} weights  {losses[-1]:.4f} nats per token", flush=True)
    off = predicted / losses[-1] - 1
    print(f"predicted {predicted:.4f}, reached {losses[-1]:.4f}: {off:+.2%}")
    if arguments.json:
        record = {"sizes": sizes.tolist(), "losses": losses, "law": [floor, scale, power], "predicted": predicted}
        write_json(arguments.json, record | {"tokens": arguments.tokens, "off": off, "rungs": RUNGS})


if __name__ == "__main__":
    main()
