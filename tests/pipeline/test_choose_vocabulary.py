"""The vocabulary's size: counted as if each were learned, larger with more compute, and told with its reason."""

import functools
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.common.progress import Silent
from homespun.corpus.prepare import CorpusManifest, iterate_texts, prepare
from homespun.corpus.settings import CorpusConfig
from homespun.models.arithmetic import parameter_count, training_flops_per_token
from homespun.models.settings import GPTConfig, LSTMConfig, TextModelConfig
from homespun.pipeline import prepare_text
from homespun.pipeline.configuration import Choices, configure
from homespun.pipeline.planning import choose_vocabulary as choosing
from homespun.pipeline.planning.facts_by_vocabulary import facts_by_vocabulary
from homespun.pipeline.planning.facts_of_data import text_facts
from homespun.pipeline.run_folder import create_run
from homespun.pipeline.settled import Clock
from homespun.tokenizer.settings import TokenizerConfig
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.tokenizer.training import train_tokenizer
from homespun.training.budget import Machine, Situation, TextFacts
from homespun.training.dial import Dial
from homespun.training.execution import Execution
from homespun.training.machine import Speed
from homespun.training.settings import TrainingConfig

CPU = torch.device("cpu")
# 16.5 MB of English: bytes per token and unigram loss, as counted by ``facts_by_vocabulary``.
ENGLISH = {512: (1.856, 5.911), 1024: (2.267, 6.740), 2048: (2.624, 7.512), 4096: (2.965, 7.990),
           8192: (3.299, 8.417), 16384: (3.570, 8.728), 32768: (3.791, 8.949)}  # fmt: skip
FACTS = {size: TextFacts(16_500_000, 167_000, *one, gzip_bits_per_byte=2.83) for size, one in ENGLISH.items()}


def machine(operations: float) -> Machine:
    """One that carries out so many in a second, whatever the shape."""
    speeds = (Speed(Execution("fp32"), flops, operations / flops) for flops in (1e6, 1e10))
    return Machine(Execution("fp32"), tuple(speeds))


def situation(operations: float, seconds: float = 300.0, **model: Any) -> Situation:
    config = GPTConfig(vocabulary_size=4096, **model)
    fixed = frozenset(f"model.{key}" for key in model)
    return Situation(FACTS[4096], config, TrainingConfig(), fixed, machine(operations), seconds, memory=64 << 30)


