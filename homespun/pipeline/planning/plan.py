"""The plan of a run: what was decided, why, what is expected; as a record and as lines for people."""

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from homespun.common.configuration import flatten
from homespun.common.errors import HomespunError
from homespun.pipeline.configuration import Choices

LEAST_TRAINING_SECONDS = 5.0


@dataclass(frozen=True)
class Plan:
    """What was decided (``values``), why, what is expected, and what was measured to decide it."""

    minutes: float | None
    timed: bool
    values: dict[str, Any]
    reasons: dict[str, str]
    expected: dict[str, float]
    measured: dict[str, Any]
    seconds_after_training: float
    most_steps: int = 0
    ends_early: bool = False
    law_applies: bool = True  # the law of losses is fitted on runs with this optimizer
    unit: str = "tokens"  # what is counted: one for each target
    seconds_kept: float = 0.0  # of those after training: for the assistant that the model is to become
    origins: dict[str, str] = field(default_factory=dict)

    def training_seconds_left(self, spent: float) -> float:
        """Seconds for training when ``spent`` are gone."""
        assert self.minutes is not None
        return seconds_for_training(self.minutes * 60 - spent - self.seconds_after_training)

    def record(self) -> dict[str, Any]:
        """For ``plan.json``."""
        choices = [{"key": key, "value": value, "why": self.reasons.get(key, "")} for key, value in self.values.items()]
        return asdict(self) | {"choices": choices}

    @staticmethod
    def from_record(record: dict[str, Any]) -> "Plan":
        """What ``record`` wrote."""
        values = {key: tuple(value) if isinstance(value, list) else value for key, value in record["values"].items()}
        return Plan(**{key: value for key, value in record.items() if key != "choices"} | {"values": values})


def seconds_for_training(left: float) -> float:
    """What training gets of the seconds that are left: a few, even where there are none."""
    return max(LEAST_TRAINING_SECONDS, left)


def fixed_keys(choices: Choices) -> frozenset[str]:
    """The keys that the user has set."""
    return frozenset(key for key, origin in choices.origins.items() if origin not in ("default", "plan"))


def chosen_before(choices: Choices) -> dict[str, Any]:
    """What the stages before the plan have chosen."""
    return {key: value for key, value in flatten(choices.config).items() if choices.origins.get(key) == "plan"}


def whole_plan(plan: Plan, choices: Choices, fixed: frozenset[str], values: dict[str, Any]) -> Plan:
    """With the ``values`` chosen before, a reason for each, and where every value comes from."""
    values = {key: value for key, value in (values | plan.values).items() if key not in fixed}
    return replace(
        plan,
        values=values,
        reasons={key: reason for key, reason in plan.reasons.items() if key in values},
        origins=choices.origins | dict.fromkeys(values, "plan"),
    )


def refuse_too_little_time(minutes: float, other_seconds: float) -> None:
    """A run that cannot train is not begun; ``other_seconds`` go to everything else."""
    if minutes * 60 - other_seconds < LEAST_TRAINING_SECONDS:
        enough = math.ceil((other_seconds + 4 * LEAST_TRAINING_SECONDS) / 6) / 10
        raise HomespunError(
            f"--minutes {minutes:g} leaves no time to train: reading, measuring and the report take "
            f"{other_seconds:.0f} seconds here; ask for --minutes {enough:.1f} or more"
        )


def plan_lines(plan: Plan) -> list[str]:
    """The plan for people."""
    expected = plan.expected
    time_and_speed = ""
    if "training_seconds" in expected:
        seconds, speed = expected["training_seconds"], expected["tokens_per_second"]
        time_and_speed = f" in {seconds:.0f} seconds, {speed:,.0f} {plan.unit}/s"
    short = "warning: more memory than is free now"
    other = "" if plan.law_applies else "  (learned from runs with Muon: AdamW ends higher)"
    bits = expected.get("validation_bits_per_byte")
    early = "the text is short: more passes would only teach it by heart, so this will take less than the time asked"
    return [
        "plan:" if plan.minutes is None else f"plan for {plan.minutes:g} minutes:",
        f"  model      {expected['parameters']:,.0f} parameters, {expected['memory_bytes'] / 1e9:.2f} GB of memory",
        f"  training   {expected['training_tokens']:,.0f} {plan.unit}{time_and_speed}",
        *([f"  expected   {bits:.2f} bits per byte of text it has not seen{other}"] if bits is not None else []),
        *([f"  {early}"] if plan.ends_early else []),
        *([f"  afterwards {plan.seconds_kept:.0f} seconds, to learn to answer"] if plan.seconds_kept else []),
        *([f"  {short}"] if expected["memory_bytes"] > expected.get("memory_bytes_free", math.inf) else []),
        *(f"  {key:<26} {value!s:<10} {plan.reasons.get(key, '')}".rstrip() for key, value in plan.values.items()),
    ]
