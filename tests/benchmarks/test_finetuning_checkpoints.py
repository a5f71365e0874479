"""The benchmark of checkpoints: with a small model what moves takes less than everything, and all of it can be read."""

import finetuning_checkpoints
import pytest

from homespun.models.settings import AssistantConfig, GPTConfig

BODY = GPTConfig(vocabulary_size=300, context=16, layers=2, width=64, heads=2)


@pytest.mark.parametrize("way", finetuning_checkpoints.WAYS)
def test_what_moves_takes_less(way: str) -> None:
    config = AssistantConfig(body=BODY, lora_rank=2, **finetuning_checkpoints.WAYS[way])
    found = finetuning_checkpoints.measure(config, 1)
    light, whole = found["what moves"], found["everything"]
    assert light.bytes < 0.8 * whole.bytes
    assert min(light.save, light.load, whole.save, whole.load) > 0
