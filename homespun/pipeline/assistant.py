"""A build that goes on after pretraining: from its sources' own Python functions, the model learns to answer.

In: the run folder of a base. Out: ``questions/`` in it, before anything else is read (so a plan knows whether time
must be kept, and a run that goes on needs its sources no more), and, when the base is trained, the run folder
``assistant/``. That is a finetuning on instructions like any other; only its files and its time come from here.
"""

from dataclasses import replace
from typing import Any

from homespun.common.configuration import flatten
from homespun.common.errors import UsageError
from homespun.common.files import read_json
from homespun.common.progress import Reporter
from homespun.corpus.source_file import PYTHON_WORD
from homespun.dialogues.python_questions import TRAIN, VALIDATION, count_questions, write_questions
from homespun.models.settings import ModelConfig, TextModelConfig
from homespun.pipeline.configuration import Configuration, load_toml
from homespun.pipeline.run_folder import RunFolder, create_run, locked
from homespun.training.dial import Dial

SHARE_OF_TIME = 0.2
LEAST_MINUTES = 1.0  # of a whole build; in less the base would learn too little to be asked anything
LEAST_CONTEXT = 64
LEAST_SECONDS = 10.0  # for an assistant, however long its base has taken
# Some 2 MB of source are parsed in a second: a fortieth of the time goes there at most.
SOURCE_BYTES_PER_SECOND_ASKED = 50_000
ORIGIN = "base"
# How steps are carried out and written down is as with the base; how many and how large, the conversations decide.
HANDED_ON = {
    f"training.{name}"
    for name in (
        "precision", "attention", "device", "threads", "workers", "seed", "log_every", "sinks", "checkpoint_seconds",
        "keep_checkpoints", "parallel", "shard_size", "tensor_size",
    )
}  # fmt: skip
SECTIONS_HANDED_ON = ("sampling.", "conversations.")
TEMPERATURE = 0.3  # of the answers that are shown, unless the user has one: they are to be sure, not varied


def check_goes_on(model: ModelConfig) -> None:
    """``UsageError`` for a model that cannot learn to answer."""
    if model.task != "next_token":
        raise UsageError(f"--assistant: {model.architecture} cannot learn to answer; it does not go on with a text")
    if not has_room(model):
        raise UsageError(f"--assistant: questions and answers need a model.context of {LEAST_CONTEXT} tokens or more")


def has_room(model: ModelConfig) -> bool:
    """For a question and its answer."""
    return isinstance(model, TextModelConfig) and (model.endless or model.context >= LEAST_CONTEXT)


def is_usual(sources: list[str], dial: Dial, model: ModelConfig) -> bool:
    """Whether a build goes on if nobody has said so: where there certainly are functions, and time."""
    able = model.task == "next_token" and has_room(model)
    return PYTHON_WORD in sources and able and (dial.minutes or LEAST_MINUTES) >= LEAST_MINUTES


def questions_stage(run: RunFolder, config: Configuration, dial: Dial | None, reporter: Reporter) -> None:
    """Questions on the functions of the run's sources, if it is to go on."""
    record = run.record()
    if not record.get("goes_on"):
        return
    if not (run.questions / "manifest.json").exists():
        seconds = 60 * dial.rough_minutes if dial else 0.0
        caps = [cap for cap in (config.corpus.maximum_bytes, int(seconds * SOURCE_BYTES_PER_SECOND_ASKED)) if cap]
        reporter.say("looking for functions that say what they do …")
        write_questions(record["sources"], min(caps, default=0), run.questions)
    manifest = read_json(run.questions / "manifest.json")
    if count_questions(run.questions):
        counts = manifest["questions"]
        told = f"{sum(counts.values()):,} with their answers, {counts['validation']:,} of them held back"
        reporter.say(f"questions: {told}, from {manifest['functions']:,} functions and their documentation")
    else:
        reporter.warn(
            f"no assistant: {manifest['functions']} functions that say what they do are too few to learn from"
        )


def with_time_kept(run: RunFolder, dial: Dial | None) -> Dial | None:
    """The same dial, and of its time the share that the assistant needs."""
    if dial is None or dial.minutes is None or not goes_on(run):
        return dial
    return replace(dial, seconds_kept=round(SHARE_OF_TIME * dial.minutes * 60, 1))


def goes_on(run: RunFolder) -> bool:
    """Whether there are questions to go on with."""
    return count_questions(run.questions) > 0


def is_over(run: RunFolder) -> bool:
    """The run, and what it goes on to, are finished."""
    return run.finished and (run.assistant.finished or not goes_on(run))


def begin_assistant(run: RunFolder) -> None:
    """The run folder of the finetuning, unless it is there."""
    with locked(run):
        if (run.assistant.path / "run.json").exists():
            return
        record = run.record()
        asked = values_of(run)
        create_run(
            run.assistant.path,
            [str(run.path), str(run.questions / TRAIN)],
            time_left(run),
            record["command"],
            asked,
            dict.fromkeys(asked, ORIGIN),
            "conversations",
            name=f"{record['name']}/{run.assistant.path.name}",
        )


def values_of(run: RunFolder) -> dict[str, Any]:
    """What follows from the base."""
    base, asked = load_toml(run.config), run.record()["asked"]
    kept = {
        key: value for key, value in flatten(base).items() if key in HANDED_ON or key.startswith(SECTIONS_HANDED_ON)
    }
    shape = {f"model.body.{key}": value for key, value in flatten(base.model).items()}
    more = {
        "model.architecture": "assistant",
        "conversations.validation_file": str(run.questions / VALIDATION),
        "sampling.temperature": asked.get("sampling.temperature", TEMPERATURE),
    }
    return kept | shape | more


def time_left(run: RunFolder) -> Dial | None:
    """What the base has left of the minutes; no dial where none were given: as many steps as there are epochs."""
    dial = run.dial()
    if dial is None or dial.minutes is None:
        return None
    return Dial(minutes=round(max(LEAST_SECONDS, dial.minutes * 60 - run.record()["seconds_total"]) / 60, 2))
