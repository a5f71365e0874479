"""Question: does llama.cpp compute the same from our GGUF files, with the same tokens for the same text?

    python benchmarks/gguf_in_llama_cpp.py TEXTS --work FOLDER [--llama-python PYTHON] [--steps N] [--texts N] [--json]

TEXTS is a folder of text files in any languages. For each shape (GPT-2's, Llama's, Qwen2's, Qwen3's) homespun trains a
small model on it, or takes the one that an earlier call left in FOLDER, and writes it as GGUF in every way of storing.
llama.cpp, through llama-cpp-python in the environment of PYTHON (``pip install llama-cpp-python``; it compiles for some
minutes), then continues 20 beginnings of lines from TEXTS greedily by 64 tokens. Shown is how many of these texts are
the same to the last token, and, along the texts that homespun wrote, how far the logits lie apart.

Then both cut texts into tokens: fuzzed ones, and all lines of TEXTS. The last two rows are the patterns that llama.cpp
has no equal split for, with its nearest one.
"""

import argparse
import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from gguf_peers.fuzzed_texts import fuzzed_texts
from measuring import ask_program, exit_with, machine, machine_lines, table, tell

from homespun.common.errors import HomespunError, UsageError
from homespun.inference.engine import Engine
from homespun.inference.load import load_for_inference
from homespun.inference.settings import SamplingConfig
from homespun.interchange.forms import weights_of
from homespun.interchange.gguf import write_gguf
from homespun.interchange.gguf.numbers import NUMBERS
from homespun.interchange.gguf.splits import NEAREST
from homespun.interchange.weights import Weights
from homespun.models.settings import GPTConfig
from homespun.tokenizer.settings import TokenizerConfig
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.training import train_tokenizer

PROMPTS, NEW_TOKENS, LONGEST_PROMPT = 20, 64, 40
SIDE = "gguf_peers.llama_cpp_side"
LIMIT_S = 3600
GREEDY = SamplingConfig(temperature=0)
PLAIN = ["--model.no-query-key-norm"]
SHAPES = {
    "gpt2": ["--config", str(Path(__file__).parents[1] / "recipes" / "gpt2-parts.toml")],
    "llama": ["--tokenizer.pattern", "llama3", *PLAIN, "--model.key-value-heads", "2", "--model.norm-epsilon", "1e-5"],
    "qwen2": ["--tokenizer.pattern", "qwen2", *PLAIN, "--model.query-key-value-biases"],
    "qwen3": ["--tokenizer.pattern", "qwen2", "--model.no-tied-embeddings"],
}
SIZES = [
    *["--tokenizer.vocabulary-size", "2048", "--model.context", "256", "--model.layers", "4", "--model.width", "128"],
    *["--model.heads", "4", "--training.batch-size", "8", "--training.learning-rate", "2e-3"],
]


