"""RWKV-7 in NumPy, token by token in 64 bits, written from the paper's equations: the oracle of the model.

Peng et al. 2025 (arXiv 2503.14456), section 4. In: a checkpoint under the authors' names, token
ids (T). Out: logits (T, V). It shares nothing with homespun.
"""

import numpy as np

Checkpoint = dict[str, np.ndarray]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def layer_norm(x: np.ndarray, checkpoint: Checkpoint, name: str) -> np.ndarray:
    return (x - x.mean()) / np.sqrt(x.var() + 1e-5) * checkpoint[f"{name}.weight"] + checkpoint[f"{name}.bias"]


def logits_of(checkpoint: Checkpoint, tokens: list[int]) -> np.ndarray:
    """(T, V)."""
    checkpoint = {name: tensor.astype(np.float64) for name, tensor in checkpoint.items()}
    heads, head_width = checkpoint["blocks.0.att.r_k"].shape
    vectors = {name: tensor.reshape(-1) if tensor.ndim == 3 else tensor for name, tensor in checkpoint.items()}
    layers = 1 + max(int(name.split(".")[1]) for name in checkpoint if name.startswith("blocks."))
    width = heads * head_width
    last = np.zeros((layers, 2, width))
    memory = np.zeros((layers, heads, head_width, head_width))
    rows = []
    for token in tokens:
        x = layer_norm(vectors["emb.weight"][token], vectors, "blocks.0.ln0")
        first_value = None
        for layer in range(layers):
            block = f"blocks.{layer}"
            p = {
                name.removeprefix(f"{block}.att."): t for name, t in vectors.items() if name.startswith(f"{block}.att.")
            }
            now = layer_norm(x, vectors, f"{block}.ln1")
            mixed = {letter: now + (last[layer, 0] - now) * p[f"x_{letter}"] for letter in "rwkvag"}
            last[layer, 0] = now
            rate = sigmoid(p["a0"] + mixed["a"] @ p["a1"] @ p["a2"])
            key = p["key.weight"] @ mixed["k"]
            removal = key * p["k_k"]
            replacement = key * (1 + (rate - 1) * p["k_a"])
            value = p["value.weight"] @ mixed["v"]
            if first_value is None:
                first_value = value
            else:
                trust = sigmoid(p["v0"] + mixed["v"] @ p["v1"] @ p["v2"])
                value = value + (first_value - value) * trust
            decay = np.exp(-np.exp(-0.5) * sigmoid(p["w0"] + np.tanh(mixed["w"] @ p["w1"]) @ p["w2"]))
            receptance = p["receptance.weight"] @ mixed["r"]
            gate = sigmoid(mixed["g"] @ p["g1"]) @ p["g2"]
            out = np.zeros(width)
            for head in range(heads):
                part = slice(head * head_width, (head + 1) * head_width)
                unit = removal[part] / max(np.linalg.norm(removal[part]), 1e-12)
                change = np.diag(decay[part]) - np.outer(unit, rate[part] * unit)
                memory[layer, head] = memory[layer, head] @ change + np.outer(value[part], replacement[part])
                read = memory[layer, head] @ receptance[part]
                normal = (read - read.mean()) / np.sqrt(read.var() + 64e-5)
                normal = normal * p["ln_x.weight"][part] + p["ln_x.bias"][part]
                bonus = (receptance[part] * replacement[part] * p["r_k"][head]).sum()
                out[part] = normal + bonus * value[part]
            x = x + p["output.weight"] @ (gate * out)
            now = layer_norm(x, vectors, f"{block}.ln2")
            mixed_key = now + (last[layer, 1] - now) * vectors[f"{block}.ffn.x_k"]
            last[layer, 1] = now
            hidden = np.maximum(vectors[f"{block}.ffn.key.weight"] @ mixed_key, 0) ** 2
            x = x + vectors[f"{block}.ffn.value.weight"] @ hidden
        rows.append(vectors["head.weight"] @ layer_norm(x, vectors, "ln_out"))
    return np.stack(rows)
