"""What a trained model is good for, by its task, and the commands for it: one line each. Imports no torch."""

from collections.abc import Callable
from dataclasses import dataclass

from homespun.common.errors import UsageError
from homespun.models.settings import ModelConfig

GAP = "[MASK]"


@dataclass(frozen=True)
class Use:
    """What a model ``does``; ``commands``: purpose and command, with ``{run}`` and ``{text}`` to be put in.

    ``example``: words of the model's kind of text -> a text for the command. ``left_open``: one that says nothing yet.
    """

    does: str
    commands: tuple[tuple[str, str], ...]
    example: Callable[[str], str] = str
    left_open: str = '"…"'

    def commands_for(self, run: object, text: str) -> list[tuple[str, str]]:
        """Purpose and command of each; both values as the shell is to read them."""
        return [(purpose, command.format(run=run, text=text)) for purpose, command in self.commands]


def with_gap(words: str) -> str:
    """The same words, but one in the middle is missing."""
    parts = words.split()
    parts[len(parts) // 2 : len(parts) // 2 + 1] = [GAP]
    return " ".join(parts)


CONTINUE = Use(
    "continues texts",
    (("Let it write", "homespun generate {run} --prompt {text}"), ("Talk with it", "homespun chat {run}")),
)
FILL = Use(
    "fills gaps in texts",
    (("Let it fill a gap", "homespun generate {run} --fill {text}"),),
    with_gap,
    f'"… {GAP} …"',
)
NAME = Use(
    "names what pictures show",
    (("Let it name what a picture shows", "homespun classify-image {run} PICTURE.png"),),
)
TRANSLATE = Use("translates texts", (("Let it translate", "homespun translate {run} {text}"),))
SORT = Use("sorts texts into classes", (("Let it sort a text", "homespun classify {run} {text}"),))
ANSWER = Use(
    "answers",
    (("Talk with it", "homespun chat {run}"), ("Let it write", "homespun generate {run} --prompt {text}")),
)
USES: dict[str, Use] = {
    "images": NAME,
    "next_token": CONTINUE,
    "masked": FILL,
    "masked_pairs": FILL,
    "translation": TRANSLATE,
    "text_classes": SORT,
    "answers": ANSWER,
    "pairs": TRANSLATE,
    "preferences": ANSWER,
    "continued": CONTINUE,
}


def check_use(config: ModelConfig, wanted: Use, run: object) -> None:
    """``UsageError`` unless the model of the folder ``run`` is for what is ``wanted``; it says what it is for."""
    use = USES[config.task]
    if use is not wanted:
        (_, command), *_ = use.commands_for(run, use.left_open)
        raise UsageError(f"{run} holds a model ({config.architecture}) that {use.does}: {command}")
