"""Fixtures of the report's tests: a realistic run folder, made by code, at any stage."""

import json
import math
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

VOCABULARY, WIDTH, LAYERS, CONTEXT, STEPS = 2048, 256, 6, 256, 3000
TEXT = (
    "def read_lines(path: str) -> list[str]:\n    with open(path) as file:\n"
    "        return [line.strip() for line in file]\n\n"
    "class Reader:\n    def __init__(self, path: str) -> bool:\n        self.path = path\n\n"
    "    def __iter__(self):\n        yield from read_lines(self.path)\n\n# Größe: ein Wörterbuch, 日本語 😀\n"
)
STORIES = (
    "ÿ\x07q)}e0 ##lf t;a  e(\n\n =x 9s te::",
    "def se self the (self) the self, n return in\n  the the a if",
    'def read(self, path):\n    """Return the the value of self."""\n    return self.path',
    'def read(self, path):\n    """Return the lines of the file."""\n    with open(path) as file:\n        yield file',
)
STAGES = ("corpus", "tokenizer", "tokens", "training", "finished")


def lines(records: list[dict[str, Any]]) -> str:
    """JSONL."""
    return "".join(json.dumps(record) + "\n" for record in records)


def tensors() -> list[dict[str, Any]]:
    """The tensors of the sample's model."""
    hidden, per_block = 704, {}
    per_block = {
        "attention_norm.gain": [WIDTH],
        "attention.query_key_value.weight": [3 * WIDTH, WIDTH],
        "attention.output.weight": [WIDTH, WIDTH],
        "feedforward_norm.gain": [WIDTH],
        "feedforward.gate_and_widen.weight": [2 * hidden, WIDTH],
        "feedforward.output.weight": [WIDTH, hidden],
    }
    shapes = {"token_embedding.weight": [VOCABULARY, WIDTH]}
    shapes |= {f"blocks.{layer}.{name}": shape for layer in range(LAYERS) for name, shape in per_block.items()}
    shapes["final_norm.gain"] = [WIDTH]
    return [{"name": name, "shape": shape, "parameters": math.prod(shape)} for name, shape in shapes.items()]


def metrics(steps: int) -> list[dict[str, Any]]:
    """A plausible training: a power law with noise, a warm-up and a cosine, and one slow stretch."""
    chance = random.Random(7)
    records: list[dict[str, Any]] = []
    seconds = 0.0
    for step in range(10, steps + 1, 10):
        floor = 2.35 + 5.2 * (1 + step / 60) ** -0.62
        speed = (9400 + chance.gauss(0, 160)) * (0.6 if 1500 < step < 1560 else 1.0)
        seconds += 10 * 4096 / speed
        progress = step / STEPS
        rate = 1e-3 * (step / 150 if step < 150 else 0.1 + 0.45 * (1 + math.cos(math.pi * progress)))
        shared = {"step": step, "tokens": step * 4096, "seconds": round(seconds, 2)}
        records.append(
            {"kind": "train", "loss": floor + chance.gauss(0, 0.06), "learning_rate": rate,
             "gradient_norm": 0.4 + 2.2 / (1 + step / 40) + abs(chance.gauss(0, 0.09)), "tokens_per_second": speed}
            | shared
        )  # fmt: skip
        if step % 200 == 0:
            loss = floor + 0.05 + 0.08 * progress
            records.append({"kind": "validation", "loss": loss, "bits_per_byte": loss / math.log(2) / 3.61} | shared)
    return records


def write_tokenizer(path: Path) -> None:
    """A real tokenizer of ours, learned from the few lines of ``TEXT``."""
    from homespun.tokenizer.settings import TokenizerConfig
    from homespun.tokenizer.training import train_tokenizer

    tokenizer, _ = train_tokenizer([TEXT] * 3, TokenizerConfig(vocabulary_size=400))
    tokenizer.save(path)