def train(texts: Path, run: Path, options: list[str], steps: int) -> None:
    """A run folder with a trained model, unless it is there."""
    if (run / "checkpoints").is_dir():
        return
    command = [sys.executable, "-m", "homespun", "train", str(texts), "--out", str(run), *options, *SIZES]
    done = subprocess.run([*command, "--training.steps", str(steps)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise HomespunError(f"training {run.name} failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")


def beginnings(texts: Path, tokenizer: Tokenizer) -> list[list[int]]:
    """Prompts as ``homespun generate`` makes them: the token that divides documents, then the first words of a line."""
    lines = [line for line in lines_of(texts) if len(line) > 200]
    if len(lines) < PROMPTS:
        raise UsageError(f"{texts} has {len(lines)} lines of more than 200 characters; {PROMPTS} are needed")
    chosen = Random(1).sample(lines, PROMPTS)
    return [[tokenizer.end_of_text, *tokenizer.encode(line)[:LONGEST_PROMPT]] for line in chosen]


def lines_of(texts: Path) -> list[str]:
    """All lines of all files that are not blank."""
    files = sorted(path for path in texts.rglob("*") if path.is_file())
    try:
        lines = [line for path in files for line in path.read_text("utf-8").splitlines(keepends=True)]
    except UnicodeDecodeError as error:
        raise UsageError(f"{texts} has a file that is not UTF-8 ({error})") from error
    return [line for line in lines if line.strip()]


def ask(options: argparse.Namespace, **task: Any) -> dict[str, Any]:
    """What llama.cpp answers."""
    empty = {"prompts": [], "forced": [], "texts": [], "context": 256, "new_tokens": NEW_TOKENS}
    return ask_program(SIDE, empty | task, dict(os.environ), options.llama_python, LIMIT_S)


def compare_numbers(options: argparse.Namespace, shape: str, weights: Weights, engine: Engine) -> list[dict[str, Any]]:
    """One record for each way of storing the weights."""
    prompts = beginnings(options.texts_folder, weights.tokenizer)
    ours = [list(islice(engine.tokens(prompt, GREEDY), NEW_TOKENS)) for prompt in prompts]
    length = min(map(len, prompts)) + NEW_TOKENS - 1
    forced = [(prompt + written)[:length] for prompt, written in zip(prompts, ours, strict=True)]
    with torch.inference_mode():
        expected = engine.model(torch.tensor(forced)).double()  # (prompts, T, V)
    records = []
    for number in NUMBERS:
        file = options.work / f"{shape}-{number}.gguf"
        write_gguf(weights, file, number)
        answer = ask(
            options, file=str(file), prompts=prompts, forced=forced, logits_to=str(options.work / "logits.npy"),
            context=weights.config.context,
        )  # fmt: skip
        found = torch.from_numpy(np.load(options.work / "logits.npy")).double()
        told = {"shape": shape, "number": number, "llama_cpp_python": answer["version"]}
        records.append({**told, **differences(ours, answer["written"], expected, found)})
    return records


def differences(
    ours: list[list[int]], theirs: list[list[int]], expected: torch.Tensor, found: torch.Tensor
) -> dict[str, Any]:
    """How much of the written is the same, and how far logits (prompts, T, V) lie apart."""
    log_p, log_q = expected.log_softmax(-1), found.log_softmax(-1)
    return {
        "texts_equal": sum(one == other for one, other in zip(ours, theirs, strict=True)),
        "texts": len(ours),
        "same_likeliest": float((expected.argmax(-1) == found.argmax(-1)).float().mean()),
        "largest_difference": float((expected - found).abs().max()),
        "mean_difference": float((expected - found).abs().mean()),
        "divergence_nats": float((log_p.exp() * (log_p - log_q)).sum(-1).mean()),
    }


def compare_tokens(options: argparse.Namespace, name: str, tokenizer: Tokenizer, file: Path) -> dict[str, Any]:
    """How many texts both cut alike."""
    record: dict[str, Any] = {"tokenizer": name, "pattern": tokenizer.pattern}
    for kind, texts in (("fuzzed", fuzzed_texts(options.texts)), ("lines", lines_of(options.texts_folder))):
        found = ask(options, file=str(file), texts=texts)["tokens"]
        expected = tokenizer.encode_lists(texts)
        equal = [one == other for one, other in zip(expected, found, strict=True)]
        record |= {f"{kind}_equal": sum(equal), kind: len(texts)}
        record[f"{kind}_tokens"] = sum(map(len, found)) / sum(map(len, expected))
    return record


def nearest_split(options: argparse.Namespace, pattern: str) -> dict[str, Any]:
    """The same for a pattern without an equal: a tokenizer learned here, in a file with random weights."""
    settings = TokenizerConfig(vocabulary_size=2048, pattern=pattern)
    tokenizer = train_tokenizer(["".join(lines_of(options.texts_folder))], settings)[0]
    config = GPTConfig(vocabulary_size=tokenizer.vocabulary_size, layers=1, width=32, heads=2)
    from homespun.models.registry import build_model

    file = options.work / f"split-{pattern}.gguf"
    write_gguf(weights_of(build_model(config), tokenizer), file, nearest_split=True)
    return compare_tokens(options, f"nearest to {pattern}: {NEAREST[pattern]}", tokenizer, file)


def show(numbers: list[dict[str, Any]], tokens: list[dict[str, Any]]) -> str:
    """Two tables for people."""
    rows = [
        [
            one["shape"], one["number"], f"{one['texts_equal']}/{one['texts']}", f"{one['same_likeliest']:.2%}",
            f"{one['largest_difference']:.2g}", f"{one['mean_difference']:.2g}", f"{one['divergence_nats']:.2g}",
        ]
        for one in numbers
    ]  # fmt: skip
    header = ["shape", "stored as", "texts equal", "same likeliest", "largest", "mean difference", "nats"]
    cut = [
        [
            one["tokenizer"], one["pattern"],
            *(cell for kind in ("fuzzed", "lines") for cell in (
                f"{one[f'{kind}_equal']:,}/{one[kind]:,}", f"{one[f'{kind}_tokens']:.4f}")),
        ]
        for one in tokens
    ]  # fmt: skip
    parts = [table(header, rows)] if rows else []
    header = ["tokenizer", "pattern", "fuzzed texts equal", "tokens / ours", "lines equal", "tokens / ours"]
    return "\n\n".join([*parts, table(header, cut)])


def main() -> int:
    """Train, write, ask, compare."""
    parser = argparse.ArgumentParser(description="our GGUF files in llama.cpp")
    parser.add_argument("texts_folder", type=Path, metavar="TEXTS", help="a folder of text files")
    parser.add_argument("--work", type=Path, required=True, help="where runs and files go, and are found again")
    parser.add_argument("--llama-python", default=sys.executable, help="a Python that has llama-cpp-python [this one]")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES), help="[all]")
    parser.add_argument("--steps", type=int, default=300, help="steps of training [300]")
    parser.add_argument("--texts", type=int, default=10_000, help="fuzzed texts [10000]")
    parser.add_argument("--json", action="store_true", help="print all figures for programs")
    options = parser.parse_args()
    if not options.texts_folder.is_dir():
        raise UsageError(f"there is no folder {options.texts_folder}")
    options.work.mkdir(parents=True, exist_ok=True)
    facts = machine()
    torch.set_num_threads(1)
    numbers, tokens = [], []
    for shape in options.shapes:
        tell(f"{shape}: training")
        train(options.texts_folder, options.work / shape, SHAPES[shape], options.steps)
        model, tokenizer = load_for_inference(options.work / shape, tell)
        tell(f"{shape}: llama.cpp")
        numbers += compare_numbers(options, shape, weights_of(model, tokenizer), Engine(model))
        tokens.append(compare_tokens(options, shape, tokenizer, options.work / f"{shape}-F32.gguf"))
    for pattern in NEAREST:
        tell(f"{pattern}: the nearest split")
        tokens.append(nearest_split(options, pattern))
    if options.json:
        print(json.dumps({"machine": facts, "numbers": numbers, "tokens": tokens}, indent=1))
    else:
        print("\n".join([*machine_lines(facts), "", show(numbers, tokens)]))
    return 0


if __name__ == "__main__":
    exit_with(main)
