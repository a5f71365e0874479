"""tokenizers (Hugging Face): a tokenizer.json; takes str only.

``encode_batch_fast`` leaves out the offsets and is the fastest call, also for one text. An ``Encoding`` is no ids yet,
so reading ``.ids`` is inside the clock. One long text in one call takes several times as long and
gigabytes, so it gets parts on one thread too. Threads: ``RAYON_NUM_THREADS`` and ``TOKENIZERS_PARALLELISM``.
Its trainer numbers the bytes by the characters it writes for them, not by their values: of equally frequent pairs it
may choose another one than a trainer that orders them by value.
"""

import json
from collections.abc import Sequence
from typing import Any

from tokenizer_peers.contender import Encodes, MergeBytes, Prepared, Text, TrainingTask, Trains, file_parts, flat
from tokenizer_peers.vocabularies import BYTE_OF_CHARACTER


class Tokenizers(Encodes, Trains):
    """Hugging Face's."""

    name = package = "tokenizers"
    in_parts = True
    start = """
from tokenizers import Tokenizer
ids = Tokenizer.from_file({tokenizer_json!r}).encode({text!r}, add_special_tokens=False).ids
"""

    cannot_train = ""

    def load(self, files: Prepared) -> None:
        """Read the tokenizer.json."""
        from tokenizers import Tokenizer

        self.tokenizer = Tokenizer.from_file(files.tokenizer_json)

    def encode(self, text: Text) -> Any:
        """A list of one list of ids."""
        return self.encode_parts([text], 1)

    def encode_parts(self, parts: Sequence[Any], threads: int) -> Any:
        """A list of lists."""
        return [encoding.ids for encoding in self.tokenizer.encode_batch_fast(parts, add_special_tokens=False)]

    def ids(self, result: Any) -> Any:
        """Lists -> array."""
        return flat(result)

    def train(self, task: TrainingTask) -> Any:
        """``BpeTrainer`` behind the same expression, with all 256 bytes as its alphabet."""
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex(task.classic), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        )
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=task.merges + len(alphabet), min_frequency=2, initial_alphabet=alphabet, show_progress=False
        )
        tokenizer.train_from_iterator(file_parts(task.text), trainer)
        return tokenizer

    def merges(self, trained: Any) -> MergeBytes:
        """From its own JSON."""
        pairs = json.loads(trained.to_str())["model"]["merges"]
        return [(bytes_of(left), bytes_of(right)) for left, right in pairs]


def bytes_of(characters: str) -> bytes:
    """Its visible characters -> bytes."""
    return bytes(BYTE_OF_CHARACTER[character] for character in characters)
