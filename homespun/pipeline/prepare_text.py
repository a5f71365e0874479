"""Before the training of a model of text: corpus, tokenizer, plan, token shards."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import replace

import torch

from homespun.batches.sources import SOURCES
from homespun.common.progress import Reporter
from homespun.corpus.prepare import CorpusManifest, iterate_pairs, iterate_texts
from homespun.corpus.sources import scan
from homespun.models.settings import TextModelConfig
from homespun.pipeline.configuration import Choices, Configuration
from homespun.pipeline.planning.choose_text import choose_corpus, follow_corpus
from homespun.pipeline.planning.choose_vocabulary import choose_vocabulary
from homespun.pipeline.planning.plan import Plan
from homespun.pipeline.planning.pretraining import make_plan
from homespun.pipeline.run_folder import RunFolder
from homespun.pipeline.settled import Clock, Preparation, Ready, settle
from homespun.pipeline.stages import corpus_stage, tokenizer_stage, tokens_stage
from homespun.training.budget import Machine
from homespun.training.device import choose_device, set_threads
from homespun.training.dial import Dial

CHOSEN = "vocabulary"  # in run.json
SIZE = "tokenizer.vocabulary_size"


def prepare_text(run: RunFolder, choices: Choices, dial: Dial | None, clock: Clock, reporter: Reporter) -> Ready:
    """Corpus, tokenizer, plan; the tokens are left to be written."""
    sources = run.record()["sources"]
    if dial is not None and not run.corpus.exists():
        choices = choose_corpus(choices, dial.rough_minutes, scan(sources))
    choices = with_needed_columns(choices)
    corpus = corpus_stage(run.corpus, sources, choices.config.corpus, reporter)
    # From here on the sources are not needed: what was chosen for them stands in the corpus.
    choices = follow_corpus(choices, corpus)
    clock.note(state="tokenizer")
    asked_for_vocabulary = not choices.is_open(SIZE)
    texts = functools.partial(iterate_texts, run.corpus)
    choices = with_needed_tokens(choices)
    machine = None
    if dial is not None and not asked_for_vocabulary:
        choices, machine = vocabulary_stage(run, choices, dial, corpus, texts, clock, reporter)
    tokenizer = tokenizer_stage(run, choices.config.tokenizer, asked_for_vocabulary, reporter)
    clock.note(state="tokens")
    task = choices.config.model.task
    pairs = functools.partial(iterate_pairs, run.corpus) if SOURCES[task].separators else None

    def make(device: torch.device) -> Plan:
        plan = make_plan(choices, dial, corpus, tokenizer, texts, device, clock.seconds(), pairs, machine)
        why = {SIZE: chosen["why"]} if SIZE in plan.values and (chosen := run.record().get(CHOSEN)) else {}
        return replace(plan, reasons=plan.reasons | why)

    ready = settle(run, choices, reporter, make)
    return replace(ready, finish=lambda: tokens_stage(run, tokenizer, corpus, task, reporter))


def vocabulary_stage(
    run: RunFolder,
    choices: Choices,
    dial: Dial,
    corpus: CorpusManifest,
    texts: Callable[[str], Iterable[str]],
    clock: Clock,
    reporter: Reporter,
) -> tuple[Choices, Machine | None]:
    """The choices with the vocabulary's size, chosen once for a run; the machine, if it was measured for that now."""
    found, machine = run.record().get(CHOSEN), None
    if run.plan.exists():  # it stands there
        return choices, None
    if found is None:
        reporter.say("choosing the vocabulary …")
        set_threads(choices.config.training.threads)
        device = choose_device(choices.config.training.device)
        chosen = choose_vocabulary(choices, dial, corpus, texts, device, clock.seconds())
        found, machine = {"size": chosen.size, "why": chosen.why}, chosen.machine
        run.update(**{CHOSEN: found})
    return choices.with_values({SIZE: found["size"]}, "plan"), machine


def with_needed_columns(choices: Choices) -> Choices:
    """The same with the usual names of the columns, where the model learns from pairs and nobody has named them."""
    if not SOURCES[choices.config.model.task].separators or choices.config.corpus.source_column:
        return choices
    return choices.with_values({"corpus.source_column": "source", "corpus.target_column": "target"}, "plan")


def with_needed_tokens(choices: Choices) -> Choices:
    """The same with the special tokens that the model cannot do without."""
    named, model = choices.config.tokenizer.special_tokens, choices.config.model
    assert isinstance(model, TextModelConfig)
    missing = tuple(name for name in model.special_tokens if name not in named)
    return choices.with_values({"tokenizer.special_tokens": named + missing}, "plan") if missing else choices


def check_sources(sources: list[str], config: Configuration) -> None:
    """There are files."""
    scan(sources)


FROM_TEXT = Preparation(check_sources, prepare_text, "corpus")
