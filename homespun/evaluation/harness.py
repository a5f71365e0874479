"""An adapter for lm-evaluation-harness (EleutherAI): its tasks, asked of a run of ours.

    import lm_eval
    from homespun.evaluation.harness import HomespunLM
    lm_eval.simple_evaluate(model=HomespunLM("runs/demo"), tasks=["lambada_openai"])

Its package is not part of homespun (``pip install lm-eval``); nothing else imports this file. The harness brings its
own tasks and may fetch their data: that is its doing. Texts begin with the end-of-text token, as in training, which its
own ``HFLM`` does only for a tokenizer that says so, or where a context is empty.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lm_eval.api.model import LM  # pyrefly: ignore

from homespun.evaluation.likelihood import Request, Scorer
from homespun.inference.engine import Engine
from homespun.inference.load import load_for_inference
from homespun.inference.settings import SamplingConfig
from homespun.inference.stream import stream_text
from homespun.inference.uses import CONTINUE, check_use

MAXIMUM_TOKENS = 256  # the harness's own default


class HomespunLM(LM):
    """A run folder as the harness's kind of model."""

    def __init__(self, run: str, device: str = "cpu") -> None:
        super().__init__()
        model, self.tokenizer = load_for_inference(Path(run), warn, torch.device(device))
        check_use(model.config, CONTINUE, run)
        self.scorer, self.engine = Scorer(model, self.tokenizer), Engine(model)
        # A model without a limit is given windows of its training's length where a text is only to be predicted.
        self.window = model.config.context

    def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """For each (context, continuation): nats, and whether greedy decoding writes it."""
        scored = self.scorer.of_texts([request.args for request in requests])
        return [(one.total, one.verbatim) for one in scored]

    def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
        """For each (text,): nats of all of it."""
        return [
            sum(one.total for one in self.scorer.of_requests(self.windows(request.args[0]))) for request in requests
        ]

    def windows(self, text: str) -> list[Request]:
        """Side by side; the last one reaches back as far as the window lets it."""
        ids = [self.tokenizer.end_of_text, *self.tokenizer.encode(text)]
        found = []
        for begin in range(1, len(ids), self.window):
            told = ids[begin : begin + self.window]
            found.append(Request(ids[max(0, begin - (self.window - len(told) + 1)) : begin], told))
        return found

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """For each (context, settings): what the model writes."""
        return [self.generate(*request.args) for request in requests]

    def generate(self, context: str, settings: dict[str, Any]) -> str:
        """One text; ``settings`` as the harness names them."""
        until = settings.get("until") or []
        sampling = SamplingConfig(
            temperature=float(settings.get("temperature", 0.0)) if settings.get("do_sample") else 0.0,
            min_p=0.0,
            maximum_tokens=int(settings.get("max_gen_toks", MAXIMUM_TOKENS)),
            stop=tuple(stop for stop in ([until] if isinstance(until, str) else until) if stop),
        )
        return "".join(stream_text(self.engine, self.tokenizer, context, sampling))


def warn(line: str) -> None:
    """Where a damaged checkpoint is told."""
    print(f"warning: {line}", file=sys.stderr)
