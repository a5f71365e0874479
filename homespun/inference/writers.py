"""What a model writes when it is shown a text, by its task: one line each. Training shows it now and then.

In: the model, its tokenizer, a prompt, rules of choice. Out: text.
"""

from collections.abc import Callable
from typing import Any

from homespun.inference.engine import Engine
from homespun.inference.fill import FRAME, fill, with_gaps
from homespun.inference.settings import SamplingConfig
from homespun.inference.stream import stream_text
from homespun.inference.translate import Translator
from homespun.inference.uses import with_gap
from homespun.tokenizer.tokenizer import Tokenizer

GUESSES_SHOWN = 5
Writer = Callable[[Any, Tokenizer, str, SamplingConfig], str]


def continue_text(model: Any, tokenizer: Tokenizer, prompt: str, config: SamplingConfig) -> str:
    """What follows the prompt."""
    return "".join(stream_text(Engine(model), tokenizer, prompt, config))


def fill_gap(model: Any, tokenizer: Tokenizer, prompt: str, config: SamplingConfig) -> str:
    """The prompt, as much as the model sees, with a word missing; and guesses for it. Without a prompt: a lone gap."""
    words = prompt.split()
    while len(with_gaps(text := with_gap(" ".join(words)), tokenizer)) > model.config.context - FRAME:
        words.pop()
    guesses = fill(model, tokenizer, text, GUESSES_SHOWN).gaps[0]
    shown = ", ".join(f"{guess.text.strip()!r} {guess.probability:.0%}" for guess in guesses)
    return f"\n{text}\n{shown}"


def translate(model: Any, tokenizer: Tokenizer, prompt: str, config: SamplingConfig) -> str:
    """The prompt in the other language, on a line of its own; nothing is drawn by chance."""
    (translation,) = Translator(model, tokenizer).translate([prompt])
    return "\n" + translation.text


WRITERS: dict[str, Writer] = {
    "next_token": continue_text,
    "masked": fill_gap,
    "masked_pairs": fill_gap,
    "translation": translate,
}
