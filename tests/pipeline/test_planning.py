"""The plan's lines say when its law does not speak of the run that it plans."""

import pytest

from homespun.pipeline.planning.plan import Plan, plan_lines

EXPECTED = {"parameters": 1e6, "memory_bytes": 1e9, "training_tokens": 1e7, "validation_bits_per_byte": 1.9}


@pytest.mark.parametrize("law_applies", [True, False])
def test_a_loss_that_the_law_was_not_fitted_for_is_told_as_such(law_applies: bool) -> None:
    plan = Plan(None, False, {}, {}, EXPECTED, {}, 0.0, law_applies=law_applies)
    (line,) = [line for line in plan_lines(plan) if "expected" in line]
    assert ("learned from runs with Muon" in line) is not law_applies
