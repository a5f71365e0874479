"""``homespun``: finds the command, runs it, turns errors into one line and an exit code.

Commands are named by import path and imported when they are called, so help costs no torch.
Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (and resumable).
"""

import os
import sys
import time

from cyclopts import App, ArgumentCollection, CycloptsError

from homespun import __version__
from homespun.common.errors import HomespunError, Interrupted, UsageError
from homespun.common.files import explain_os_error

SECONDS_FOR_THE_FIRST_TO_SPEAK = 10.0  # when it has, its launcher (torchrun) ends the other processes


def layer_if_configured(app: App, commands: tuple[str, ...], arguments: ArgumentCollection) -> None:
    """Layer the configuration of commands that have one; the others start without importing it."""
    if any(argument.name == "--config" for argument in arguments):
        from homespun.cli.configuration import layer_configuration

        layer_configuration(app, commands, arguments)


app = App(
    name="homespun",
    help="Your own language model, from your own text. Nothing leaves this machine.",
    version=__version__,
    config=layer_if_configured,
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # it would end the process without a word
)
app.command("homespun.cli.build:build", name="build", help="Text in, a trained model and its report out: all of it.")
app.command("homespun.cli.generate:generate", name="generate", help="Continue a text with a trained model.")
app.command("homespun.cli.translate:translate", name="translate", help="Translate with a model of pairs of texts.")
app.command("homespun.cli.chat:chat", name="chat", help="Type, and let the model go on; line by line.")
app.command("homespun.cli.classify_image:classify_image", name="classify-image", help="Name what pictures show.")
app.command("homespun.cli.classify:classify", name="classify", help="Sort texts with a model finetuned for it.")
app.command("homespun.cli.evaluate:evaluate", name="evaluate", help="How good is a model? Figures with intervals.")
app.command("homespun.cli.report:report", name="report", help="Write report.html of a run and sum it up.")
app.command("homespun.cli.runs:runs", name="runs", help="Compare runs: figures, and the settings that differ.")
app.command("homespun.cli.train:train", name="train", help="Train with a given configuration, or continue a run.")
app.command("homespun.cli.finetune:app", name="finetune", help="A trained model goes on to a task of its own.")
app.command("homespun.cli.estimate:estimate", name="estimate", help="Time, price and memory of a run, on paper.")
app.command("homespun.cli.rate:rate", name="rate", help="Find a learning rate for a run's model and text.")
app.command(
    "homespun.cli.import_weights:import_weights", name="import", help="Another program's model to a run folder."
)
app.command("homespun.cli.export:export", name="export", help="A run's model to another program's files, verified.")
app.command("homespun.cli.corpus:corpus", name="corpus", help="Read sources into clean, split documents.")
app.command("homespun.cli.tokenizer:app", name="tokenizer", help="Learn a vocabulary; text to ids and back.")
app.command("homespun.cli.vectors:app", name="vectors", help="Learn word vectors (Word2Vec), ask and draw them.")
app.command("homespun.cli.config:app", name="config", help="Show the configuration and where each value comes from.")


def main() -> None:
    """The entry point of the ``homespun`` script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command line; the exit code."""
    try:
        result = app(arguments, exit_on_error=False, print_error=False)
    except HomespunError as error:
        return complain(str(error), error.exit_code)
    except CycloptsError as error:
        return complain(one_line(error), UsageError.exit_code)
    except KeyboardInterrupt:
        return complain("interrupted", Interrupted.exit_code)
    except BrokenPipeError:
        # The reader has gone (| head): nothing more to say, and nothing to print it to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except UnicodeError as error:  # standard input that is no text, or an argument that cannot be printed
        return complain(f"what was given is not UTF-8 ({error})", UsageError.exit_code)
    except MemoryError:
        return complain("there is not enough memory; free some, or take a smaller model", HomespunError.exit_code)
    except OSError as error:
        return complain(str(explain_os_error(error, "cannot use")), HomespunError.exit_code)
    return result if isinstance(result, int) else 0


def complain(line: str, code: int) -> int:
    """One line on standard error; of several processes with the same complaint, from the first one only."""
    if os.environ.get("RANK", "0") != "0":
        time.sleep(SECONDS_FOR_THE_FIRST_TO_SPEAK)
    print(f"homespun: {line}", file=sys.stderr)
    return code


def one_line(error: CycloptsError) -> str:
    """Cyclopts' words without its box."""
    return " ".join(str(error).split())


if __name__ == "__main__":
    main()
