"""Before a continued pretraining: the corpus of a field, general text to read again, the base, token shards, plan.

The sources of such a run are the base's run folder and then the field's texts, as on the command line. The tokenizer is
the base's: its words stay what they are.
"""

import functools
from pathlib import Path
from typing import Any

import torch

from homespun.batches.shards import read_manifest
from homespun.common.errors import HomespunError, UsageError
from homespun.common.files import remove_leftovers
from homespun.common.progress import Reporter
from homespun.corpus.prepare import CorpusManifest, iterate_texts
from homespun.corpus.sources import scan
from homespun.models.settings import ContinuedConfig
from homespun.pipeline.base import base_stage
from homespun.pipeline.configuration import Choices, Configuration
from homespun.pipeline.planning.facts_of_data import text_facts
from homespun.pipeline.planning.finetuning import make_continued_plan
from homespun.pipeline.planning.plan import Plan
from homespun.pipeline.run_folder import RunFolder
from homespun.pipeline.settled import Clock, Preparation, Ready, settle
from homespun.pipeline.stages import corpus_stage, tokens_stage
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.dial import Dial

BATCH_SIZE = 16
# By what is trained: the highest rate at a width of 768; it grows as 1 / sqrt(width).
RATES = {"full": 2e-4, "last-layers": 5e-4, "lora": 1e-3}
USUAL_WIDTH = 768
TASK = "next_token"


def check_sources(sources: list[str], config: Configuration) -> None:
    """A base and text at least, and the general text if there is any."""
    if not sources or not (Path(sources[0]) / "run.json").exists():
        raise UsageError("this begins with a trained model: homespun finetune texts BASE SOURCE …")
    scan(sources[1:])
    if config.replay.sources:
        scan(config.replay.sources)


def prepare_field(run: RunFolder, choices: Choices, dial: Dial | None, clock: Clock, reporter: Reporter) -> Ready:
    """Corpora, base, tokens, plan."""
    base, *sources = run.record()["sources"]
    config = choices.config
    corpus = corpus_stage(run.corpus, sources, config.corpus, reporter)
    base_stage(run, Path(base), reporter)
    tokenizer = Tokenizer.load(run.tokenizer)
    encode(run, tokenizer, corpus, reporter)
    if config.replay.sources:
        remove_leftovers(run.replay.path)
        general = general_stage(run, config, reporter)
        encode(run.replay, tokenizer, general, reporter)
    choices = follow_tokens(choices, run)
    facts = text_facts(corpus, tokenizer, functools.partial(iterate_texts, run.corpus))

    def make(device: torch.device) -> Plan:
        return make_continued_plan(choices, facts, device)

    return settle(run, choices, reporter, make)


def general_stage(run: RunFolder, config: Configuration, reporter: Reporter) -> CorpusManifest:
    """The corpus of what is read again; what is wrong with it is told of ``replay.sources``."""
    try:
        return corpus_stage(run.replay.corpus, list(config.replay.sources), config.corpus, reporter)
    except HomespunError as error:
        raise type(error)(f"replay.sources: {error}") from error


def encode(run: RunFolder, tokenizer: Tokenizer, corpus: CorpusManifest, reporter: Reporter) -> None:
    """Token shards of a corpus."""
    tokens_stage(run, tokenizer, corpus, TASK, reporter)


def follow_tokens(choices: Choices, run: RunFolder) -> Choices:
    """How to train on so many tokens, where nobody has set it."""
    config, shape = choices.config, choices.config.model
    assert isinstance(shape, ContinuedConfig)
    batch_size = BATCH_SIZE if choices.is_open("training.batch_size") else config.training.batch_size
    field_rows = batch_size - config.replay.rows(batch_size)
    tokens = read_manifest(run.tokens)["splits"]["train"]["tokens"]
    epoch = max(1, tokens // (field_rows * shape.positions_in_row))
    steps = max(1, round(config.replay.epochs * epoch))
    if not choices.is_open("training.steps"):
        steps = config.training.steps
    values: dict[str, Any] = {
        "training.batch_size": batch_size,
        "training.steps": steps,
        "training.warmup_steps": steps // 10,
        "training.evaluate_every": -(-steps // 6),
        "training.sample_every": -(-steps // 2),
        "training.optimizer": "adamw",
        "training.learning_rate": RATES[shape.trained] * max(1.0, USUAL_WIDTH / shape.width) ** 0.5,
    }
    return choices.with_values({key: value for key, value in values.items() if choices.is_open(key)}, "plan")


FROM_FIELD = Preparation(check_sources, prepare_field, "corpus")
