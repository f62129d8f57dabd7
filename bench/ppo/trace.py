"""How a training went: CPU seconds of training alone, and what the policy earns after each update."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from bench.ppo.problem import Evaluation, Greedy
from bench.ppo.terms import Terms

REACHED = 0.8
"""Share of the best return that a system is timed to."""


@dataclass(frozen=True, slots=True)
class Point:
    """After so many environment steps and CPU seconds of training the greedy policy earns ``share``."""

    steps: int
    cpu_s: float
    share: float


class Trace:
    """Points of one training; the clock stands still while a policy is evaluated."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self._cpu_s = 0.0
        self._since = 0.0
        self.points: list[Point] = []

    def start(self) -> None:
        """Training begins."""
        self._since = time.process_time()

    def mark(self, steps: int, greedy: Greedy) -> None:
        """An update is done."""
        self._cpu_s += time.process_time() - self._since
        with torch.inference_mode():
            share = self._evaluation.share(greedy)
        self.points.append(Point(steps, self._cpu_s, share))
        self._since = time.process_time()


def sgemm_rate(size: int = 1024, rounds: int = 10) -> float:
    """Floating-point operations per CPU second of a square single-precision matrix product."""
    left, right = torch.rand(size, size), torch.rand(size, size)
    torch.mm(left, right)
    taken = []
    for _ in range(rounds):
        since = time.process_time()
        torch.mm(left, right)
        taken.append(time.process_time() - since)
    return 2.0 * size**3 / statistics.median(taken)


def reached(points: Sequence[Point]) -> Point | None:
    """The first point at which the goal's share is earned; ``None`` if it never is."""
    return next((point for point in points if point.share >= REACHED), None)


def figures(terms: Terms, points: Sequence[Point], rate: float) -> dict[str, Any]:
    """What is reported of a training; ``rate`` is the core's own, measured beside it."""
    last = points[-1]
    at = reached(points)
    return {
        "steps": last.steps,
        "train_cpu_s": last.cpu_s,
        "steps_per_cpu_s": last.steps / last.cpu_s,
        "steps_to_80": at.steps if at else None,
        "cpu_s_to_80": at.cpu_s if at else None,
        "last_share": last.share,
        "sgemm_gflops": rate / 1e9,
        "share_of_sgemm_rate": terms.flops_per_step * last.steps / last.cpu_s / rate,
        "curve": [asdict(point) for point in points],
    }
