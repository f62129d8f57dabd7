"""A job that runs elsewhere: how it goes, and how it is waited for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from everloop.contracts.errors import ShouldFixArgument, ShouldRetryLater

Phase = Literal["waiting", "running", "succeeded", "failed"]


@dataclass(frozen=True, slots=True)
class JobState:
    """A job as it was last seen.

    ``told``: what the platform says of it, its own words shortened; "" where it says nothing.
    """

    phase: Phase
    told: str = ""

    @property
    def ended(self) -> bool:
        """Whether it will not change any more."""
        return self.phase in ("succeeded", "failed")


Heard = Callable[[JobState], None]
"""Called whenever a job's state is another than before."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a job is waited for.

    Attributes:
        timeout_s: seconds in all; the job itself goes on when they are over.
        every_s: seconds between two looks.
        clock, sleep: time; tests replace them.
    """

    timeout_s: float
    every_s: float = 5.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep

    def __post_init__(self) -> None:
        if not (self.timeout_s > 0 and self.every_s >= 0):
            raise ShouldFixArgument(
                f"A job cannot be waited for {self.timeout_s} s, looking every {self.every_s} s.",
                "Give a time above 0.",
            )


MOST_SILENCES = 30
"""Looks in a row that may fail in a way that passes."""


def wait_for(
    name: str, look: Callable[[], JobState], patience: Patience, heard: Heard | None = None
) -> JobState:
    """Look at a job until it has ended.

    Raises:
        ShouldRetryLater: it had not ended in time, or nobody answered for ``MOST_SILENCES`` looks; it goes
            on.
    """
    until = patience.clock() + patience.timeout_s
    before: JobState | None = None
    silences = 0
    while True:
        try:
            state, silences = look(), 0
        except ShouldRetryLater:
            silences += 1
            if silences >= MOST_SILENCES or patience.clock() >= until:
                raise
            patience.sleep(patience.every_s)
            continue
        if state != before and heard is not None:
            heard(state)
        if state.ended:
            return state
        if patience.clock() >= until:
            raise ShouldRetryLater(
                f"{name} has not ended after {patience.timeout_s:.0f} s: it is {state.phase}"
                f"{f' ({state.told})' if state.told else ''}.",
                "It goes on; the same command waits for it again.",
                60.0,
            )
        before = state
        patience.sleep(patience.every_s)
