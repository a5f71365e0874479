"""How a model is asked for texts: by what it is, in one of three ways.

- One that continues texts is shown the prompt as running text.
- One that was finetuned to answer is shown it as its user's message, in the form of its chat template; but only where
  the task says what is asked (``instruction``), for else the prompt is running text.
- One that translates is given the prompt as its source.

An instruction stands above the prompt, except for a model that translates: what is asked of that one, its training has
said. In: prompts. Out: a text for each; several are written at once.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

from homespun.common.progress import Advance, ignore
from homespun.corpus.pairs import clean
from homespun.dialogues.asked import question
from homespun.dialogues.dialogue import USER
from homespun.evaluation.kind import Subject
from homespun.evaluation.task import Task
from homespun.inference.answer import answers, prompt_ids, room_for_question
from homespun.inference.engine import Engine
from homespun.inference.settings import SamplingConfig
from homespun.inference.several import write_several
from homespun.inference.translate import Translator
from homespun.tokenizer.chat import can_chat, tokens_of, turns
from homespun.tokenizer.special import SEPARATOR


class Way(Protocol):
    """One of the three."""

    def write(self, prompts: Sequence[str], advance: Advance) -> list[str]:
        """What the model writes for each; ``advance`` is told of texts."""
        ...

    def shown(self, prompt: str, right: str) -> str:
        """The prompt as the model sees it, and what would be right behind it."""
        ...

    def cut(self, prompts: Sequence[str]) -> list[str]:
        """A line for people where prompts do not fit into what the model sees."""
        ...


class Continuing:
    """Running text; ``sampling.stop`` ends it, or the end of the text."""

    def __init__(self, subject: Subject, instruction: str, sampling: SamplingConfig, delimiter: str = " ") -> None:
        self.subject, self.instruction = subject, instruction
        self.sampling, self.delimiter = sampling, delimiter

    def write(self, prompts: Sequence[str], advance: Advance = ignore) -> list[str]:
        tokenizer = self.subject.tokenizer
        encoded = tokenizer.encode_lists([question(self.instruction, prompt) for prompt in prompts])
        ids = [[tokenizer.end_of_text, *one] for one in encoded]
        engine = Engine(self.subject.model)
        return write_several(engine, tokenizer, ids, {tokenizer.end_of_text}, self.sampling, advance)

    def shown(self, prompt: str, right: str) -> str:
        return question(self.instruction, prompt) + self.delimiter + right

    def cut(self, prompts: Sequence[str]) -> list[str]:
        window = self.subject.scorer.window
        asked = self.subject.tokenizer.encode_lists([question(self.instruction, prompt) for prompt in prompts])
        return too_long(sum(len(ids) + 1 > window for ids in asked), len(prompts), window, "beginnings")


class Answering:
    """A message of the user; what is written ends where the answer does."""

    def __init__(self, subject: Subject, instruction: str, sampling: SamplingConfig) -> None:
        self.tokenizer, self.engine = subject.tokenizer, Engine(subject.model)
        self.instruction, self.sampling = instruction, sampling

    def asked(self, prompts: Sequence[str]) -> list[list[tuple[str, str]]]:
        """The messages of each."""
        return [[(USER, question(self.instruction, clean(prompt)))] for prompt in prompts]

    def write(self, prompts: Sequence[str], advance: Advance = ignore) -> list[str]:
        return answers(self.engine, self.tokenizer, self.asked(prompts), self.sampling, advance)

    def shown(self, prompt: str, right: str) -> str:
        (messages,) = self.asked([prompt])
        return self.tokenizer.decode(prompt_ids(self.engine, self.tokenizer, messages, self.sampling)) + right

    def cut(self, prompts: Sequence[str]) -> list[str]:
        room = room_for_question(self.engine, self.tokenizer, self.sampling)
        said = turns(self.tokenizer, [message for (message,) in self.asked(prompts)])
        return too_long(sum(tokens_of(one) > room for one in said), len(prompts), room, "ends")


class Translating:
    """The source of a translation, or of a summary; by beam search."""

    def __init__(self, subject: Subject) -> None:
        self.translator = Translator(subject.model, subject.tokenizer)

    def write(self, prompts: Sequence[str], advance: Advance = ignore) -> list[str]:
        return [found.text for found in self.translator.translate(prompts, advance=advance)]

    def shown(self, prompt: str, right: str) -> str:
        return f"{prompt}{SEPARATOR}{right}"

    def cut(self, prompts: Sequence[str]) -> list[str]:
        room = self.translator.context - 1
        longer = sum(len(ids) > room for ids in self.translator.ids_of(prompts))
        return too_long(longer, len(prompts), room, "ends")


def way_of(subject: Subject, task: Task, seed: int) -> Way:
    """How this model is asked. An answer ends by itself, unless the task says where; running text needs a stop."""
    sampling = SamplingConfig(
        temperature=task.temperature, min_p=0.0, maximum_tokens=task.maximum_tokens, stop=task.stop, seed=seed
    )
    if subject.model.config.task == "translation":
        return Translating(subject)
    if task.instruction and can_chat(subject.tokenizer):
        stop = task.stop if "stop" in task.given else ()
        return Answering(subject, task.instruction, replace(sampling, stop=stop))
    return Continuing(subject, task.instruction, sampling, task.delimiter)


def too_long(longer: int, count: int, window: int, lost: str) -> list[str]:
    """A line where some are."""
    if not longer:
        return []
    return [
        f"{longer:,} of {count:,} prompts are longer than the {window:,} tokens that the model sees at once: "
        f"their {lost} were cut off"
    ]
