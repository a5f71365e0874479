"""The benchmark of a base in few bits: memory of real steps, each in its process; losses of runs that are done."""

import json
from pathlib import Path

import pytest
import quantized_base

from homespun.common.configuration import flatten
from homespun.common.errors import UsageError
from homespun.common.files import write_json
from homespun.models.arithmetic import matrix_parameters, parameter_count
from homespun.models.settings import AssistantConfig, GPTConfig

BODY = GPTConfig(vocabulary_size=50, context=16, layers=2, width=32, heads=2)


def test_fewer_bits_take_less_memory() -> None:
    memory = quantized_base.measure_memory(64, 2, 2, 16, (32, 4))
    held = {bits: one["base_bytes"] for bits, one in memory["bits"].items()}
    assert held["4"] < held["32"]
    for one in memory["bits"].values():
        assert one["process_peak_bytes"] >= one["steps_peak_bytes"] and one["expected_bytes"] > one["base_bytes"]
    assert "4 bits" in "\n".join(quantized_base.memory_lines(memory))


def test_runs_that_are_done_are_only_read(tmp_path: Path) -> None:
    for bits in quantized_base.BITS:
        for seed, loss in ((1, 2.0), (2, 3.0)):
            checkpoint = tmp_path / f"bits-{bits}-{seed}" / "checkpoints" / "step-00000010"
            checkpoint.mkdir(parents=True)
            shape = AssistantConfig(body=BODY, trained="lora", lora_rank=2, base_bits=bits)
            write_json(checkpoint / "config.json", flatten(shape))
            result = {"validation_loss": loss, "seconds_training": 1.0}
            (checkpoint.parents[1] / "result.json").write_text(json.dumps(result))
    found = quantized_base.measure_losses(Path("base"), [], tmp_path, 2, [])
    in_full, in_four = (found[bits].pop("base_bytes") for bits in ("32", "4"))
    rest = 4 * (parameter_count(BODY) - matrix_parameters(BODY))  # embeddings and gains
    assert in_full == 4 * parameter_count(BODY) and rest < in_four < rest + matrix_parameters(BODY)
    assert found["4"] == {"loss": [2.0, 3.0], "seconds": [1.0, 1.0]}
    found["32"]["base_bytes"], found["4"]["base_bytes"] = in_full, in_four
    assert "2.5000" in "\n".join(quantized_base.loss_lines(found))


def test_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["quantized_base.py"])
    with pytest.raises(UsageError, match="give BASE"):
        quantized_base.main()
