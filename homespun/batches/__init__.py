"""Token ids to tensors: shards on disk, a deterministic order, and one file per objective's batches.

Shapes: B sequences in a batch, T positions in a sequence.
"""
