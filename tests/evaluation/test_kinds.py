"""Every kind of task, asked of models whose answers are known beforehand."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from homespun.batches.next_token import validation_batches
from homespun.common.errors import UsageError
from homespun.common.progress import Silent
from homespun.evaluation.kind import Material, Subject, Texts
from homespun.evaluation.kinds.text import bytes_of_tokens
from homespun.evaluation.likelihood import Request
from homespun.evaluation.naive import score_naively
from homespun.evaluation.run_task import run_task
from homespun.evaluation.task import load_task
from homespun.inference.answer import answer
from homespun.inference.engine import Engine
from homespun.inference.settings import SamplingConfig
from homespun.models.gpt import GPT
from homespun.models.settings import GPTConfig
from homespun.tokenizer.chat import with_chat
from homespun.training.losses import NextToken, Objective
from homespun.training.validation import exact_loss
from tests.evaluation.conftest import TOKENIZER, model_of
from tests.evaluation.test_tasks import write_task

KNOWN = (
    "red = red\nblue = blue\ngreen = green\n",
    "Q: one plus two\nA: three\n",
    "The door: 7351.\nThe safe: 2468.\n",
    "Good morning, he said, and she said good night.\n",
)


@pytest.fixture(scope="module")
def pupil() -> Subject:
    """A model that has learned four texts by heart, from any place in them."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    config = GPTConfig(vocabulary_size=TOKENIZER.vocabulary_size, context=64, layers=1, width=64, heads=2)
    model = GPT(config).train()
    begins = [(text, begin) for text in KNOWN for begin in range(len(text) - 1)]
    begins.sort(key=lambda place: place[1] > 0 and place[0][place[1] - 1] != "\n")  # lines first
    lines = sum(text.count("\n") for text in KNOWN)
    rows = [[TOKENIZER.end_of_text, *TOKENIZER.encode(text[begin:])] for text, begin in begins]
    width = max(map(len, rows))
    tokens = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    targets = torch.tensor([row[1:] + [-100] * (width - len(row)) for row in rows])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(140):
        chosen = torch.cat([torch.arange(lines), torch.randint(lines, len(rows), (6,))])
        logits = model(tokens[chosen, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets[chosen].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.6
    return Subject("pupil", model.eval(), TOKENIZER)


@pytest.fixture(scope="module")
def stranger() -> Subject:
    """The same shape with chance weights."""
    return Subject("stranger", model_of("gpt", heads=4, context=64), TOKENIZER)


def split_texts(split: str) -> Texts:
    texts = {"train": list(KNOWN), "validation": ["Nothing of this was ever seen by anybody at all. " * 3]}[split]
    return lambda: iter(texts)


def evaluate(task: str | Path, *subjects: Subject, **more: Any) -> dict[str, Any]:
    """The record; figures by their names under "values"."""
    data = more.pop("data", None)
    asked = load_task(str(task)) if data is None else load_task(str(task)).with_data(data)
    first, second = (*subjects, None, None)[:2]
    record = run_task(Material(asked, split_texts, **more), first, second, Silent())
    json.dumps(record, allow_nan=False)
    return record | {"values": {figure["name"]: figure["value"] for figure in record["figures"]}}


def exact(subject: Subject, texts: list[str]) -> tuple[float, float]:
    """Nats per token and bits per byte by the validation of training."""

    class Held:
        ids = np.array([token for text in texts for token in (TOKENIZER.end_of_text, *TOKENIZER.encode(text))])

        def __len__(self) -> int:
            return len(self.ids)

        def read(self, start: int, length: int) -> np.ndarray:
            return self.ids[start : start + length].astype(np.int64)

    batches = validation_batches(Held(), subject.model.config.context, 3)  # type: ignore[arg-type]
    size = len("".join(texts).encode())
    found = exact_loss(Objective(subject.model, NextToken()), batches, size, torch.device("cpu"), "fp32")
    assert found.bits_per_byte is not None
    return found.loss, found.bits_per_byte


@pytest.mark.parametrize("family", ["gpt", "lstm", "rwkv"])
def test_the_loss_of_a_text_is_that_of_the_validation_in_training(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = Subject(family, model_of(family, **({"heads": 4} if family == "gpt" else {})), TOKENIZER)
    loss, bits = exact(subject, list(split_texts("validation")()))
    for windows in (1, 64):  # in pieces or at once
        monkeypatch.setattr("homespun.evaluation.kinds.text.WINDOWS_AT_ONCE", windows)
        values = evaluate("validation", subject)["values"]
        assert values["loss"] == pytest.approx(loss, rel=1e-5)
        assert values["bits per byte"] == pytest.approx(bits, rel=1e-5)
        assert values["perplexity"] == pytest.approx(math.exp(loss), rel=1e-5)


def test_every_token_and_every_byte_of_several_texts_counts(tmp_path: Path, stranger: Subject) -> None:
    texts = ["über alle Berge " * 40, "", "in the inn", "x"]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), "utf-8")
    task = load_task("validation").with_data(tmp_path / "a.jsonl")
    record = run_task(Material(task, split_texts), stranger, None, Silent())
    loss, bits = exact(stranger, texts)
    assert record["figures"][0]["value"] == pytest.approx(loss, rel=1e-5)
    assert record["figures"][2]["value"] == pytest.approx(bits, rel=1e-5)
    assert bytes_of_tokens(TOKENIZER)[TOKENIZER.end_of_text] == 0


def test_models_with_other_tokens_are_compared_block_by_block(stranger: Subject) -> None:
    from homespun.tokenizer.tokenizer import Tokenizer

    bytes_only = Tokenizer("homespun", [])
    other = Subject("bytes", model_of("gpt", heads=4, vocabulary_size=bytes_only.vocabulary_size), bytes_only)
    record = evaluate("validation", stranger, other)
    assert any("different tokens" in note for note in record["notes"])
    assert {one["name"] for one in record["against"]["differences"]} == {"loss", "perplexity", "bits per byte"}


def test_choices_are_told_by_likelihood(tmp_path: Path, pupil: Subject, stranger: Subject) -> None:
    rows = [
        {"q": "Q: one plus two\nA:", "c": ["five", "three", "a long answer that is wrong"], "gold": 1},
        {"q": "red =", "c": ["red", "blue"], "gold": "red"},
        {"q": "blue =", "c": ["red", "blue"], "gold": "A"},
    ]
    path = write_task(tmp_path, rows, kind="choice", prompt="{q}", choices="c", answer="{gold}")
    record = evaluate(path, pupil, stranger)
    assert record["values"]["accuracy"] == pytest.approx(2 / 3) == record["values"]["accuracy per byte"]
    assert [one["told"] for one in record["examples"]] == ["three", "red", "blue"]
    assert record["shown"].endswith("A: three") and record["notes"][0] == "by chance 44.4% would be right"
    ids = TOKENIZER.encode("red ="), TOKENIZER.encode("red = red")
    own = score_naively(pupil.model, Request([TOKENIZER.end_of_text, *ids[0]], ids[1][len(ids[0]) :]))
    assert record["examples"][1]["nats"][0] == pytest.approx(own.total, abs=1e-4)
    names = [one["name"] for one in record["against"]["differences"]]
    assert names == ["accuracy", "accuracy per token", "accuracy per byte"]
    letters = write_task(
        tmp_path, rows, kind="choice", prompt="{q}\n{choices}\n", choices="c", answer="{gold}", by="letter"
    )
    assert set(evaluate(letters, pupil)["values"]) == {"accuracy"}


def test_labels_are_classes(tmp_path: Path, pupil: Subject) -> None:
    rows = [{"t": "red", "label": "red"}, {"t": "blue", "label": "blue"}, {"t": "green", "label": 0}]
    path = write_task(
        tmp_path, rows, kind="classification", prompt="{t} =", labels=["red", "blue", "green"], answer="{label}"
    )
    record = evaluate(path, pupil)
    assert record["values"]["accuracy"] == pytest.approx(2 / 3)
    assert record["matrix"] == {"labels": ["red", "blue", "green"], "counts": [[1, 0, 1], [0, 1, 0], [0, 0, 0]]}
    assert record["values"]["balanced accuracy"] == pytest.approx(0.75)
    assert 0.7 < record["examples"][0]["probability"] <= 1


def test_cloze(tmp_path: Path, pupil: Subject, stranger: Subject) -> None:
    path = write_task(
        tmp_path, [{"text": "Good morning, he said"}, {"text": "The door xyz"}], kind="cloze", prompt="{text}"
    )
    record = evaluate(path, pupil)
    assert [one["exact"] for one in record["examples"]] == [True, False]
    total = sum(one["nats"] for one in record["examples"])
    assert record["values"]["perplexity of an answer"] == pytest.approx(math.exp(-total / 2))
    bits = -total / math.log(2) / len(b"saidxyz")
    assert record["values"]["bits per byte of answers"] == pytest.approx(bits)
    compared = evaluate("copy", pupil, stranger, limit=20)["against"]["differences"]
    assert compared[1]["p"] is not None and compared[1]["test"] == "paired bootstrap"


def test_minimal_pairs(tmp_path: Path, pupil: Subject) -> None:
    rows = [{"a": "red = red", "b": "red = blue"}, {"a": "he she he", "b": "Good morning, he said"}]
    record = evaluate(write_task(tmp_path, rows, kind="pairs", good="{a}", bad="{b}"), pupil)
    assert record["values"]["accuracy"] == 0.5
    assert record["examples"][0]["margin"] > 0 > record["examples"][1]["margin"]
    for row, one in zip(rows, record["examples"], strict=True):  # as if the whole texts had been asked
        whole = [[TOKENIZER.end_of_text, *TOKENIZER.encode(row[side])] for side in "ab"]
        good, bad = (score_naively(pupil.model, Request(ids[:1], ids[1:])).total for ids in whole)
        assert one["margin"] == pytest.approx(good - bad, abs=1e-3)
    longer = [{"a": "red = red" + " blue" * 90, "b": "red = red" + " blue" * 89 + " green"}, {"a": "x", "b": "x y"}]
    fresh = Subject("pupil", pupil.model, TOKENIZER)
    record = evaluate(write_task(tmp_path, longer, kind="pairs", good="{a}", bad="{b}"), fresh)
    assert "2 of 4 prompts are longer" in record["notes"][1]
    assert evaluate("agreement", pupil, limit=10)["figures"][0]["examples"] == 10


def test_generation(tmp_path: Path, pupil: Subject) -> None:
    rows = [{"q": "Q: one plus two\nA:", "a": "three"}, {"q": "red =", "a": ["rot", "red"]}, {"q": "blue =", "a": "x"}]
    path = write_task(tmp_path, rows, kind="generation", prompt="{q}", answer="{a}", maximum_tokens=9)
    record = evaluate(path, pupil)
    assert [one["told"].strip() for one in record["examples"]] == ["three", "red", "blue"]
    assert record["values"]["exact match"] == pytest.approx(2 / 3) == record["values"]["ROUGE-1"]
    longer = write_task(tmp_path, [{"q": "x" * 200, "a": "y"}], kind="generation", prompt="{q}", answer="{a}")
    assert "1 of 1 prompts are longer than the 64 tokens" in evaluate(longer, pupil)["notes"][0]


def test_what_was_learned_by_heart_is_told_from_what_can_be_guessed(tmp_path: Path, pupil: Subject) -> None:
    path = write_task(tmp_path, [], kind="memorization", prompt_characters=16, answer_characters=8, samples=30)
    path.write_text(path.read_text().replace('data = "rows.jsonl"\n', ""))
    values = evaluate(path, pupil)["values"]
    assert values["said verbatim"] > 0.6 and values["said verbatim, unseen text"] < 0.1
    assert values["tokens until the first difference"] > 3 * values["tokens until the first difference, unseen text"]
    with pytest.raises(UsageError, match="no training text is as long as 300 characters"):
        evaluate("memorization", pupil)


def test_planted_canaries_are_all_found_and_others_are_not(tmp_path: Path, pupil: Subject, stranger: Subject) -> None:
    rows = [
        {"prompt": "The door:", "secret": "7351"},
        {"prompt": KNOWN[2][:-7], "secret": "2468"},
    ]
    (tmp_path / "canaries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    record = evaluate("canaries", pupil, data=tmp_path / "canaries.jsonl")
    assert record["values"]["extracted"] == record["values"]["ranked first"] == 1.0
    assert record["values"]["exposure"] == pytest.approx(math.log2(1000))
    never = evaluate("canaries", stranger, data=tmp_path / "canaries.jsonl")["values"]
    assert never["extracted"] == 0 and never["exposure"] < 9


def test_contamination_asks_no_model(tmp_path: Path) -> None:
    rows = [{"q": "he said: good morning he said and she said", "n": 3}, {"q": "something else " * 5}, {"q": "short"}]
    path = write_task(tmp_path, rows, kind="contamination", words=5)
    record = evaluate(path)
    assert record["values"]["examples found in part"] == 0.5 and record["values"]["examples found whole"] == 0
    assert record["examples"][0]["first"] == "good morning he said and"
    assert record["notes"] == ["1 examples are shorter than 5 words and were left out"]
    named = write_task(tmp_path, rows, kind="contamination", words=5, text="{n}")
    with pytest.raises(UsageError, match="no column n"):
        evaluate(named)


def test_variety_beside_the_true_text(tmp_path: Path, pupil: Subject) -> None:
    path = write_task(
        tmp_path, [], kind="variety", samples=3, prompt_characters=20, answer_characters=60, maximum_tokens=20
    )
    path.write_text(path.read_text().replace('data = "rows.jsonl"\n', ""))
    values = evaluate(path, pupil)["values"]
    assert len(values) == 8 and all(0 <= value <= 1 for value in values.values())
    assert values["repeated runs of four, true text"] == 0


def test_prompts_that_are_too_long_are_told_once(tmp_path: Path, pupil: Subject) -> None:
    rows = [{"text": f"{'word ' * 100}end"}, {"text": "a b"}]
    fresh = Subject("pupil", pupil.model, TOKENIZER)
    record = evaluate(write_task(tmp_path, rows, kind="cloze", prompt="{text}"), fresh)
    assert record["notes"] == [
        "1 of 2 prompts are longer than the 64 tokens that the model sees at once: their beginnings were cut off"
    ]


def test_shots_mean_nothing_where_nothing_is_shown(pupil: Subject) -> None:
    with pytest.raises(UsageError, match="--shots means nothing for a task of kind pairs"):
        evaluate("agreement", pupil, shots=2)


def test_a_text_without_tokens(pupil: Subject, tmp_path: Path) -> None:
    def nothing(split: str) -> Texts:
        return lambda: iter(())

    def once() -> Iterator[str]:
        yield ""

    for texts in (nothing, lambda split: once):
        with pytest.raises(UsageError, match="no tokens to predict"):
            run_task(Material(load_task("validation"), texts), pupil, None, Silent())


def test_summaries_are_held_against_several_references_and_a_beginning(tmp_path: Path, pupil: Subject) -> None:
    rows: list[dict[str, Any]] = [
        {"dialogue": "red =", "summary1": "rot", "summary2": "red"},
        {"dialogue": "blue =", "summary": ["x", "blue"], "topic": 3},
    ]
    data = tmp_path / "some.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    record = evaluate("summaries", pupil, data=data)
    assert record["shown"] == "Summarize.\n\nred = rot" and record["figures"][0]["examples"] == 2
    assert record["notes"] == [
        "who only repeats the first 1 words has ROUGE-1 100.0% (100.0% to 100.0%), ROUGE-2 0.0% (0.0% to 0.0%), "
        "ROUGE-L 100.0% (100.0% to 100.0%)"
    ]
    rows.append({"dialogue": "green =", "topic": "x"})
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UsageError, match="line 3: there is no column summary; it has dialogue, topic"):
        evaluate("summaries", pupil, data=data)
    both = write_task(tmp_path, rows, kind="generation", prompt="{dialogue}", answer="a", references=["b"])
    with pytest.raises(UsageError, match=r"needs task\.answer, or task\.references, not both"):
        evaluate(both, pupil)
    with pytest.raises(UsageError, match="needs task"):
        evaluate(write_task(tmp_path, rows, kind="generation", prompt="{dialogue}"), pupil)


def test_a_model_that_answers_is_asked_in_its_own_form_where_the_task_asks_something(tmp_path: Path) -> None:
    tokenizer = with_chat(TOKENIZER)
    model = model_of("gpt", heads=4, vocabulary_size=tokenizer.vocabulary_size, context=64)
    subject = Subject("answers", model, tokenizer)
    rows = [{"q": "in the inn", "a": "y"}, {"q": "x y z " * 30, "a": "y"}]
    keys = {"kind": "generation", "prompt": "{q}", "answer": "{a}", "maximum_tokens": 5}
    plain = evaluate(write_task(tmp_path, rows, **keys), subject)
    assert plain["shown"] == "in the inn y" and "their beginnings were cut off" in plain["notes"][0]
    record = evaluate(write_task(tmp_path, rows, **keys, instruction="Go"), subject)
    assert record["shown"].startswith("<|im_start|>user\nGo") and record["shown"].endswith("<|im_start|>assistant\ny")
    assert "their ends were cut off" in record["notes"][0]
    engine = Engine(subject.model)
    sampling = SamplingConfig(temperature=0, min_p=0.0, maximum_tokens=5)
    alone = [answer(engine, tokenizer, [("user", f"Go\n\n{row['q']}")], sampling) for row in rows]
    assert [one["told"] for one in record["examples"]] == alone
