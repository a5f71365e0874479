"""What a model writes when it is shown a text, by its task: one line each. Training shows it now and then.

In: the model, its tokenizer, a prompt, rules of choice. Out: text.
"""

from collections.abc import Callable
from typing import Any

from homespun.inference.engine import Engine
from homespun.inference.settings import SamplingConfig
from homespun.inference.stream import stream_text
from homespun.inference.translate import Translator
from homespun.tokenizer.tokenizer import Tokenizer

Writer = Callable[[Any, Tokenizer, str, SamplingConfig], str]


def continue_text(model: Any, tokenizer: Tokenizer, prompt: str, config: SamplingConfig) -> str:
    """What follows the prompt."""
    return "".join(stream_text(Engine(model), tokenizer, prompt, config))


def translate(model: Any, tokenizer: Tokenizer, prompt: str, config: SamplingConfig) -> str:
    """The prompt in the other language, on a line of its own; nothing is drawn by chance."""
    (translation,) = Translator(model, tokenizer).translate([prompt])
    return "\n" + translation.text


WRITERS: dict[str, Writer] = {
    "next_token": continue_text,
    "translation": translate,
}
