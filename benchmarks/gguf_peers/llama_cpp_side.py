"""llama.cpp reads a GGUF file: continues prompts, gives logits, cuts texts into tokens. A task in, a JSON line out.

Needs no homespun, only numpy and llama-cpp-python, so it runs in whatever environment that was built. One thread, keys
and values in float32, no fused attention: what is compared is the file, not the rounding of llama.cpp's defaults.
"""

import json
import sys
from typing import Any

import llama_cpp
import numpy as np

FLOAT32 = 0  # of ggml's types


def open_file(task: dict[str, Any]) -> llama_cpp.Llama:
    """The model, or its tokenizer alone."""
    return llama_cpp.Llama(
        task["file"],
        vocab_only=not task["prompts"],
        n_ctx=task["context"],
        n_threads=1,
        n_threads_batch=1,
        logits_all=True,
        flash_attn=False,
        type_k=FLOAT32,
        type_v=FLOAT32,
        verbose=False,
    )


def logits_of(model: llama_cpp.Llama, ids: list[int]) -> np.ndarray:
    """Logits (T, V) after each of the ids."""
    model.reset()
    model.eval(ids)
    return np.array(model.scores[: len(ids)])


def continue_greedily(model: llama_cpp.Llama, ids: list[int], count: int) -> list[int]:
    """The likeliest token, so many times."""
    token = int(logits_of(model, ids)[-1].argmax())
    written = [token]
    while len(written) < count:
        model.eval([token])
        token = int(model.scores[model.n_tokens - 1].argmax())
        written.append(token)
    return written


def main() -> None:
    """Do what the task on standard input says."""
    task = json.load(sys.stdin)
    model = open_file(task)
    if task["prompts"]:
        np.save(task["logits_to"], np.stack([logits_of(model, ids) for ids in task["forced"]]))
    answer = {
        "written": [continue_greedily(model, ids, task["new_tokens"]) for ids in task["prompts"]],
        "tokens": [model.tokenize(text.encode(), add_bos=False, special=False) for text in task["texts"]],
        "version": llama_cpp.__version__,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
