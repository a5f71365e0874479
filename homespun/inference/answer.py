"""Messages in, the model's answer out, piece by piece: how a model is asked that was finetuned to answer.

The conversation stands in the form of the tokenizer's chat template (``homespun.tokenizer.chat``). One that has grown
too long for the context loses its oldest questions, never what the system said; a question that is too long by itself
loses its end. An answer ends at any control token.
"""

from collections.abc import Iterator, Sequence

from homespun.common.progress import Advance, ignore
from homespun.inference.engine import Engine
from homespun.inference.settings import SamplingConfig
from homespun.inference.several import write_several
from homespun.inference.stream import stream_ids
from homespun.tokenizer.chat import newest, opening, prompt, shortened, tokens_of, turns
from homespun.tokenizer.tokenizer import Tokenizer


def room_for_question(engine: Engine, tokenizer: Tokenizer, config: SamplingConfig) -> int:
    """Tokens of all messages: at least half of the context; the longer the answer may be, the less."""
    return engine.context - min(config.maximum_tokens, engine.context // 2) - len(opening(tokenizer))


def prompt_ids(
    engine: Engine, tokenizer: Tokenizer, messages: Sequence[tuple[str, str]], config: SamplingConfig
) -> list[int]:
    """``messages``: (role, content), the last of the user, shortened so that the longest answer has room behind it."""
    room = room_for_question(engine, tokenizer, config)
    *before, question = newest(turns(tokenizer, messages), room)
    return prompt(tokenizer, [*before, shortened(question, room - sum(map(tokens_of, before)))])


def chat_ids(
    engine: Engine, tokenizer: Tokenizer, messages: Sequence[tuple[str, str]], config: SamplingConfig
) -> list[int]:
    """The same, but a question that fits is left whole: most answers are far shorter than they may be."""
    ids = prompt(tokenizer, newest(turns(tokenizer, messages), room_for_question(engine, tokenizer, config)))
    return ids if len(ids) < engine.context else prompt_ids(engine, tokenizer, messages, config)


def stream_answer(
    engine: Engine, tokenizer: Tokenizer, messages: Sequence[tuple[str, str]], config: SamplingConfig
) -> Iterator[str]:
    """The answer as it is written."""
    ids = chat_ids(engine, tokenizer, messages, config)
    yield from stream_ids(engine, tokenizer, ids, set(tokenizer.special_tokens.values()), config)


def answer(engine: Engine, tokenizer: Tokenizer, messages: Sequence[tuple[str, str]], config: SamplingConfig) -> str:
    """The whole answer."""
    return "".join(stream_answer(engine, tokenizer, messages, config)).strip()


def answers(
    engine: Engine,
    tokenizer: Tokenizer,
    asked: Sequence[Sequence[tuple[str, str]]],
    config: SamplingConfig,
    advance: Advance = ignore,
) -> list[str]:
    """The answer to each of several lists of messages, shortened as ``prompt_ids`` says; several at once."""
    ids = [prompt_ids(engine, tokenizer, messages, config) for messages in asked]
    found = write_several(engine, tokenizer, ids, set(tokenizer.special_tokens.values()), config, advance)
    return [text.strip() for text in found]
