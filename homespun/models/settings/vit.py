"""The shape of a vision transformer: what a user can write under ``[model]`` for ``architecture = "vit"``."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from homespun.common.errors import UsageError
from homespun.models.settings.base import ModelConfig


@dataclass(frozen=True)
class ViTConfig(ModelConfig):
    """Square images, cut into square patches; the defaults are for the digits of scikit-learn, 8 x 8 in grey."""

    task: ClassVar[str] = "images"
    reads: ClassVar[str] = "images"
    target: ClassVar[str] = "image"
    shorter_rows: ClassVar[str] = "a larger model.patch_size"

    architecture: Literal["vit"] = field(default="vit", metadata={"help": "which model of the registry"})
    width: int = field(default=64, metadata={"help": "channels of the residual stream"})
    image_size: int = field(default=8, metadata={"help": "pixels of an image's side; follows the images"})
    channels: int = field(default=1, metadata={"help": "numbers of a pixel: 1 grey, 3 colour; follows the images"})
    classes: int = field(default=10, metadata={"help": "what an image may show; follows the images"})
    labels: tuple[str, ...] = field(default=(), metadata={"help": "the classes' names; follow the images"})
    patch_size: int = field(default=2, metadata={"help": "pixels of a patch's side"})
    heads: int = field(default=4, metadata={"help": "attention heads"})
    feedforward_width: int = field(default=0, metadata={"help": "hidden channels (0: 4 x width)"})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.check_at_least(1, "image_size", "channels", "classes", "patch_size", "heads")
        self.check_at_least(0, "feedforward_width")
        self.check_divides("patch_size", "image_size")
        self.check_divides("heads", "width")
        if self.labels and len(self.labels) != self.classes:
            raise UsageError(f"model.labels names {len(self.labels)} classes; model.classes is {self.classes}")

    @property
    def patches(self) -> int:
        """Patches of one image."""
        return (self.image_size // self.patch_size) ** 2

    @property
    def values_of_patch(self) -> int:
        """Numbers in one patch."""
        return self.channels * self.patch_size**2

    @property
    def hidden_width(self) -> int:
        """Hidden channels of the feed-forward layer, with the default worked out."""
        return self.feedforward_width or 4 * self.width

    @property
    def positions_in_row(self) -> int:
        """Patches, and the class token."""
        return self.patches + 1

    @property
    def targets_in_row(self) -> int:
        return 1

    @property
    def outputs(self) -> int:
        return self.classes

    def forward_flops(self, matrices: int) -> float:
        """Patches are embedded, all positions go through the blocks and look at each other, one is read."""
        positions = self.positions_in_row
        embedding = self.patches * self.values_of_patch * self.width
        attention = 2 * self.layers * self.width * positions**2  # scores, and weighted values
        return 2 * (embedding + positions * matrices + attention + self.classes * self.width)
