"""The clock: a program asks for random token ids, batch by batch; the time between two requests is a step.

So every program runs its own loop, whatever it does between two batches counts, and none needs a line of timing.
Steps are timed in sections of about half a second, because on a GPU the clock waits for the device at both ends of
what it times: waiting at every step would take from a program what it gains by running ahead.
"""

import math
import time

import torch

from throughput_peers.work import Work

BATCHES = 16  # different ones, in turn
WARM_UP_SECONDS = 1.0  # after the first step, which compiles; at least one step
SECTION_SECONDS = 0.5
SECTIONS = 3  # at least


class Enough(Exception):
    """Raised instead of a batch: all is measured."""


class Stopwatch:
    """``batch()`` gives the next ids (batch, context + 1); afterwards ``rates`` has tokens/s by section."""

    def __init__(self, work: Work) -> None:
        shape = work.shape
        size = (BATCHES, shape.batch_size, shape.context + 1)
        # The same ids for all: made on the processor, because a GPU's generator gives others.
        ids = torch.randint(shape.vocabulary_size, size, generator=torch.Generator().manual_seed(1))
        self.ids, self.device = ids.to(work.device), torch.device(work.device)
        self.tokens_per_step, self.wanted_seconds = shape.tokens_per_step, work.seconds
        self.requests = 0
        self.began, self.steps, self.length = 0.0, 0, 1  # of the section: when, steps asked for, steps it has
        self.first_step_done = 0.0  # when
        self.warm_up: list[float] = []
        self.measured_seconds = 0.0
        self.rates: list[float] = []

    def batch(self) -> torch.Tensor:
        """The next batch, or ``Enough``."""
        if self.requests == 0:
            self.began = self.now()
        elif self.steps == self.length:
            self.end_section(self.now() - self.began)
            self.steps, self.began = 0, time.perf_counter()
        self.requests += 1
        self.steps += 1
        return self.ids[self.requests % BATCHES]

    def now(self) -> float:
        """Seconds, once the device has done what it was given."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def end_section(self, seconds: float) -> None:
        """The first step, then single steps until all is warm, then sections that count."""
        if not self.first_step_done:
            self.first_step_done = time.perf_counter()
        elif sum(self.warm_up) < WARM_UP_SECONDS:
            self.warm_up.append(seconds)
            if sum(self.warm_up) >= WARM_UP_SECONDS:
                self.length = max(1, math.ceil(SECTION_SECONDS / min(self.warm_up)))
        else:
            self.rates.append(self.length * self.tokens_per_step / seconds)
            self.measured_seconds += seconds
            if self.measured_seconds >= self.wanted_seconds and len(self.rates) >= SECTIONS:
                raise Enough
