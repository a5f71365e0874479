"""What a run is doing, by what stands in its folder: a process that was killed cannot be asked."""

from pathlib import Path

from homespun.training.checkpoint import NAME

MOMENTS = (  # in their order
    "while data are prepared",
    "while the reference is worked out",
    "while training",
    "while saving",
    "while the result is worked out",
)
PREPARING, REFERENCE, TRAINING, SAVING, CONCLUDING = MOMENTS


def moment_of(run: Path) -> str:
    """One of the above."""
    checkpoints = run / "checkpoints"
    if not (run / "plan.json").exists() and not (run / "config.toml").exists():
        return PREPARING
    if (run / "preferences").is_dir() and not (run / "reference" / "manifest.json").exists():
        return REFERENCE
    if not checkpoints.is_dir():
        return TRAINING
    names = [path.name for path in checkpoints.iterdir()]
    if any(not NAME.fullmatch(name) for name in names):
        return SAVING
    return CONCLUDING if any(is_last(name, run) for name in names) else TRAINING


def is_last(name: str, run: Path) -> bool:
    """Whether it is the checkpoint of the last step."""
    asked = next(line for line in (run / "config.toml").read_text("utf-8").splitlines() if line.startswith("steps = "))
    return name == f"step-{int(asked.removeprefix('steps = ')):08}"
