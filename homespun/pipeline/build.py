"""A whole run from its first word to its report; the commands ``build`` and ``train`` call this.

``begin`` makes a run folder, ``continue_run`` goes on with one, ``show_plan`` only plans. All three walk
the same stages; each stage leaves its result whole or not at all, so the walk may begin again anywhere.
"""

import contextlib
import json
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from homespun.batches.ahead import check_workers
from homespun.common.configuration import flatten
from homespun.common.errors import HomespunError, Interrupted, UsageError
from homespun.common.files import read_json, remove_leftovers
from homespun.common.progress import Reporter, Silent
from homespun.inference.uses import USES
from homespun.pipeline.assistant import (
    begin_assistant,
    check_goes_on,
    goes_on,
    is_over,
    questions_stage,
    with_time_kept,
)
from homespun.pipeline.configuration import Choices, configure, load_toml
from homespun.pipeline.planning.plan import plan_lines
from homespun.pipeline.prepare_dialogues import FROM_CONVERSATIONS, FROM_PREFERENCES
from homespun.pipeline.prepare_field import FROM_FIELD
from homespun.pipeline.prepare_images import FROM_IMAGES
from homespun.pipeline.prepare_labelled import FROM_LABELLED
from homespun.pipeline.prepare_pairs import FROM_PAIRS
from homespun.pipeline.prepare_text import FROM_TEXT
from homespun.pipeline.run_folder import (
    ASSISTANT,
    IMPORTED,
    RunFolder,
    create_run,
    forget_if_nothing_is_made,
    locked,
)
from homespun.pipeline.settled import Clock, Preparation, Ready
from homespun.pipeline.sinks import check_sinks
from homespun.pipeline.train_stage import train_run
from homespun.report.read_run import read_run
from homespun.report.terminal import summary, summary_lines
from homespun.report.write import write_report
from homespun.training.device import available_cores, choose_device
from homespun.training.dial import Dial
from homespun.training.execution import check_compiling
from homespun.training.pace import FixedPace, Pace, TimedPace
from homespun.training.parallel import check_batch, check_blocks
from homespun.training.world import World, join_world, processes_here, rank_asked, started_again

# By what a model reads.
PREPARATIONS: dict[str, Preparation] = {
    "text": FROM_TEXT,
    "images": FROM_IMAGES,
    "labelled texts": FROM_LABELLED,
    "conversations": FROM_CONVERSATIONS,
    "pairs": FROM_PAIRS,
    "preferences": FROM_PREFERENCES,
    "texts of a field": FROM_FIELD,
}


def begin(
    out: Path,
    sources: list[str],
    dial: Dial | None,
    choices: Choices,
    command: list[str],
    reporter: Reporter,
    json_output: bool,
    assistant: bool = False,
) -> int:
    """Start a run in the new folder ``out``. ``dial`` None: exactly as configured, no plan.

    ``assistant``: it goes on to one, where its sources have questions for it.
    """
    check_vocabulary_key(choices)
    if assistant:
        check_goes_on(choices.config.model)
    check_sinks(choices.config.training.sinks)
    preparation = PREPARATIONS[choices.config.model.reads]
    preparation.check(sources, choices.config)
    asked = {key: value for key, value in flatten(choices.config).items() if not choices.is_open(key)}
    with join_world(choices.config.training.device) as world:
        run = RunFolder(out)
        check_machine(choices, dial, world)
        # A launcher that starts the processes of a run anew gives them the command that began it.
        is_new = world.is_first and not (started_again() and (out / "run.json").exists())
        if is_new:
            origins = {key: choices.origins[key] for key in asked}
            create_run(out, sources, dial, command, asked, origins, preparation.first_state, assistant)
        world.wait()
        try:
            return go(run, reporter, json_output, world)
        except HomespunError as error:
            if is_new and not is_temporary(error):
                forget_if_nothing_is_made(run)
            raise


def is_temporary(error: HomespunError) -> bool:
    """Whether the same run may go on later: it was stopped, or the machine had no room for it."""
    cause = error.__cause__
    return isinstance(error, Interrupted) or (isinstance(cause, OSError) and cause.errno is not None)


def continue_run(out: Path, reporter: Reporter, json_output: bool) -> int:
    """Go on with the run in ``out`` from wherever it stands; a finished one is shown again."""
    run = RunFolder(out)
    if run.record()["state"] == IMPORTED:
        raise UsageError(
            f"{out} was imported: it has weights, but neither the text nor the optimizer's state to go on with; "
            f"train a model of this shape from the beginning with: homespun train SOURCE --config {run.config}"
        )
    if is_over(run):
        if rank_asked() > 0:
            return 0  # the first process shows it
        reporter.say(f"{out} is finished.")
        return show_result(run, reporter, json_output)
    choices = asked_choices(run)
    with join_world(choices.config.training.device) as world:
        check_machine(choices, run.dial(), world)
        return go(run, reporter, json_output, world)


def go(run: RunFolder, reporter: Reporter, json_output: bool, world: World) -> int:
    """The run to its end, and on to the assistant that it becomes; each of them only if it is not finished."""
    code = 0 if run.finished else walk(run, reporter, world, run.path)
    if code == 0 and goes_on(run):
        if world.is_first:
            begin_assistant(run)
        world.wait()
        code = 0 if run.assistant.finished else walk(run.assistant, reporter, world, run.path)
        if code == 0 and world.is_first:
            write_report(run.path)  # it leads on to the other one
    return code if code or not world.is_first else show_result(run, reporter, json_output)


