"""``homespun finetune``: a trained model goes on to a task of its own."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import App, Parameter

from homespun.cli.build import default_folder
from homespun.cli.configuration import COMMAND_LINE, ConfigFile, ConfigurationOptions, choices_of
from homespun.cli.terminal import choose_reporter
from homespun.common.configuration import flatten
from homespun.common.errors import UsageError
from homespun.pipeline.configuration import Options

app = App(name="finetune", help="A trained model goes on to a task of its own.")
Base = Annotated[Path, Parameter(help="the run folder of the model to begin with")]
Trained = Annotated[Literal["full", "last-layers", "lora"] | None, Parameter(help="what of the base is trained [full]")]


@Parameter(name="*")
@dataclass(frozen=True)
class Usual:
    """The options that stand behind those of each command, which are the same for all."""

    out: Annotated[Path | None, Parameter(help="the run folder [runs/NAME-OF-FILE]")] = None
    json_output: Annotated[bool, Parameter(name="--json", negative=(), help="print the result for programs")] = False
    config_file: ConfigFile = None
    config: ConfigurationOptions = field(default_factory=Options)


@app.command
def classify(
    base: Base,
    /,
    *tables: Annotated[Path, Parameter(help="CSV, TSV, JSON-lines or Parquet files of texts and labels")],
    text_column: Annotated[str | None, Parameter(help="column of the texts [text]; a number: no line of names")] = None,
    label_column: Annotated[str | None, Parameter(help="column of the labels [label]")] = None,
    train: Annotated[
        Literal["full", "last-layers", "lora", "head"] | None, Parameter(help="what of the base is trained [full]")
    ] = None,
    balance: Annotated[
        Literal["none", "weights", "undersample"] | None, Parameter(help="what is done for rare classes [none]")
    ] = None,
    usual: Usual = Usual(),
) -> int:
    """Teach a model of text to sort texts into classes; beside it stand the traditional ways.

    homespun finetune classify runs/base spam.csv --text-column message --label-column kind --out runs/spam
    """
    if not tables:
        raise UsageError("no TABLE: name a CSV, TSV, JSON-lines or Parquet file of texts and labels")
    given = {
        "labelled.text_column": text_column,
        "labelled.label_column": label_column,
        "model.trained": train,
        "labelled.balance": balance,
    }
    return finetune("classifier", base, tables, given, usual)


@app.command
def instructions(
    base: Base,
    /,
    *files: Annotated[Path, Parameter(help="JSON or JSON-lines files: instructions (Alpaca) or conversations")],
    loss: Annotated[
        Literal["answers", "all"] | None, Parameter(help="which tokens are learned: the answers', or all [answers]")
    ] = None,
    train: Trained = None,
    usual: Usual = Usual(),
) -> int:
    """Teach a model of text to answer, from instructions or conversations.

    homespun finetune instructions runs/base instruction-data.json --out runs/assistant
    """
    given = {"conversations.loss": loss, "model.trained": train}
    return finetune("assistant", base, files, given, usual)


@app.command
def pairs(
    base: Base,
    /,
    *tables: Annotated[Path, Parameter(help="CSV, TSV, JSON, JSON-lines or Parquet files of pairs of texts")],
    source_column: Annotated[
        str | None, Parameter(help="column of the texts [source]; a number: no line of names")
    ] = None,
    target_column: Annotated[
        tuple[str, ...] | None, Parameter(help="column of what is made of them [target]; several: each is learned")
    ] = None,
    instruction: Annotated[
        str | None, Parameter(help="what a base that continues texts is asked, above each source [Summarize.]")
    ] = None,
    train: Trained = None,
    usual: Usual = Usual(),
) -> int:
    """Teach a model to make a text of another one, such as its summary or its translation.

    An encoder-decoder goes on as it was trained; a model that continues texts learns to answer an instruction.

    homespun finetune pairs runs/base dialogues.jsonl --source-column dialogue --target-column summary
    """
    given = {"source_column": source_column, "target_columns": target_column}
    architecture = taught_by_pairs(base)
    if architecture == "paired":
        if instruction is not None:
            raise UsageError(f"the model of {base} is given its source alone: leave out --instruction")
        section = "pairs"
    else:
        from homespun.dialogues.asked import USUAL_INSTRUCTION
        from homespun.dialogues.settings import PairsConfig

        section, columns = "conversations", PairsConfig()
        given = {
            "source_column": source_column or columns.source_column,
            "target_columns": target_column or columns.target_columns,
            "instruction": USUAL_INSTRUCTION if instruction is None else instruction,
        }
    dotted: dict[str, Any] = {f"{section}.{key}": value for key, value in given.items()}
    return finetune(architecture, base, tables, dotted | {"model.trained": train}, usual)


def taught_by_pairs(base: Path) -> str:
    """What a base becomes that learns from pairs of texts; ``UsageError`` for one that writes no texts."""
    from homespun.inference.load import find_model
    from homespun.inference.uses import CONTINUE, TRANSLATE, USES

    _, found = find_model(base, "text", lambda _: None)
    use = USES[found.in_use.task]
    if use not in (CONTINUE, TRANSLATE):
        raise UsageError(
            f"the model of {base} ({found.in_use.architecture}) {use.does}, it cannot learn to write others; take a "
            "base that translates or continues texts"
        )
    return "paired" if use is TRANSLATE else "assistant"


@app.command
def preferences(
    base: Base,
    /,
    *files: Annotated[Path, Parameter(help="JSON or JSON-lines files: questions with a chosen and a rejected answer")],
    train: Trained = None,
    beta: Annotated[float | None, Parameter(help="how dearly it costs to leave the base [0.1]")] = None,
    usual: Usual = Usual(),
) -> int:
    """Teach an assistant which of two answers people prefer (DPO).

    homespun finetune preferences runs/assistant preferences.json --out runs/preferred
    """
    given = {"model.trained": train, "model.beta": beta}
    return finetune("preferred", base, files, given, usual)


@app.command
def texts(
    base: Base,
    /,
    *sources: Annotated[str, Parameter(help="the field's texts: files, folders, patterns or python")],
    replay: Annotated[
        tuple[str, ...] | None, Parameter(help="general text to read again, so that it is not forgotten")
    ] = None,
    replay_share: Annotated[
        float | None, Parameter(help="share of each step that is general text [0.2]; 0: what is forgotten is measured")
    ] = None,
    train: Trained = None,
    usual: Usual = Usual(),
) -> int:
    """Go on with the pretraining of a model, on the texts of one field; what it forgets is measured.

    homespun finetune texts runs/base letters/ --replay my-texts/ --out runs/letters
    """
    given = {"model.trained": train, "replay.sources": replay, "replay.share": replay_share}
    return finetune("continued", base, sources, given, usual)


def finetune(
    architecture: str,
    base: Path,
    files: tuple[Path | str, ...],
    given: dict[str, Any],
    usual: Usual,
) -> int:
    """Begin a run on ``files``, whose model has the base for its body; ``given``: by keys what a command's own options
    say."""
    from homespun.inference.load import find_model
    from homespun.pipeline.build import begin

    if not files:
        raise UsageError("no FILE: name what the model is to learn from")
    reporter = choose_reporter()
    _, found = find_model(base, "text", reporter.warn)
    more: dict[str, tuple[Any, str]] = {"model.architecture": (architecture, "base")}
    more |= {f"model.body.{key}": (value, "base") for key, value in flatten(found.in_use).items()}
    more |= {key: (value, COMMAND_LINE) for key, value in given.items() if value is not None}
    sources = [str(path) for path in (base, *files)]
    out, choices = usual.out or default_folder((str(files[0]),)), choices_of(usual.config, more)
    return begin(out, sources, None, choices, ["homespun", *sys.argv[1:]], reporter, usual.json_output)
