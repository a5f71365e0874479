"""Question: how fast is the cached engine beside naive generation, and beside transformers with the same weights?

    python benchmarks/generation.py [--tokens N] [--repeats N] [--json]

One model of the default shape with random weights (speed does not depend on what they are), one prompt,
greedy: after one run to warm up, ``Engine``, ``generate_naively`` and, where it is installed (it is among
the ``dev`` extras), transformers' ``generate`` with the same weights in its Qwen3, in turn. All must write
the same tokens, or the benchmark fails. Time includes reading the prompt. fp32, one thread per core.
"""

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from itertools import islice
from typing import Any

import torch
from measuring import cores, exit_with, in_turn, machine, machine_lines, medians, table

from homespun.common.errors import HomespunError, UsageError
from homespun.inference.engine import Engine
from homespun.inference.naive import generate_naively
from homespun.inference.settings import SamplingConfig
from homespun.models.gpt import GPT
from homespun.models.registry import build_model
from homespun.models.settings import GPTConfig

ENGINE, NAIVE, PEER = "homespun Engine (cached)", "homespun generate_naively", "transformers generate (cached)"
PROMPT_TOKENS = 16
SEED = 1
GREEDY = SamplingConfig(temperature=0)

Generator = Callable[[], list[int]]


def peer_model(model: GPT) -> Any:
    """transformers' Qwen3 with the weights of ``model``."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = model.config
    peer = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=config.vocabulary_size,
            hidden_size=config.width,
            intermediate_size=config.hidden_width,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.count_of_key_value_heads,
            head_dim=config.width_of_head,
            max_position_embeddings=config.context,
            rope_parameters={"rope_type": "default", "rope_theta": config.rotary_base},
            rms_norm_eps=config.norm_epsilon,
            tie_word_embeddings=config.tied_embeddings,
            bos_token_id=None,
            eos_token_id=None,
            pad_token_id=0,
        )
    )
    peer.load_state_dict(peer_weights(model))
    return peer.eval()


def peer_weights(model: GPT) -> dict[str, torch.Tensor]:
    """The weights under transformers' names; joined matrices are cut where it has several."""
    config = model.config
    queries = config.heads * config.width_of_head
    keys = config.count_of_key_value_heads * config.width_of_head
    embedding = model.token_embedding.weight
    weights = {
        "model.embed_tokens.weight": embedding,
        "lm_head.weight": embedding,
        "model.norm.weight": model.final_norm.weight,
    }
    for index, block in enumerate(model.blocks):
        ours, theirs = dict(block.named_parameters()), f"model.layers.{index}."
        query, key, value = ours["attention.query_key_value.weight"].split([queries, keys, keys])
        gate, path = ours["feedforward.gate_and_widen.weight"].chunk(2)
        weights |= {
            theirs + "self_attn.q_proj.weight": query,
            theirs + "self_attn.k_proj.weight": key,
            theirs + "self_attn.v_proj.weight": value,
            theirs + "self_attn.o_proj.weight": ours["attention.output.weight"],
            theirs + "self_attn.q_norm.weight": ours["attention.query_norm.weight"],
            theirs + "self_attn.k_norm.weight": ours["attention.key_norm.weight"],
            theirs + "input_layernorm.weight": ours["attention_norm.weight"],
            theirs + "post_attention_layernorm.weight": ours["feedforward_norm.weight"],
            theirs + "mlp.gate_proj.weight": gate,
            theirs + "mlp.up_proj.weight": path,
            theirs + "mlp.down_proj.weight": ours["feedforward.output.weight"],
        }
    return weights


def generators(model: GPT, prompt: list[int], count: int) -> dict[str, Generator]:
    """Everything that continues ``prompt`` by ``count`` tokens."""
    engine = Engine(model)
    found: dict[str, Generator] = {
        ENGINE: lambda: list(islice(engine.tokens(prompt, GREEDY), count)),
        NAIVE: lambda: list(islice(generate_naively(model, prompt, GREEDY), count)),
    }
    if importlib.util.find_spec("transformers"):
        peer, ids = peer_model(model), torch.tensor([prompt])

        def generate() -> list[int]:
            with torch.inference_mode():
                out = peer.generate(
                    ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False, use_cache=True
                )
            return out[0, len(prompt) :].tolist()

        found[PEER] = generate
    return found


def check_same_tokens(found: dict[str, Generator]) -> None:
    """All write what the engine writes; this run also warms everything up."""
    expected = found[ENGINE]()
    for name, generate in found.items():
        tokens = generate()
        if tokens != expected:
            pairs = enumerate(zip(tokens, expected, strict=False))
            at = next((place for place, (one, other) in pairs if one != other), min(len(tokens), len(expected)))
            raise HomespunError(f"{name} writes other tokens than {ENGINE} from new token {at} on")


def timed(generate: Generator) -> float:
    """Seconds of one call."""
    started = time.perf_counter()
    generate()
    return time.perf_counter() - started


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="tokens/s of cached, naive and transformers' generation")
    parser.add_argument("--tokens", type=int, default=128, help="new tokens [128]")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each, in turn [5]")
    parser.add_argument("--json", action="store_true", help="print all figures for programs")
    options = parser.parse_args()
    config = GPTConfig()
    room = config.context - PROMPT_TOKENS
    if not 1 <= options.tokens <= room or options.repeats < 1:
        raise UsageError(f"--tokens must be between 1 and {room}, and --repeats at least 1")
    facts = machine()
    torch.set_num_threads(cores())
    torch.manual_seed(SEED)
    model = build_model(config).eval()
    prompt = torch.randint(0, config.vocabulary_size, (PROMPT_TOKENS,)).tolist()
    found = generators(model, prompt, options.tokens)
    check_same_tokens(found)
    contenders = {name: lambda generate=generate: timed(generate) for name, generate in found.items()}
    seconds = in_turn(contenders, options.repeats)
    speeds = {name: options.tokens / middle for name, middle in medians(seconds).items()}
    ratios = {name: speeds[ENGINE] / speed for name, speed in speeds.items()}
    if options.json:
        record = {
            "machine": facts, "new_tokens": options.tokens, "seconds": seconds,
            "tokens_per_second": speeds, "engine_is_faster_by": ratios,
        }  # fmt: skip
        print(json.dumps(record, indent=1))
        return 0
    print("\n".join(machine_lines(facts)))
    print(
        f"{options.tokens} new tokens after {PROMPT_TOKENS}, greedy, the same from all; median of {options.repeats}\n"
    )
    rows = [[name, f"{speed:,.0f}", f"{ratios[name]:.2f}"] for name, speed in speeds.items()]
    print(table(["", "tokens/s", "engine / this"], rows))
    if PEER not in speeds:
        print("\ntransformers is not installed (pip install 'homespun[dev]'): not compared")
    return 0


if __name__ == "__main__":
    exit_with(main)