def build_run(folder: Path, stage: str = "finished", steps: int = STEPS) -> Path:
    """Write a run folder as it looks at ``stage``."""
    reached = STAGES.index(stage)
    folder.mkdir(parents=True, exist_ok=True)

    def put(name: str, value: Any) -> None:
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(value), "utf-8")

    put("run.json", {
        "format": 1, "state": stage, "name": "the-standard-library", "sources": ["python", "notes/*.md"],
        "command": ["homespun", "build", "python", "notes/*.md", "--minutes", "30"],
        "created": "2025-11-21T20:12:00+00:00", "homespun_version": "0.1.0", "minutes_asked": 30,
    } | ({"seconds_total": 1742.0} if stage == "finished" else {}))  # fmt: skip
    (folder / "config.toml").write_text(
        "[corpus]\nvalidation_fraction = 0.1\n"
        "\n[tokenizer]\nvocabulary_size = 2048\n\n[model]\nwidth = 256\nlayers = 6\n"
        "\n[training]\nlearning_rate = 0.001\nbatch_size = 16\n\n[sampling]\ntemperature = 0.8\n", "utf-8",
    )  # fmt: skip
    put("environment.json", {
        "python": "3.11.7", "torch": "2.13.0", "platform": "Linux-6.1-x86_64", "processor": "Intel Xeon", "cores": 2,
        "threads": 2, "memory_bytes": 16_600_000_000,
    })  # fmt: skip
    if reached >= 1:
        put("corpus/manifest.json", {
            "format": "homespun corpus", "sources": ["python", "notes"],
            "counts": {"files_read": 1874, "files_binary": 11, "unreadable_files": ["notes/<locked>.md"],
                       "files_unreadable": 1, "documents_read": 1874, "documents_duplicate": 23,
                       "documents_too_short": 0, "documents_kept": 1851, "bytes_kept": 31_670_000,
                       "encodings": {"utf-8": 1869, "latin-1": 5},
                       "endings": {".py": 1612, ".md": 141, ".txt": 74, ".rst": 30, ".html": 17},
                       "unknown_endings": {".png": 64, ".so": 12}},
            "splits": {"train": {"documents": 1688, "characters": 28_300_000, "bytes": 28_551_000},
                       "validation": {"documents": 163, "characters": 3_100_000, "bytes": 3_119_000}},
            "compression": {"gzip_bits_per_byte": 1.98, "xz_bits_per_byte": 1.61, "unigram_bits_per_byte": 4.72},
        })  # fmt: skip
        put("plan.json", {
            "minutes": 30,
            "choices": [
                {"key": "tokenizer.vocabulary_size", "value": VOCABULARY,
                 "why": "28.6 MB of text; a larger vocabulary would have rare tokens and a costly head"},
                {"key": "model.width", "value": WIDTH, "why": "the widest model that sees 12 tokens per parameter"},
                {"key": "model.layers", "value": LAYERS, "why": "about one layer for every 43 channels"},
                {"key": "training.precision", "value": "bf16", "why": "measured 3.1 times faster than fp32 here"},
            ],
            "expected": {"validation_bits_per_byte": 1.02, "validation_loss": 2.55, "tokens_per_second": 8800,
                         "training_tokens": 12_000_000, "training_seconds": 1363, "parameters": 5_343_488,
                         "memory_bytes": 610_000_000},
            "measured": {"matrix_gflops_fp32": 131.5, "matrix_gflops_bf16": 655.0, "precision": "bf16", "threads": 2},
        })  # fmt: skip
    if reached >= 2:
        write_tokenizer(folder / "tokenizer.json")
    if reached >= 3:
        put("tokens/manifest.json", {
            "splits": {"train": {"tokens": 7_760_000, "bytes": 28_551_000, "documents": 1688},
                       "validation": {"tokens": 864_000, "bytes": 3_119_000, "documents": 163}},
            "vocabulary_size": VOCABULARY,
        })  # fmt: skip
        put("model.json", {
            "parameters": sum(one["parameters"] for one in tensors()),
            "parameters_without_embeddings": sum(one["parameters"] for one in tensors()[1:]),
            "flops_per_token_training": 33_400_000.0, "table": tensors(),
            "architecture": {"architecture": "gpt", "vocabulary_size": VOCABULARY, "context": CONTEXT, "layers": LAYERS,
                             "width": WIDTH, "heads": 4, "key_value_heads": 2, "head_width": 0, "feedforward_width": 0,
                             "positions": "rotary", "normalization": "rms", "feedforward": "swiglu",
                             "query_key_norm": True, "tied_embeddings": True, "dropout": 0.0},
        })  # fmt: skip
        (folder / "metrics.jsonl").write_text(lines(metrics(steps)), "utf-8")
        moments = range(200, steps + 1, 200)
        (folder / "samples.jsonl").write_text(lines([
            {"step": step, "tokens": step * 4096, "seconds": step * 0.44, "prompt": "def read", "temperature": 0.8,
             "text": STORIES[min(3, step * 4 // STEPS)]} | ({"prompt": ""} if empty else {})
            for step in moments for empty in (True, False)
        ]), "utf-8")  # fmt: skip
    if stage == "finished":
        last = [one for one in metrics(steps) if one["kind"] == "validation"][-1]
        put("result.json", {
            "validation_loss": last["loss"], "bits_per_byte": last["bits_per_byte"], "tokens_seen": steps * 4096,
            "parameters": sum(one["parameters"] for one in tensors()), "seconds_training": 1319.0,
            "seconds_total": 1742.0, "tokens_per_second": 9316.0, "peak_memory_bytes": 580_000_000,
        })  # fmt: skip
    return folder


@pytest.fixture(scope="session")
def make_run() -> Callable[..., Path]:
    """The function that writes a sample run."""
    return build_run


@pytest.fixture(scope="session")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of a few steps, for tests that write many pages."""
    return build_run(tmp_path_factory.mktemp("runs") / "short", steps=200)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run that tests only read."""
    return build_run(tmp_path_factory.mktemp("runs") / "finished")
