"""How much text a run reads, and how much of it is held back: by minutes and size.

Only what nobody has set is chosen.
"""

from dataclasses import asdict
from typing import Any

from homespun.common.configuration import flatten
from homespun.corpus.prepare import CorpusManifest
from homespun.corpus.sources import SourceSize
from homespun.pipeline.configuration import Choices

# Reading and encoding take a second for about 4 MB: a tenth of the time goes there at most.
CORPUS_BYTES_PER_SECOND_ASKED = 300_000
VALIDATION_BYTES = 256_000  # some 80,000 tokens: enough for a loss to one percent, by estimate


def choose_corpus(choices: Choices, minutes: float, size: SourceSize) -> Choices:
    """How much text is read, and how much of it is held back."""
    values: dict[str, Any] = {}
    cap = int(minutes * 60 * CORPUS_BYTES_PER_SECOND_ASKED)
    if choices.is_open("corpus.maximum_bytes") and size.bytes > cap:
        values["corpus.maximum_bytes"] = cap
    if choices.is_open("corpus.validation_fraction"):
        read = min(size.bytes, values.get("corpus.maximum_bytes", size.bytes))
        values["corpus.validation_fraction"] = round(min(0.1, max(0.002, VALIDATION_BYTES / max(1, read))), 4)
    return choices.with_values(values, "plan")


def follow_corpus(choices: Choices, corpus: CorpusManifest) -> Choices:
    """The choices under which the corpus was made."""
    made_with = {f"corpus.{key}": value for key, value in asdict(corpus.config).items()}
    now = flatten(choices.config)
    return choices.with_values({key: value for key, value in made_with.items() if value != now[key]}, "plan")