def show_plan(
    sources: list[str], dial: Dial, choices: Choices, reporter: Reporter, json_output: bool, assistant: bool = False
) -> int:
    """Read the sources, measure the machine, print the plan, leave nothing behind."""
    check_vocabulary_key(choices)
    with tempfile.TemporaryDirectory(prefix="homespun-plan-") as folder:
        run = create_run(Path(folder) / "run", sources, dial, [], {}, {}, goes_on=assistant)
        plan = prepared(run, choices, Clock(run), reporter).plan
        print(json.dumps(plan.record(), indent=1) if json_output else "\n".join(plan_lines(plan)))
    return 0


def check_vocabulary_key(choices: Choices) -> None:
    """The tokenizer decides the vocabulary; two places to set it would only disagree."""
    if choices.origins.get("model.vocabulary_size") == "command line":
        raise UsageError("the model takes its vocabulary from the tokenizer: set --tokenizer.vocabulary-size instead")


def check_machine(choices: Choices, dial: Dial | None, world: World) -> None:
    """What these processes on this machine cannot do is said before the text is read, not hours later."""
    training = choices.config.training
    choose_device(training.device, world.local_rank)
    check_workers(training.workers, available_cores())
    check_compiling(choices.config.model, training)
    check_blocks(choices.config.model, training, world)
    if dial is None or not choices.is_open("training.batch_size"):
        check_batch(training, world)


def prepared(run: RunFolder, choices: Choices, clock: Clock, reporter: Reporter) -> Ready:
    """All before the training."""
    dial = run.dial()
    questions_stage(run, choices.config, dial, reporter)
    return PREPARATIONS[choices.config.model.reads].prepare(run, choices, with_time_kept(run, dial), clock, reporter)


def walk(run: RunFolder, reporter: Reporter, world: World, whole: Path) -> int:
    """All stages in order, skipping what is there. Of several processes the first prepares, all of them train.
    ``whole``: the folder with which a stopped run goes on."""
    if not world.is_first:
        return follow(run, world)
    with locked(run), stoppable(whole):
        remove_leftovers(run.path)
        clock = Clock(run)
        choices = asked_choices(run)
        if world.size > 1 and choices.is_open("training.threads"):
            share = max(1, available_cores() // processes_here())
            choices = choices.with_values({"training.threads": share}, "plan")
        planned = run.plan.exists()
        ready = prepared(run, choices, clock, reporter)
        if not planned:
            reporter.say("\n".join(plan_lines(ready.plan)))
        ready.finish()
        if "training_seconds" not in run.record():
            spare = ready.plan.training_seconds_left(clock.seconds()) if ready.plan.timed else None
            run.update(training_seconds=spare)
        clock.note(state="training")
        world.wait()
        finished = train_run(run, ready.choices.config, pace_of(run, ready), reporter, world)
        clock.note(state="finished" if finished else "training")
        write_report(run.path)
        if not finished:
            world.wait()  # the others are on their way out as well
            raise KeyboardInterrupt
    return 0


def follow(run: RunFolder, world: World) -> int:
    """What every process but the first does: wait for the text and the plan, then train."""
    world.wait()
    finished = train_run(run, load_toml(run.config), FixedPace(), Silent(), world)
    return 0 if finished else Interrupted.exit_code  # how to go on, the first one says


def pace_of(run: RunFolder, ready: Ready) -> Pace:
    """Fixed, or by the seconds that were left for training when it first began."""
    seconds = run.record()["training_seconds"]
    if seconds is None:
        return FixedPace()
    return TimedPace(seconds, ready.choices.config.training, ready.plan.most_steps)


@contextlib.contextmanager
def stoppable(whole: Path) -> Iterator[None]:
    """Ctrl-C and SIGTERM, at any moment, end with the line that says how to go on."""

    def stop(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    in_main_thread = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, stop) if in_main_thread else None
    try:
        yield
    except KeyboardInterrupt:
        raise Interrupted(f"stopped and saved; go on with: homespun train --resume {whole}") from None
    finally:
        if in_main_thread:
            signal.signal(signal.SIGTERM, previous)


def asked_choices(run: RunFolder) -> Choices:
    """What the user set when the run began, over the defaults."""
    record = run.record()
    asked = {key: tuple(value) if isinstance(value, list) else value for key, value in record["asked"].items()}
    return Choices(configure(asked), record["origins"])


def show_result(run: RunFolder, reporter: Reporter, json_output: bool) -> int:
    """The last words: figures, samples, where the report is, what to do next."""
    several = {"the trained model": run} | ({"the assistant": run.assistant} if goes_on(run) else {})
    if json_output:
        record = record_of(run) | ({ASSISTANT: record_of(run.assistant)} if goes_on(run) else {})
        print(json.dumps(record, indent=1, ensure_ascii=False))
        return 0
    for who, one in several.items():
        for sample in last_samples(one):
            reporter.sample(who, sample.get("prompt", ""), sample.get("text", ""))
        print("\n".join(summary_lines(read_run(one.path))))
        print(f"report: {report_of(one)}")
    *_, last = several.values()
    use = USES[load_toml(last.config).model.task]
    print("go on:  " + "   |   ".join(command for _, command in use.commands_for(last.path, use.left_open)))
    return 0


def record_of(run: RunFolder) -> dict[str, Any]:
    """For programs; of a run that answers, also what it answered."""
    report = report_of(run)
    record = summary(read_run(run.path)) | {"report": str(report)}
    answers = read_json(run.result).get("answers")
    return record | ({"answers": answers["shown"]} if answers else {})


def report_of(run: RunFolder) -> Path:
    """The page, written if a kill has kept it from being so."""
    report = run.path / "report.html"
    if not report.exists():
        write_report(run.path)
    return report


def last_samples(run: RunFolder) -> list[dict[str, Any]]:
    """The samples of the last step."""
    if not run.samples.exists():
        return []
    lines = [json.loads(line) for line in run.samples.read_text("utf-8").splitlines()]
    return [line for line in lines if line["step"] == lines[-1]["step"]]
