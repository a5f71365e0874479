"""Published shapes have their published sizes."""

import pytest
import torch

from homespun.models.arithmetic import active_parameter_count, matrix_parameters, parameter_count
from homespun.models.presets import PRESETS
from homespun.models.registry import build_model
from homespun.models.settings import model_settings

# Counted in the published weights, shared tensors once.
EXACT = {
    "gpt1": 116_534_784,
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "llama2-7b": 6_738_415_616,
    "llama2-13b": 13_015_864_320,
    "mistral-7b": 7_241_732_096,
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "rwkv7-0.1b": 191_034_624,
    "rwkv7-0.4b": 450_767_872,
    "rwkv7-1.5b": 1_527_404_544,
    "rwkv7-2.9b": 2_947_735_040,
    "qwen3-30b-a3b": 30_532_122_624,
    "mixtral-8x7b": 46_702_792_704,
    "bert-base": 110_106_428,
    "bert-large": 336_226_108,
    "vit-base": 86_567_656,
    "vit-large": 304_326_632,
    "vit-huge": 632_045_800,
}
# Brown et al. 2020, table D.1, in millions.
TOLD = {
    "gpt3-125m": 125, "gpt3-350m": 356, "gpt3-760m": 760, "gpt3-1.3b": 1320, "gpt3-2.7b": 2650, "gpt3-6.7b": 6660,
    "gpt3-13b": 12_850, "gpt3-175b": 174_600,
}  # fmt: skip


# Vaswani et al. 2017, table 3, in millions, of a vocabulary of "about 37,000".
ABOUT = {"transformer-base": 65, "transformer-big": 213}


@pytest.mark.parametrize("name", EXACT)
def test_as_many_parameters_as_the_published_weights(name: str) -> None:
    assert parameter_count(model_settings(dict(PRESETS[name]))) == EXACT[name]


@pytest.mark.parametrize("name", ABOUT)
def test_the_encoder_decoder_has_about_the_sizes_of_its_table(name: str) -> None:
    assert parameter_count(model_settings(dict(PRESETS[name]))) / 1e6 == pytest.approx(ABOUT[name], rel=0.04)


@pytest.mark.parametrize("name", PRESETS)
def test_the_count_is_that_of_the_model_without_its_numbers(name: str) -> None:
    config = model_settings(dict(PRESETS[name]))
    with torch.device("meta"):
        model = build_model(config)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameter_count(config)


@pytest.mark.parametrize("name", TOLD)
def test_gpt_3_has_the_sizes_of_its_table(name: str) -> None:
    config = model_settings(dict(PRESETS[name]))
    assert parameter_count(config) / 1e6 == pytest.approx(TOLD[name], rel=0.004)


def test_the_largest_costs_what_its_paper_says() -> None:
    """Table D.1: 3.14e23 operations for 300 billion tokens, six for each parameter and token."""
    config = model_settings(dict(PRESETS["gpt3-175b"]))
    assert 6 * parameter_count(config) * 300e9 == pytest.approx(3.14e23, rel=0.002)
    assert matrix_parameters(config) == 12 * 96 * 12_288**2


def test_a_token_uses_a_part_of_all_experts() -> None:
    """Qwen3-30B-A3B has its name from the 3.3 billion that are active (Yang et al. 2025), Mixtral 8x7B uses 12.9."""
    for name, billions in (("qwen3-30b-a3b", 3.35), ("mixtral-8x7b", 12.88)):
        config = model_settings(dict(PRESETS[name]))
        assert active_parameter_count(config) / 1e9 == pytest.approx(billions, abs=0.005)


def test_every_preset_is_here() -> None:
    assert EXACT.keys() | TOLD.keys() | ABOUT.keys() == PRESETS.keys()
