"""What ``bench.gates`` simulates, and how it is spread over processes."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from multiprocessing import get_context
from typing import Any

from bench.gates import groups, once, plans, ratios, returning
from bench.gates.estimators import interval_coverage
from bench.gates.known_truth import Rewards

Row = dict[str, Any]


def coverage(seed: int, repetitions: int, kind: Rewards) -> list[Row]:
    """Off-policy intervals (``bench.gates.estimators``)."""
    return [
        {
            "system": f"{row.estimator}, {row.interval}",
            "study": "off-policy coverage",
            **asdict(row),
        }
        for row in interval_coverage(repetitions, seed, kinds=(kind,))
    ]


def six_hourly(seed: int, repetitions: int) -> list[Row]:
    found = returning.replay_hours(seed, repetitions)
    return [
        {
            "system": "everloop",
            "study": "people who come back, ramp, looked at every six hours",
            "rewards": "dense",
            "effect": 0.0,
            "better": found.share(1),
            "worse": found.share(-1),
            "repetitions": repetitions,
        }
    ]


def back(seed: int, repetitions: int, kind: str, traffic: str, effect: float) -> list[Row]:
    played = returning.replay(seed, kind, traffic, effect, repetitions)
    return list(returning.rows_of(played, kind, traffic, effect, repetitions))


def of_plans(seed: int, repetitions: int) -> list[Row]:
    return list(plans.measure(seed, repetitions))


def of_once(seed: int, repetitions: int) -> list[Row]:
    return list(once.measure(seed, repetitions))


def of_groups(seed: int, repetitions: int) -> list[Row]:
    return list(groups.measure(seed, repetitions))


def of_ratios(seed: int, repetitions: int) -> list[Row]:
    return [*ratios.measure(seed, repetitions), *ratios.measure_regulars(seed, repetitions)]


Study = tuple[Callable[..., list[Row]], tuple[Any, ...]]


def studies() -> tuple[Study, ...]:
    """Functions of seed and repetitions with what else they take; long ones first."""
    settings = [(kind, way, 0.0) for kind in returning.PEOPLE for way in returning.TRAFFIC]
    settings += [("dense", "ramp", 0.1), ("dense", "ramp", -0.2)]
    return (
        (coverage, ("dense",)),
        (coverage, ("sparse",)),
        (six_hourly, ()),
        (of_plans, ()),
        *((back, setting) for setting in settings),
        (of_once, ()),
        (of_groups, ()),
        (of_ratios, ()),
    )


def measure(seed: int, repetitions: int, processes: int, chosen: Sequence[Study]) -> list[Row]:
    """Rows of the studies, in their order, each in a process of its own."""
    with ProcessPoolExecutor(processes, mp_context=get_context("forkserver")) as pool:
        waiting = [pool.submit(_timed, study, seed, repetitions, more) for study, more in chosen]
        return [row for future in waiting for row in future.result()]


def _timed(
    study: Callable[..., list[Row]], seed: int, repetitions: int, more: tuple[Any, ...]
) -> list[Row]:
    begun = time.perf_counter()
    rows = study(seed, repetitions, *more)
    told = f"{study.__name__} {' '.join(map(str, more))}: {time.perf_counter() - begun:.0f} s"
    print(told, file=sys.stderr, flush=True)
    return rows
