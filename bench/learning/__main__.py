"""What the learned policy is truly worth, as a share of what the best possible policy gains.

    python -m bench.learning [--quick] [--seeds 1 2 3 4 5] [--only goals|sizes|doubt] [--minutes 60]

On the population with a known truth: logs of 1,000 to 30,000 episodes, private releases within
epsilon = 1, policies learned on them, and their exact expected rewards over whole journeys of new people,
rolled out with common random numbers. Parts: ``goals``, PPO at 10,000 episodes and its transfer to other
people and to other actions by 1,000 further episodes; ``sizes``, every system at every size; ``doubt``,
what ensemble and pessimism are worth with a user model of too few people whose usual rules take some
actions seldom, and how far its simulator promises too much. Rows are kept under
``.cache/bench-learning`` as they come: the same command goes on where it was killed, unless the source has
changed or ``--fresh`` is given. ``--minutes`` begins no further row after so many.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, Final

from bench.learning.doubt import DISCOUNTS, DoubtTerms, doubt_table, measure_doubt
from bench.learning.doubt import FEW as FEW_PEOPLE
from bench.learning.doubt import SYSTEMS as DOUBTS
from bench.learning.places import ACTIONS, HOME, PEOPLE, old_optimum_share, place
from bench.learning.systems import FURTHER, OLD, SIZES, Terms, measure
from bench.learning.tables import goals_of, table
from bench.private.rows import Rows, source_sha256
from bench.record import ROOT, record

PARTS: Final = ("goals", "sizes", "doubt")
SOURCES: Final = (
    "synthetic",
    "rl",
    "bench/learning",
    "bench/private",
    "everloop/loops",
    "everloop/contracts",
)
SEEDS: Final = (1, 2, 3, 4, 5)
QUICK: Final = 1_000


def plan(part: str, seeds: tuple[int, ...], quick: bool) -> Iterator[Terms | DoubtTerms]:
    """Rows of a part, those of one seed together so that their releases are made once."""
    for seed in seeds:
        if part == "goals":
            if not quick:
                yield Terms("ppo", HOME, *SIZES[OLD], seed)
            for where in (PEOPLE, ACTIONS) if not quick else ():
                yield Terms("ppo, transferred", where, *SIZES[FURTHER], seed)
                yield Terms("ppo", where, *SIZES[FURTHER], seed)
                yield Terms("ppo, unchanged", where, 0, 0, seed)
        elif part == "sizes":
            yield from _sizes(seed, quick)
        elif not quick:
            for discount in DISCOUNTS:
                for doubt in DOUBTS:
                    yield DoubtTerms(doubt, discount, *FEW_PEOPLE, seed)


def _sizes(seed: int, quick: bool) -> Iterator[Terms]:
    for size in (QUICK,) if quick else (OLD, *(s for s in SIZES if s != OLD)):
        for system in (
            "ppo",
            "greedy",
            "lin_ts",
            "lin_ucb",
            "raw_dr (report only)",
            "ppo, not private",
        ):
            yield Terms(system, HOME, *SIZES[size], seed)
    if not quick:
        yield Terms("ppo on the truth", HOME, 0, 0, seed)


def bounds(seeds: tuple[int, ...], rows: Rows, elsewhere: bool) -> list[dict[str, Any]]:
    """The reference policies of every place: uniform decisions, the rules that logged, the optimum."""
    found = []
    places = [(HOME, 0)]
    if elsewhere:
        places += [(where, seed) for where in (PEOPLE, ACTIONS) for seed in seeds]
    for where, seed in places:
        key = {"where": where, "seed": seed}
        row = rows.known("bounds", key)
        if row is None:
            there = place(where, seed)
            row = rows.keep(
                "bounds",
                key,
                {
                    **key,
                    "system": "bounds",
                    "size": 0,
                    "uniform": there.uniform.per_decision.value,
                    "logging": there.logging.per_decision.value,
                    "logging_share": there.worth(there.logging)["share"],
                    "best": there.best[0],
                    "old_optimum": old_optimum_share(there) if where == PEOPLE else None,
                },
            )
        found.append(row)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke size, one seed")
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--fresh", action="store_true", help="measure what is kept anew")
    parser.add_argument("--minutes", type=float, help="begin no further row after so many")
    options = parser.parse_args()
    seeds = tuple(options.seeds[:1] if options.quick else options.seeds)
    kept = Rows(
        ROOT / ".cache" / "bench-learning", source_sha256(*SOURCES), options.fresh or options.quick
    )
    started = time.monotonic()
    planned = list(
        dict.fromkeys(
            terms for part in options.only or PARTS for terms in plan(part, seeds, options.quick)
        )
    )
    rows: list[dict[str, Any]] = []
    doubts: list[dict[str, Any]] = []
    for number, terms in enumerate(planned, 1):
        minutes = (time.monotonic() - started) / 60.0
        row = kept.known("rows", asdict(terms))
        if row is None:
            if options.minutes is not None and minutes >= options.minutes:
                _tell(minutes, f"no time for {len(planned) - number + 1} rows and those after them")
                break
            found = measure(terms) if isinstance(terms, Terms) else measure_doubt(terms)
            row = kept.keep("rows", asdict(terms), found)
        (rows if isinstance(terms, Terms) else doubts).append(row)
        minutes = (time.monotonic() - started) / 60.0
        _tell(
            minutes,
            f"{number}/{len(planned)}: {_named(terms)}, {terms.people:,} people x "
            f"{terms.each}, seed {terms.seed}: share {row['share']:.3f}, {row['cpu_s']:.0f} CPU s",
        )
    elsewhere = any(row["where"] != HOME for row in rows)
    references = bounds(seeds, kept, elsewhere)
    goals = goals_of(rows)
    if rows:
        print(table(rows, references))
    if doubts:
        print(doubt_table(doubts))
    for goal in goals:
        verdict = "met" if goal.met else "missed"
        print(f"{goal.name}: {asdict(goal.measured)} against {goal.goal}: {verdict}")
    print(record("learning", seeds[0], [*references, *rows, *doubts], goals))


def _named(terms: Terms | DoubtTerms) -> str:
    if isinstance(terms, Terms):
        return f"{terms.system}, {terms.where}"
    return f"doubt {terms.doubt}, discount {terms.discount}"


def _tell(minutes: float, text: str) -> None:
    print(f"[{minutes:6.1f} min] {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