def chosen(case: Situation, dial: Dial = Dial(minutes=5)) -> int:
    return choosing.smallest_of_best(choosing.bits_with_best_shapes(case, dial, FACTS))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a megabyte of made-up words, some with vowel signs, frequent and rare ones."""
    folder, dice = tmp_path_factory.mktemp("made-up"), random.Random(0)
    letters = [*"abcdefghijklmnopqrstuvwxyz", "কি", "খা"]
    words = ["".join(dice.choices(letters, k=dice.randint(2, 9))) for _ in range(3000)]
    chances = [1 / (place + 1) for place in range(len(words))]
    for number in range(10):
        (folder / f"{number}.txt").write_text(" ".join(dice.choices(words, chances, k=8000)) + ".", "utf-8")
    prepare([str(folder)], folder / "corpus", CorpusConfig(validation_fraction=0.1), lambda _: None)
    return folder / "corpus"


def test_every_size_is_counted_as_if_the_vocabulary_had_been_cut_there(corpus: Path) -> None:
    manifest, texts = CorpusManifest.load(corpus), functools.partial(iterate_texts, corpus)
    whole, _ = train_tokenizer(texts("train"), TokenizerConfig(vocabulary_size=1024))
    sizes = [512, 700, 1024, 5000]
    found = facts_by_vocabulary(manifest, whole, texts, sizes)
    assert sorted(found) == [512, 700, 1024]
    for size, facts in found.items():
        cut = Tokenizer(whole.pattern, whole.merges[: len(whole.merges) - (1024 - size)])
        wanted = text_facts(manifest, cut, texts)
        assert facts == replace(wanted, unigram_loss=facts.unigram_loss)
        assert facts.unigram_loss == pytest.approx(wanted.unigram_loss, rel=1e-3)  # half counts of special tokens


def test_more_compute_asks_for_more_tokens() -> None:
    by_speed = [chosen(situation(operations)) for operations in (1e9, 1e11, 1e12, 1e14)]
    assert by_speed == sorted(by_speed) and by_speed[0] < by_speed[1] < by_speed[3]
    by_time = [chosen(situation(6e10, seconds)) for seconds in (30, 300, 3000, 30_000)]
    assert by_time == sorted(by_time) and by_time[0] < by_time[-1]


def test_three_quarters_of_an_hour_on_one_core_do_not_go_into_logits() -> None:
    size = chosen(situation(6e10, 2700.0))
    assert 2048 <= size <= 8192  # 16,384 were chosen once, at width 64


def test_a_larger_shape_that_the_user_has_set_carries_more_tokens() -> None:
    narrow, wide = ({"width": width, "layers": layers, "heads": width // 64} for width, layers in ((64, 2), (512, 8)))
    assert chosen(situation(1e12, **narrow)) < chosen(situation(1e12, **wide))


def test_tokens_and_size_are_compared_in_equal_time() -> None:
    few, many = (chosen(situation(6e10), Dial(tokens=tokens)) for tokens in (200_000, 500_000_000))
    assert few < many
    case, dial = situation(6e10), Dial(parameters=200_000)
    bits = choosing.bits_with_best_shapes(case, dial, FACTS)
    assert max(bits) < 32_768  # whose embeddings alone are two million
    smallest = GPTConfig(vocabulary_size=choosing.smallest_of_best(bits), width=64, layers=2, heads=1)
    assert parameter_count(smallest) < 1.5 * 200_000


def test_a_shape_without_a_ladder_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(model: TextModelConfig, rows: int, way: Execution, *others: object) -> Speed:
        flops = training_flops_per_token(model)
        return Speed(way, flops, 5e10 / flops)

    monkeypatch.setattr(choosing, "measure_step", measured)
    sizes = {}
    for width in (64, 512):
        choices = Choices(replace(configure({}), model=LSTMConfig(vocabulary_size=4096, width=width)), {})
        bits = choosing.bits_with_given_shape(choices, Dial(minutes=30), FACTS, CPU, 1800.0)
        sizes[width] = choosing.smallest_of_best(bits)
    assert sizes[64] < 32_768 and sizes[64] <= sizes[512]


@pytest.mark.parametrize(
    ("train_bytes", "special", "sizes"),
    [(1000, (), [512]), (400_000, (), [512, 1024]), (380_000, (), [512]), (800_000, (), [2048]),
     (10**9, (), [2048, 4096, 8192, 16_384, 32_768]),
     (1000, tuple(f"<|{number}|>" for number in range(300)), [1024])],
)  # fmt: skip
def test_a_text_carries_one_token_for_every_500_bytes(
    train_bytes: int, special: tuple[str, ...], sizes: list[int]
) -> None:
    assert choosing.sizes_for(train_bytes, TokenizerConfig(4096, special_tokens=special)) == sizes


def test_the_choice_says_why(corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    manifest, texts = CorpusManifest.load(corpus), functools.partial(iterate_texts, corpus)
    slow = machine(1e9)
    monkeypatch.setattr(choosing, "measured_machine", lambda choices, device: slow)
    found = choosing.choose_vocabulary(Choices(configure({}), {}), Dial(minutes=1), manifest, texts, CPU, 5.0)
    assert found.size in (512, 1024) and found.machine is slow
    assert found.why.startswith("expected ") and "bits per byte" in found.why
    assert ("no more" in found.why) == (found.size == 1024)


def test_it_is_chosen_once_for_a_run(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was stopped after it, before its tokenizer was there, measures nothing again and chooses the same."""
    run, manifest = create_run(tmp_path / "run", ["text"], Dial(minutes=1), [], {}, {}), CorpusManifest.load(corpus)
    answers = iter([choosing.Chosen(1024, "because", machine(1e9))])
    monkeypatch.setattr(prepare_text, "choose_vocabulary", lambda *others: next(answers))
    texts, choices = functools.partial(iterate_texts, corpus), Choices(configure({}), {})
    for measured in (True, False):
        found, known = prepare_text.vocabulary_stage(
            run, choices, Dial(minutes=1), manifest, texts, Clock(run), Silent()
        )
        assert found.config.tokenizer.vocabulary_size == 1024
        assert found.origins["tokenizer.vocabulary_size"] == "plan"
        assert (known is not None) == measured
