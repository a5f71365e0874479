"""The vision transformer: patches, what sees what, counting, the first weights, and the published implementation."""

import math
import warnings
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import save_file
from torch.utils.flop_counter import FlopCounterMode

from homespun.common.errors import UsageError
from homespun.common.progress import ignore
from homespun.interchange.forms import forms_of, weights_of
from homespun.interchange.huggingface.families.vit import VIT
from homespun.interchange.huggingface.tensors import read_tensors, stored_tensors
from homespun.interchange.stored import TensorSource
from homespun.interchange.stored.safetensors_file import SafetensorsFile
from homespun.layers.attention import use_attention
from homespun.layers.patches import Patches, cut
from homespun.models.arithmetic import forward_flops_per_token, matrix_parameters, parameter_count
from homespun.models.settings import ViTConfig, model_settings
from homespun.models.vit import ViT
from tests.interchange.test_against_transformers import Gradients

SMALL = ViTConfig(image_size=12, patch_size=3, channels=3, classes=5, layers=2, width=24, heads=3)


@pytest.fixture(scope="module")
def transformers() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("transformers")


def model_of(config: ViTConfig = SMALL, seed: int = 0) -> ViT:
    """With every weight random, the head too: it begins at zero."""
    torch.manual_seed(seed)
    model = ViT(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(1.0 if parameter.dim() == 1 else 0.0, 0.2)
    return model.eval()


def images_of(config: ViTConfig, count: int, seed: int = 1) -> torch.Tensor:
    shape = (count, config.channels, config.image_size, config.image_size)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1


@pytest.mark.parametrize(("side", "size", "channels"), [(12, 3, 3), (8, 2, 1), (8, 8, 2), (5, 1, 4)])
def test_patches_are_a_convolution_whose_stride_is_its_size(side: int, size: int, channels: int) -> None:
    torch.manual_seed(0)
    patches = Patches(channels, size, 7)
    convolution = torch.nn.Conv2d(channels, 7, size, size)
    with torch.no_grad():
        convolution.weight.copy_(patches.weight.view_as(convolution.weight))
        convolution.bias.copy_(patches.bias)
    images = torch.randn(2, channels, side, side)
    torch.testing.assert_close(patches(images), convolution(images).flatten(2).transpose(1, 2), rtol=1e-5, atol=1e-5)


def test_patches_are_cut_row_by_row() -> None:
    image = torch.arange(16.0).view(1, 1, 4, 4)
    assert cut(image, 2)[0].tolist() == [[0, 1, 4, 5], [2, 3, 6, 7], [8, 9, 12, 13], [10, 11, 14, 15]]


def test_every_patch_counts_and_no_other_image() -> None:
    model, images = model_of(), images_of(SMALL, 2)
    with torch.inference_mode():
        before = model(images)
        for row in range(0, 12, 3):
            for column in range(0, 12, 3):
                changed = images.clone()
                changed[0, :, row : row + 3, column : column + 3] += 1
                after = model(changed)
                assert not torch.allclose(after[0], before[0], atol=1e-4)
                torch.testing.assert_close(after[1], before[1])


def test_where_a_patch_stands_is_told_by_its_position_alone() -> None:
    """Without positions the patches are a set: exchanged, they are read as the same image."""
    model, images = model_of(), images_of(SMALL, 1)
    exchanged = images.clone()
    exchanged[..., :3, :3], exchanged[..., 9:, 3:6] = images[..., 9:, 3:6], images[..., :3, :3]
    with torch.inference_mode():
        assert not torch.allclose(model(images), model(exchanged), atol=1e-3)
        model.positions.weight.zero_()
        torch.testing.assert_close(model(images), model(exchanged), rtol=1e-4, atol=1e-5)


def test_parameters_and_operations_are_counted() -> None:
    model, images = model_of(), images_of(SMALL, 1)
    assert parameter_count(SMALL) == sum(parameter.numel() for parameter in model.parameters())
    assert matrix_parameters(SMALL) == 2 * (4 * 24**2 + 8 * 24**2)
    use_attention(model, "explicit")  # the products of the fused kernel are not counted
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        model(images)
    assert forward_flops_per_token(SMALL) == counter.get_total_flops()


def test_the_first_weights_are_the_published_ones() -> None:
    torch.manual_seed(0)
    config = ViTConfig(image_size=32, patch_size=4, channels=3, classes=7, layers=2, width=192, heads=3)
    model = ViT(config)
    weights = dict(model.named_parameters())
    assert not weights["class_token"].any() and not weights["head.weight"].any() and not weights["head.bias"].any()
    assert weights["positions.weight"].std().item() == pytest.approx(0.02, rel=0.03)
    assert weights["patches.weight"].std().item() == pytest.approx(48**-0.5, rel=0.03)
    assert weights["patches.weight"].abs().max().item() < 2.3 * 48**-0.5
    for name, fan in (
        ("attention.query_key_value", 2 * 192), ("attention.output", 2 * 192), ("feedforward.widen", 5 * 192),
        ("feedforward.output", 5 * 192),
    ):  # fmt: skip
        bound = math.sqrt(6 / fan)
        weight = weights[f"blocks.1.{name}.weight"]
        assert bound * 0.99 < weight.abs().max().item() <= bound
        assert weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.03)
    assert 0 < weights["blocks.0.feedforward.widen.bias"].abs().max().item() < 1e-5
    assert not weights["blocks.0.attention.query_key_value.bias"].any()
    assert bool((weights["blocks.0.attention_norm.weight"] == 1).all())
    # A head of zeros finds all classes equally likely.
    loss = torch.nn.functional.cross_entropy(model(images_of(config, 2)), torch.tensor([0, 6]))
    assert loss.item() == pytest.approx(math.log(7), rel=1e-5)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"patch_size": 3}, "does not divide"),
        ({"heads": 5}, "does not divide"),
        ({"classes": 0}, "at least 1"),
        ({"labels": ("a", "b")}, "names 2 classes"),
        ({"context": 8}, "no setting of vit"),
    ],
)
def test_what_cannot_be_built_is_one_line(wrong: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says) as raised:
        model_settings({"architecture": "vit"} | wrong)
    assert "\n" not in str(raised.value)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("side", "size", "channels", "layers", "width", "heads"), [(12, 3, 3, 2, 24, 3), (8, 2, 1, 3, 32, 4)]
)
def test_it_is_that_of_transformers(
    transformers: ModuleType, tmp_path: Path, side: int, size: int, channels: int, layers: int, width: int, heads: int
) -> None:
    """Logits and every gradient, from their weights and from ours, through files."""
    epsilon = 1e-6
    config = ViTConfig(
        image_size=side, patch_size=size, channels=channels, classes=5, layers=layers, width=width, heads=heads,
        feedforward_width=3 * width, norm_epsilon=epsilon,
    )  # fmt: skip
    theirs = transformers.ViTForImageClassification(
        transformers.ViTConfig(
            image_size=side, patch_size=size, num_channels=channels, num_labels=5, num_hidden_layers=layers,
            hidden_size=width, num_attention_heads=heads, intermediate_size=3 * width, layer_norm_eps=epsilon,
            attn_implementation="eager",
        )
    )  # fmt: skip
    ours = model_of(config, seed=3)
    torch.manual_seed(4)
    with torch.no_grad():
        for parameter in theirs.parameters():
            parameter.normal_(1.0 if parameter.dim() == 1 else 0.0, 0.2)
    # Theirs into ours, through the file that they write.
    theirs.save_pretrained(tmp_path / "theirs")
    compare(tensors_of(SafetensorsFile(tmp_path / "theirs" / "model.safetensors"), config), theirs.eval(), config)
    # Ours into theirs, through a file that they read.
    theirs.config.save_pretrained(tmp_path / "ours")
    stored = dict(stored_tensors(VIT, weights_of(ours, None), "F32"))
    save_file(stored, tmp_path / "ours" / "model.safetensors", {"format": "pt"})
    read_back = transformers.ViTForImageClassification.from_pretrained(
        tmp_path / "ours", attn_implementation="eager", dtype=torch.float32
    )
    compare(dict(ours.named_parameters()), read_back.eval(), config)


def tensors_of(source: TensorSource, config: ViTConfig) -> dict[str, torch.Tensor]:
    """Theirs in our names and layout, by the product's own table."""
    return read_tensors(VIT, config, forms_of(config), source, ignore)


def compare(weights: dict[str, torch.Tensor], theirs: torch.nn.Module, config: ViTConfig) -> None:
    """Same weights: same logits, same gradients."""
    ours = model_of(config)
    assert dict(ours.named_parameters()).keys() == weights.keys()
    ours.load_state_dict(weights)
    images, targets = images_of(config, 4), torch.tensor([0, 3, 4, 1])
    with torch.inference_mode():
        torch.testing.assert_close(ours(images), theirs(images).logits, rtol=1e-4, atol=1e-4)
    for model in (ours, lambda batch: theirs(batch).logits):
        torch.nn.functional.cross_entropy(model(images), targets).backward()
    gradients = tensors_of(Gradients(theirs), config)
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(
            parameter.grad, gradients[name], rtol=1e-3, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}"
        )
