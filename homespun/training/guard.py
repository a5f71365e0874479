"""Which steps are not to be trusted: a loss or gradient that is no number, or a gradient far out of line.

The verdict is a tensor on the device, so that a GPU need not be waited for: the optimizer multiplies
its step away by it (``Optimizers.step(skip)``). The loop reads the verdicts later, together with the loss.

Far out of line means ``factor`` times the running mean of earlier norms (the idea of OLMo's and PaLM's skipping of
spikes: Chowdhery et al. 2022, section 5.1, where batches were skipped by hand). What is skipped
never enters the mean. The state is part of a checkpoint, so a resumed run skips the same steps.
"""

import torch

STEPS_TO_KNOW_BY = 50  # before, the norm is still falling fast from where the initial weights have put it
MEMORY = 0.98


class Guard:
    """Judges each step by its loss and the norm of its gradient, both 0-d tensors on ``device``."""

    def __init__(self, factor: float, device: torch.device) -> None:
        """``factor`` 0: only what is no number is refused."""
        self.factor = factor
        self.mean = torch.zeros((), device=device)
        self.seen = torch.zeros((), device=device)

    def judge(self, loss: torch.Tensor, norm: torch.Tensor) -> torch.Tensor:
        """1.0 if the step is to be skipped, else 0.0, as a 0-d tensor; and learn from the norm."""
        bad = ~(torch.isfinite(loss) & torch.isfinite(norm))
        if self.factor:
            bad |= (self.seen >= STEPS_TO_KNOW_BY) & (norm > self.factor * self.mean)
        good = ~bad
        memory = torch.clamp(self.seen / (self.seen + 1), max=MEMORY)  # a plain mean at first
        # An outlier in the first steps is not skipped, but it must not hide those that follow.
        learned = torch.minimum(norm, self.factor * self.mean) if self.factor else norm
        learned = torch.where(self.seen > 0, learned, norm)
        self.mean = torch.where(good, memory * self.mean + (1 - memory) * learned, self.mean)
        self.seen = self.seen + good
        return bad.float()

    def tensors(self) -> dict[str, torch.Tensor]:
        """What a checkpoint keeps."""
        return {"mean": self.mean, "seen": self.seen}

    def load_tensors(self, tensors: dict[str, torch.Tensor]) -> None:
        """Put back what ``tensors`` gave."""
        self.mean = tensors["mean"].to(self.mean.device)
        self.seen = tensors["seen"].to(self.seen.device)
