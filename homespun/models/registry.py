"""The models there are, by name: one line each. ``build_model(config)`` makes one."""

from collections.abc import Callable

from homespun.common.errors import UsageError
from homespun.models.gpt import GPT
from homespun.models.settings import GPTConfig

MODELS: dict[str, Callable[[GPTConfig], GPT]] = {
    "gpt": GPT,
}


def build_model(config: GPTConfig) -> GPT:
    """The model that ``config.architecture`` names, with freshly initialized weights."""
    if config.architecture not in MODELS:
        raise UsageError(f"unknown model.architecture {config.architecture!r}; known: {', '.join(MODELS)}")
    return MODELS[config.architecture](config)
