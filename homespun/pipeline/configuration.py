"""The configuration of a whole run: one frozen dataclass per room, all of them in one. Imports no torch."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from homespun.common.configuration import flatten, nest, read_toml, replace_values
from homespun.common.files import write_atomic
from homespun.corpus.replay import ReplayConfig
from homespun.corpus.settings import CorpusConfig
from homespun.dialogues.settings import ConversationsConfig, PairsConfig, PreferencesConfig
from homespun.images.settings import ImagesConfig
from homespun.inference.settings import SamplingConfig
from homespun.labelled.settings import LabelledConfig
from homespun.models.settings import MODELS_WITHIN, GPTConfig, ModelConfig, all_settings, model_settings
from homespun.tokenizer.settings import TokenizerConfig
from homespun.training.settings import TrainingConfig


@dataclass(frozen=True)
class Configuration:
    """``[corpus] [replay] [tokenizer] [images] [labelled] [conversations] [pairs] [preferences] [model] [training]
    [sampling]``.

    Which of them matter, what the model reads says.
    """

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    labelled: LabelledConfig = field(default_factory=LabelledConfig)
    conversations: ConversationsConfig = field(default_factory=ConversationsConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    preferences: PreferencesConfig = field(default_factory=PreferencesConfig)
    model: ModelConfig = field(default_factory=GPTConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)


ModelOptions = all_settings()


@dataclass(frozen=True)
class Options:
    """All keys that there are: those of ``Configuration``, and under ``[model]`` the settings of every architecture."""

    corpus: CorpusConfig = field(default_factory=CorpusConfig)
    replay: ReplayConfig = field(default_factory=ReplayConfig)
    tokenizer: TokenizerConfig = field(default_factory=TokenizerConfig)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    labelled: LabelledConfig = field(default_factory=LabelledConfig)
    conversations: ConversationsConfig = field(default_factory=ConversationsConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    preferences: PreferencesConfig = field(default_factory=PreferencesConfig)
    model: ModelOptions = field(default_factory=ModelOptions)  # type: ignore[valid-type]
    training: TrainingConfig = field(default_factory=TrainingConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)


def configure(values: dict[str, Any]) -> Configuration:
    """These dotted keys set, all others at their defaults; ``model.architecture`` says which others there are."""
    model = {key.removeprefix("model."): value for key, value in values.items() if key.startswith("model.")}
    others = {key: value for key, value in values.items() if not key.startswith("model.")}
    return replace_values(replace(Configuration(), model=model_settings(model)), others)


@dataclass(frozen=True)
class Choices:
    """A configuration and where each value comes from: ``default``, a file, the command line or the plan."""

    config: Configuration
    origins: dict[str, str]

    def is_open(self, key: str) -> bool:
        """Nobody has set ``key``: the plan may."""
        return self.origins.get(key, "default") == "default"

    def with_values(self, values: dict[str, Any], origin: str) -> "Choices":
        """The same with ``values`` set, and where they come from."""
        return Choices(replace_values(self.config, values), self.origins | dict.fromkeys(values, origin))


def write_toml(path: Path, config: Configuration) -> None:
    """The full configuration as a file that ``--config`` reads."""
    import tomli_w

    write_atomic(path, tomli_w.dumps(nest(flatten(config))))


def known_keys() -> list[str]:
    """Every key that a file may have: those of the command line, and those of a model within a model."""
    own = list(flatten(Options()))
    models = [key.removeprefix("model.") for key in own if key.startswith("model.")]
    return [*own, *(f"model.{part}.{key}" for part in MODELS_WITHIN for key in models)]


def load_toml(path: Path) -> Configuration:
    """The configuration in a file; keys that are left out have their defaults."""
    return configure(read_toml(path, known_keys()))
