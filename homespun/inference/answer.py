"""Messages in, the model's answer out, piece by piece: how a model is asked that was finetuned to answer.

The conversation stands in the form of the tokenizer's chat template (``homespun.tokenizer.chat``). One that has grown
too long for the context loses its oldest questions, never what the system said. An answer ends at any control token.
"""

from collections.abc import Iterator, Sequence

from homespun.inference.engine import Engine
from homespun.inference.settings import SamplingConfig
from homespun.inference.stream import stream_ids
from homespun.tokenizer.chat import newest, opening, prompt, turns
from homespun.tokenizer.tokenizer import Tokenizer


def stream_answer(
    engine: Engine, tokenizer: Tokenizer, messages: Sequence[tuple[str, str]], config: SamplingConfig
) -> Iterator[str]:
    """``messages``: (role, content), the last of the user."""
    # At least half of the context is for the question; the longer the answer may be, the less there is.
    room = engine.context - min(config.maximum_tokens, engine.context // 2) - len(opening(tokenizer))
    ids = prompt(tokenizer, newest(turns(tokenizer, messages), room))
    yield from stream_ids(engine, tokenizer, ids, set(tokenizer.special_tokens.values()), config)


def answer(engine: Engine, tokenizer: Tokenizer, messages: Sequence[tuple[str, str]], config: SamplingConfig) -> str:
    """The whole answer."""
    return "".join(stream_answer(engine, tokenizer, messages, config)).strip()
