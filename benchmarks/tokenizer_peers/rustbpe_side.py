"""rustbpe (Karpathy's trainer, of nanochat): ``train_from_iterator``; its encoder only reads what it trained itself."""

from typing import Any

from tokenizer_peers.contender import MergeBytes, TrainingTask, Trains, file_parts
from tokenizer_peers.vocabularies import recover_merges


class Rustbpe(Trains):
    """A trainer."""

    name = package = "rustbpe"
    cannot_encode = "it cannot read a vocabulary that it has not trained"

    cannot_train = ""

    def train(self, task: TrainingTask) -> Any:
        """Its threads are rayon's."""
        import rustbpe

        tokenizer = rustbpe.Tokenizer()
        tokenizer.train_from_iterator(file_parts(task.text), 256 + task.merges, pattern=task.possessive)
        return tokenizer

    def merges(self, trained: Any) -> MergeBytes:
        """It gives tokens and ranks; the pairs follow from them."""
        return recover_merges({bytes(token): rank for token, rank in trained.get_mergeable_ranks()})
