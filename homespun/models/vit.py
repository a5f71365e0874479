"""The vision transformer: images (B, K, H, W) in, logits (B, V) for the V classes out.

Dosovitskiy et al. 2021, "An Image is Worth 16x16 Words". Patches stand where a language model has tokens; before them
stands one vector that is learned, the class token, and what the blocks have made of it is what is read. Everything
between is GPT's, but that every position sees every other one.

Left out: the hidden layer that the paper gives the head in pretraining, and positions for images of another size.

Shapes: B images, K channels, P patches, C width, V classes.
"""

import torch
from torch import nn

from homespun.layers.attention import SelfAttention
from homespun.layers.block import Block
from homespun.layers.feedforward import FEEDFORWARDS
from homespun.layers.initialization import draw_cut_normal, draw_matrices_evenly
from homespun.layers.normalization import NORMALIZATIONS
from homespun.layers.patches import Patches
from homespun.layers.positions import LearnedPositions
from homespun.models.settings import ViTConfig

TRUNCATED = 0.87962566103423978  # deviation of a standard normal distribution without what lies beyond 2


class ViT(nn.Module):
    """Embed patches, pass them through the blocks, read logits off the class token."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        self.config = config
        normalization = NORMALIZATIONS["layer"](config.norm_epsilon, True)
        self.patches = Patches(config.channels, config.patch_size, config.width)
        self.class_token = nn.Parameter(torch.empty(config.width))
        self.positions = LearnedPositions(config.positions_in_row, config.width)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            Block(
                config.width,
                SelfAttention(
                    config.width, config.heads, config.heads, config.width // config.heads, biases=True, causal=False
                ),
                FEEDFORWARDS["gelu_exact"](config.width, config.hidden_width, biases=True),
                normalization,
                config.dropout,
            )
            for _ in range(config.layers)
        )
        self.final_norm = normalization(config.width)
        self.head = nn.Linear(config.width, config.classes)
        initialize(self)

    def hidden(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, K, H, W) -> activations (B, 1 + P, C), the class token first."""
        patches = self.patches(images)  # (B, P, C)
        x = torch.cat([self.class_token.expand(len(images), 1, -1), patches], dim=1)
        x = self.dropout(self.positions.add(x, 0))
        for block in self.blocks:
            x = block(x, self.positions)
        return self.final_norm(x)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Images (B, K, H, W) -> logits (B, V)."""
        return self.head(self.hidden(images)[:, 0])


def initialize(model: ViT) -> None:
    """As in the authors' own program (https://github.com/google-research/vision_transformer, models_vit.py).

    | weight                    | distribution                                                     |
    | patches                   | normal, cut at 2 deviations; then of deviation 1 / sqrt(columns) |
    | class token               | 0                                                                |
    | positions                 | normal, deviation 0.02                                           |
    | each matrix of the blocks | uniform within sqrt(6 / (rows + columns)) (Glorot & Bengio 2010) |
    | biases of feed-forward    | normal, deviation 1e-6                                           |
    | head, all other biases    | 0                                                                |
    | gains                     | 1                                                                |
    """
    draw_cut_normal(model.patches.weight, model.config.values_of_patch**-0.5 / TRUNCATED)
    nn.init.normal_(model.positions.weight, std=0.02)
    for name, parameter in model.named_parameters():
        if name.startswith("blocks.") and ".feedforward." in name and name.endswith(".bias"):
            nn.init.normal_(parameter, std=1e-6)
        elif name.endswith("bias") or name.startswith(("class_token", "head.")):
            nn.init.zeros_(parameter)
    draw_matrices_evenly(model)
