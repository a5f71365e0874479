"""The knobs of images, each with its meaning: what a user can write under ``[images]``. Imports nothing heavy."""

from dataclasses import dataclass, field

from homespun.common.errors import UsageError


@dataclass(frozen=True)
class ImagesConfig:
    """How images become batches. A value out of range raises ``UsageError``, one line that names the key."""

    validation_fraction: float = field(
        default=0.2, metadata={"help": "share of the images kept for validation, above 0 and at most 0.5"}
    )
    split_seed: int = field(default=1, metadata={"help": "which images those are"})
    shift: int = field(
        default=1, metadata={"help": "in training, images move by chance up to so many pixels each way (0: they stay)"}
    )

    def __post_init__(self) -> None:
        if not 0 < self.validation_fraction <= 0.5:
            raise UsageError(
                f"images.validation_fraction is {self.validation_fraction}; it must be above 0 and at most 0.5"
            )
        if not 0 <= self.split_seed < 1 << 64:
            raise UsageError(f"images.split_seed is {self.split_seed}; it must be at least 0 and below 2^64")
        if self.shift < 0:
            raise UsageError(f"images.shift is {self.shift}; it must be at least 0")
