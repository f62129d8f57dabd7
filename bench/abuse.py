"""Quarantine of machines and of people that its rules were not made with: ``make bench-abuse``.

Recall is the share of a type's feedback that ends in quarantine, hindsight included; the goal is its
mean over types, so that no type hides behind another. Intervals are 95 % percentiles of a bootstrap
over campaigns (machines) and over sessions (people).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from random import Random
from statistics import fmean

from bench.abuse_machines import MIMICS
from bench.abuse_machines import Maker as MachineMaker
from bench.abuse_replay import Outcome, held_share, replay_together
from bench.abuse_unseen_machines import MACHINES
from bench.abuse_unseen_people import PEOPLE
from bench.record import Goal, Spread, record

SEED = 20_260_302
_DRAWS = 400
_ROUND = 30
"""Sessions of people that share an hour of the product."""


def campaigns(maker: MachineMaker, seed: int, count: int) -> list[tuple[Outcome, ...]]:
    """Outcomes of ``count`` campaigns of one machine."""
    random = Random(f"{seed}:{maker.__name__}")
    return [replay_together(maker(random)) for _ in range(count)]


def people(seed: int, rounds: int) -> list[Outcome]:
    """Outcomes of ``rounds`` x 30 honest sessions; those of one round meet at the door."""
    random = Random(f"{seed}:people")
    outcomes: list[Outcome] = []
    for _ in range(rounds):
        sessions = [maker(random) for maker, count in PEOPLE.items() for _ in range(count)]
        outcomes.extend(replay_together(sessions))
    return outcomes


def interval(statistic: Callable[[Random], float], random: Random) -> tuple[float, float]:
    """2.5 % and 97.5 % of a statistic over bootstrap draws."""
    drawn = sorted(statistic(random) for _ in range(_DRAWS))
    return drawn[int(0.025 * _DRAWS)], drawn[int(0.975 * _DRAWS) - 1]


def _flat(found: Sequence[tuple[Outcome, ...]]) -> list[Outcome]:
    return [outcome for campaign in found for outcome in campaign]


def _spread(value: float, bounds: tuple[float, float]) -> Spread:
    return Spread(value, min(value, bounds[0]), max(value, bounds[1]))


def _row(
    system: str, outcomes: Sequence[Outcome], bounds: tuple[float, float]
) -> dict[str, object]:
    firsts = sorted(o.first if o.first is not None else o.n + 1 for o in outcomes)
    return {
        "system": system,
        "size": sum(o.n for o in outcomes),
        "sessions": len(outcomes),
        "held_share": held_share(outcomes),
        "low": bounds[0],
        "high": bounds[1],
        "at_door": sum(o.at_door for o in outcomes) / sum(o.n for o in outcomes),
        "median_first": firsts[len(firsts) // 2],
    }


def measure(seed: int, count: int, rounds: int) -> tuple[list[dict[str, object]], list[Goal]]:
    """Rows by type and the two goals."""
    random = Random(seed)

    def resampled(found: Sequence[tuple[Outcome, ...]], by: Random) -> float:
        return held_share(_flat(by.choices(found, k=len(found))))

    by_type = {maker: campaigns(maker, seed, count) for maker in (*MACHINES, *MIMICS)}
    rows = [
        _row(
            f"machine {maker.__name__}" + (" (not in the goal)" if maker in MIMICS else ""),
            _flat(found),
            interval(lambda by, found=found: resampled(found, by), random),
        )
        for maker, found in by_type.items()
    ]
    recall = fmean(held_share(_flat(by_type[maker])) for maker in MACHINES)
    recall_bounds = interval(
        lambda by: fmean(resampled(by_type[maker], by) for maker in MACHINES), random
    )
    honest = people(seed, rounds)
    for maker in PEOPLE:
        those = [o for o in honest if o.kind == maker.__name__]
        bounds = interval(
            lambda by, those=those: held_share(by.choices(those, k=len(those))), random
        )
        rows.append(_row(f"person {maker.__name__}", those, bounds))
    honest_bounds = interval(lambda by: held_share(by.choices(honest, k=len(honest))), random)
    rows.append(_row("people", honest, honest_bounds))
    goals = [
        Goal("recall_unseen", _spread(recall, recall_bounds), 0.9, "min"),
        Goal("honest_quarantined_share", _spread(held_share(honest), honest_bounds), 0.01, "max"),
    ]
    return rows, goals


def main() -> None:
    """Print a table and the record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a smoke size")
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    count, rounds = (4, 3) if asked.quick else (30, 30)
    rows, goals = measure(asked.seed, count, rounds)
    print(f"{'type':38} {'feedback':>8} {'sessions':>8}  in quarantine [95 %]   at door  first")
    for row in rows:
        print(
            f"{row['system']:38} {row['size']:8} {row['sessions']:8}  {row['held_share']:.3f} "
            f"[{row['low']:.3f}, {row['high']:.3f}]  {row['at_door']:.3f}  {row['median_first']:5}"
        )
    print(record("abuse", asked.seed, rows, goals))


if __name__ == "__main__":
    main()
