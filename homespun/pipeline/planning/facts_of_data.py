"""What a plan has to know of the data: a corpus, images, labelled texts or dialogues in; a few numbers out."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from homespun.corpus.prepare import CorpusManifest
from homespun.models.settings import ClassifierConfig, ModelConfig, TextModelConfig
from homespun.tokenizer.tokenizer import Tokenizer
from homespun.training.budget import TextFacts

SAMPLED_CHARACTERS = 1_000_000


class Facts(Protocol):
    """What a plan asks of text and of images alike."""

    @property
    def validation_targets(self) -> float:
        """Of the whole validation split."""
        ...


@dataclass(frozen=True)
class ImageFacts:
    """How many images are held back."""

    validation_targets: float


@dataclass(frozen=True)
class LabelledFacts:
    """How many texts are held back, and how many tokens a text has in the mean."""

    validation_targets: float
    mean_length: int


@dataclass(frozen=True)
class DialogueFacts:
    """How many tokens, or pairs of answers, are held back, and how long it takes to write out answers in the end."""

    validation_targets: float
    seconds_of_answers: float = 0.0


def text_facts(corpus: CorpusManifest, tokenizer: Tokenizer, texts: Callable[[str], Iterable[str]]) -> TextFacts:
    """Sizes from the manifest; bytes per token and the unigram loss from encoding a part of each split."""
    train, _ = count_tokens(texts("train"), tokenizer)
    validation, size = count_tokens(texts("validation"), tokenizer)
    return facts_of_counts(corpus, train, validation, size)


def facts_of_counts(
    corpus: CorpusManifest, train: np.ndarray, validation: np.ndarray, validation_bytes: int
) -> TextFacts:
    """The same from how often each token occurs in a part of each split; ``validation_bytes``: of that part."""
    return TextFacts(
        train_bytes=corpus.splits["train"].bytes,
        validation_bytes=corpus.splits["validation"].bytes,
        bytes_per_token=validation_bytes / max(1, validation.sum()),
        unigram_loss=unigram_loss(train, validation),
        gzip_bits_per_byte=corpus.compression.gzip_bits_per_byte,
    )


def with_sides(facts: TextFacts, pairs: Iterable[tuple[str, str]], tokenizer: Tokenizer) -> TextFacts:
    """The same with the lengths of the sides of pairs, by the first of them."""
    lengths, characters = [], 0
    for pair in pairs:
        lengths += [len(tokenizer.encode(side)) + 1 for side in pair]
        characters += sum(map(len, pair))
        if characters >= SAMPLED_CHARACTERS:
            break
    return replace(facts, mean_side=round(sum(lengths) / len(lengths)), longest_side=max(lengths))


def of_usual_length(model: ModelConfig, facts: Facts) -> ModelConfig:
    """For measuring and counting steps: batches of pairs are as long as the pairs, running text fills the context."""
    if isinstance(model, TextModelConfig) and isinstance(facts, TextFacts) and facts.mean_side:
        return replace(model, context=facts.mean_side)
    if isinstance(model, ClassifierConfig) and isinstance(facts, LabelledFacts):
        return replace(model, length=facts.mean_length)
    return model


def count_tokens(texts: Iterable[str], tokenizer: Tokenizer) -> tuple[np.ndarray, int]:
    """How often each token occurs in the beginning of some texts, and how many bytes were counted."""
    counts, characters, size = np.zeros(tokenizer.vocabulary_size, np.int64), 0, 0
    for text in texts:
        part = text[: SAMPLED_CHARACTERS - characters]
        characters += len(part)
        size += len(part.encode("utf-8"))
        counts += np.bincount(tokenizer.encode(part), minlength=len(counts))
        if characters >= SAMPLED_CHARACTERS:
            break
    return counts, size


def unigram_loss(train: np.ndarray, validation: np.ndarray) -> float:
    """Nats per token of ``validation`` when only the frequencies of ``train`` are known (half a count added)."""
    chances = (train + 0.5) / (train + 0.5).sum()
    return float(-(validation * np.log(chances)).sum() / max(1, validation.sum()))
