"""Several prompts at once write what each writes alone, whatever the model, the rules, the lengths and the stops."""

from typing import Any

import pytest
import torch

from homespun.inference.answer import answers, chat_ids, prompt_ids
from homespun.inference.engine import Engine
from homespun.inference.settings import SamplingConfig
from homespun.inference.several import MOST_LONGER, TEXTS_AT_ONCE, groups_of, texts_at_once, write_several
from homespun.inference.stream import stream_ids
from homespun.models.registry import build_model
from homespun.models.settings import SETTINGS, GPTConfig
from homespun.tokenizer.chat import with_chat
from homespun.tokenizer.tokenizer import Tokenizer

TOKENIZER = with_chat(Tokenizer("homespun", [(ord("a"), ord("b")), (0xE0, 0xA6)]))
CONTEXT = 16
MODELS: dict[str, dict[str, Any]] = {
    "gpt": {"heads": 4, "key_value_heads": 2},
    "gpt, learned positions": {"heads": 4, "positions": "learned", "normalization": "layer", "biases": True,
                               "feedforward": "gelu"},
    "gpt, banded": {"heads": 4, "window": 5},
    "gpt, experts": {"heads": 4, "experts": 4, "experts_per_token": 2, "expert_width": 16},
    "lstm": {},
    "rwkv": {"head_width": 16},
}  # fmt: skip
RULES = {
    "greedy": SamplingConfig(temperature=0.0, maximum_tokens=18),
    "sampled": SamplingConfig(temperature=1.5, min_p=0.0, seed=3, maximum_tokens=14),
    "stops": SamplingConfig(temperature=3.0, min_p=0.0, seed=5, maximum_tokens=24, stop=("b", "aab", "\ufffd\ufffd")),
}
LENGTHS = [1, 4, 4, 15, 16, 17, 30, 50]


def engine_of(name: str) -> Engine:
    torch.manual_seed(1)
    sizes = {"vocabulary_size": TOKENIZER.vocabulary_size, "context": CONTEXT, "layers": 2, "width": 32}
    model = build_model(SETTINGS[name.partition(",")[0]](**sizes, **MODELS[name]))
    with torch.no_grad():  # large weights, for its opinions to differ
        for parameter in model.parameters():
            if parameter.dim() >= 2:
                parameter.mul_(3.0)
    return Engine(model)


def prompts_of(lengths: list[int]) -> list[list[int]]:
    generator = torch.Generator().manual_seed(9)
    return [torch.randint(250, (length,), generator=generator).tolist() for length in lengths]


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("rules", RULES)
def test_together_they_write_what_each_writes_alone(name: str, rules: str, monkeypatch: pytest.MonkeyPatch) -> None:
    engine, prompts, config = engine_of(name), prompts_of(LENGTHS), RULES[rules]
    last = {TOKENIZER.end_of_text, *range(30, 60)}  # some end soon
    alone = ["".join(stream_ids(engine, TOKENIZER, prompt, last, config)) for prompt in prompts]
    assert len(set(alone)) > 2
    kept, told = [list(prompt) for prompt in prompts], []
    for most in (3, 32):
        monkeypatch.setattr("homespun.inference.several.TEXTS_AT_ONCE", most)
        assert write_several(engine, TOKENIZER, prompts, last, config, told.append) == alone
    assert prompts == kept and sum(told) == 2 * len(prompts)


def test_no_prompts_are_no_texts() -> None:
    assert write_several(engine_of("gpt"), TOKENIZER, [], {0}, RULES["greedy"]) == []


def test_each_step_is_one_call_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, shapes = engine_of("gpt"), []
    hidden = engine.model.hidden
    monkeypatch.setattr(
        engine.model, "hidden", lambda tokens, cache: shapes.append(tuple(tokens.shape)) or hidden(tokens, cache)
    )
    write_several(engine, TOKENIZER, prompts_of([3, 5, 4]), set(), SamplingConfig(temperature=0, maximum_tokens=4))
    assert shapes == [(3, 3), (3, 1), (3, 1), (3, 1), (2, 1), (1, 1)]


def test_groups_are_of_like_length_and_fit_into_memory() -> None:
    lengths = [5, 400, 6, 5, 40, 7, 401]
    assert list(groups_of(lengths, 3)) == [[0, 3, 2], [5], [4], [1, 6]]
    assert 7 + MOST_LONGER < 40 and texts_at_once(GPTConfig()) == TEXTS_AT_ONCE
    large = GPTConfig(context=8192, layers=32, width=4096, heads=32)
    assert texts_at_once(large) == 1


def test_answers_are_those_of_each_conversation_alone() -> None:
    engine = engine_of("gpt")
    asked = [[("user", "a" * length)] for length in (1, 5, 60)]
    asked.append([("system", "b"), ("user", "c"), ("assistant", "d"), ("user", "e")])
    config, last = SamplingConfig(temperature=1.0, min_p=0.0, maximum_tokens=6), set(TOKENIZER.special_tokens.values())
    ids = [prompt_ids(engine, TOKENIZER, one, config) for one in asked]
    alone = ["".join(stream_ids(engine, TOKENIZER, one, last, config)).strip() for one in ids]
    assert answers(engine, TOKENIZER, asked, config) == alone


def test_a_question_that_fits_is_left_whole_in_a_chat() -> None:
    torch.manual_seed(1)
    engine = Engine(build_model(GPTConfig(vocabulary_size=TOKENIZER.vocabulary_size, context=64, layers=1, width=32)))
    config, asked = SamplingConfig(maximum_tokens=40), {length: [("user", "x" * length)] for length in (30, 90)}
    whole, cropped = (chat_ids(engine, TOKENIZER, one, config) for one in asked.values())
    assert TOKENIZER.decode(whole).count("x") == 30 and len(whole) < 64
    assert cropped == prompt_ids(engine, TOKENIZER, asked[90], config) and len(cropped) == 64 - 32
    assert TOKENIZER.decode(cropped).startswith("<|im_start|>user\nxx") and "xx<|im_end|>" in TOKENIZER.decode(cropped)
