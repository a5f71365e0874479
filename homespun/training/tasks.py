"""What there is to learn, by name: one line each. A model's settings say which is theirs (``ModelConfig.task``)."""

from homespun.training.losses import NextToken, Task

TASKS: dict[str, Task] = {
    "next_token": NextToken(),
}
