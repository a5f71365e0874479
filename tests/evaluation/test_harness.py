"""The adapter for lm-evaluation-harness: by a stand-in for its base class, and by the harness itself where it is."""

import importlib
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from homespun.evaluation.likelihood import Request
from homespun.evaluation.naive import score_naively


@pytest.fixture
def adapter(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, with an ``lm_eval`` of one empty class where the real one is not installed."""
    try:
        importlib.import_module("lm_eval.api.model")
    except ImportError:
        stand_in = types.ModuleType("lm_eval.api.model")
        stand_in.LM = type("LM", (), {})  # type: ignore[attr-defined]
        for name in ("lm_eval", "lm_eval.api"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        monkeypatch.setitem(sys.modules, "lm_eval.api.model", stand_in)
    monkeypatch.delitem(sys.modules, "homespun.evaluation.harness", raising=False)
    return importlib.import_module("homespun.evaluation.harness")


def asked(*arguments: Any) -> Any:
    """A request as the harness makes them."""
    return types.SimpleNamespace(args=arguments)


def test_likelihoods_and_texts_of_a_run(adapter: Any, finished_run: Path) -> None:
    model = adapter.HomespunLM(str(finished_run))
    pairs = [("def f(self):", " return"), ("", "import"), ("def f(self):", " pass"), ("x" * 200, " y")]
    tokenizer = model.tokenizer
    for (context, continuation), (nats, greedy) in zip(
        pairs, model.loglikelihood([asked(*pair) for pair in pairs]), strict=True
    ):
        ids = tokenizer.encode(context)
        whole = tokenizer.encode(context + continuation)
        expected = score_naively(model.scorer.model, Request([tokenizer.end_of_text, *ids], whole[len(ids) :]))
        assert nats == pytest.approx(expected.total, abs=1e-4) and greedy == expected.verbatim
        assert isinstance(nats, float) and isinstance(greedy, bool)
    (text,) = model.generate_until([asked("def ", {"until": ["\n"], "max_gen_toks": 5})])
    assert isinstance(text, str) and "\n" not in text
    sampled = {"until": "(", "max_gen_toks": 5, "do_sample": True, "temperature": 1.0}
    assert model.generate("def ", sampled) == model.generate("def ", sampled)


def test_windows_are_those_of_the_harness(adapter: Any, finished_run: Path) -> None:
    """Its own example: ten tokens, a window of four."""
    model = adapter.HomespunLM(str(finished_run))
    end, ids = model.tokenizer.end_of_text, model.tokenizer.encode("0123456789")
    assert len(ids) == 10
    model.window = 4
    found = model.windows("0123456789")
    assert [request.continuation for request in found] == [ids[0:4], ids[4:8], ids[8:10]]
    assert [request.context for request in found] == [[end], ids[3:4], ids[5:8]]
    (total,) = model.loglikelihood_rolling([asked("0123456789")])
    assert total == pytest.approx(sum(score_naively(model.scorer.model, one).total for one in found), abs=1e-4)
    model.window = 32
    assert len(model.windows("0123456789")) == 1 and model.windows("") == []


def test_the_harness_itself_finds_the_same_as_its_own_model(finished_run: Path, tmp_path: Path) -> None:
    """Its ``HFLM`` on the exported folder, with the end of text written out before each context."""
    pytest.importorskip("lm_eval", reason="lm-eval is not installed")
    from lm_eval.models.huggingface import HFLM  # pyrefly: ignore

    from homespun.cli.main import run

    assert run(["export", str(finished_run), "--format", "huggingface", "--out", str(tmp_path / "exported")]) == 0
    theirs = HFLM(pretrained=str(tmp_path / "exported"), device="cpu", dtype="float32", batch_size=4)
    ours = importlib.import_module("homespun.evaluation.harness").HomespunLM(str(finished_run))
    contexts = ["def f(self):", "import", "class A:\n    ", "the value of the"]
    pairs = [(context, continuation) for context in contexts for continuation in (" return", " x = 1", " the")]
    mine = ours.loglikelihood([asked(*pair) for pair in pairs])
    with torch.inference_mode():
        expected = theirs.loglikelihood([asked("<|endoftext|>" + context, word) for context, word in pairs])
    for (nats, greedy), (other, other_greedy) in zip(mine, expected, strict=True):
        assert nats == pytest.approx(other, abs=1e-6 * max(1.0, abs(other))) and greedy == other_greedy
