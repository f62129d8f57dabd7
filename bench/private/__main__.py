"""What privacy costs, and what the people made under it are worth.

    python -m bench.private [--quick] [--only users|traits|vectors|scale] [--seeds 1 2 3] [--fresh]

Parts: ``users``, the user model beside the same model without privacy, one fit and a year of nights;
``traits``, categorical traits beside dpmm's AIM and MST; ``vectors``, persona vectors beside the
full-dimensional Gaussian; ``scale``, CPU and memory of a whole release as people grow in number. Rows
are kept under ``.cache/bench-private`` as they come: the same command goes on where it was killed,
unless the source has changed or ``--fresh`` is given. ``--minutes`` ends after the row that passes so
many and reports what was measured.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import asdict
from typing import Any

from bench.private import scale, users
from bench.private.rows import Rows, source_sha256
from bench.record import Goal, record, spread

PARTS = ("users", "traits", "vectors", "scale")
Found = tuple[list[dict[str, Any]], list[Goal], str]


class Teller:
    """Progress on stderr: what, how far, how long so far; and whether there is time for more."""

    def __init__(self, minutes: float | None) -> None:
        self._started, self._minutes = time.monotonic(), minutes

    def __call__(self, text: str) -> None:
        print(f"[{self.minutes:6.1f} min] {text}", file=sys.stderr, flush=True)

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self._started) / 60.0

    @property
    def time_is_up(self) -> bool:
        return self._minutes is not None and self.minutes >= self._minutes


def of_users(quick: bool, seeds: tuple[int, ...], rows: Rows, tell: Teller) -> Found:
    planned, found = users.plan(quick, seeds), []
    for number, terms in enumerate(planned, 1):
        if tell.time_is_up:
            tell(f"users: {len(planned) - number + 1} of {len(planned)} rows are not measured")
            break
        row = users.measure(terms, rows, tell)
        found.append(row)
        tell(
            f"users {number}/{len(planned)}: {terms.schedule}, {terms.people:,} people x "
            f"{terms.episodes}, seed {terms.seed}: share {row['auc_share']:.3f}"
        )
    return found, users.goals(found), users.summary(found)


def of_traits(quick: bool, seeds: tuple[int, ...], rows: Rows, tell: Teller) -> Found:
    from bench.private import traits  # noqa: PLC0415

    people = traits.QUICK_PEOPLE if quick else traits.PEOPLE
    found: list[dict[str, Any]] = []
    for seed in seeds[:1] if quick else seeds:
        for number, make in enumerate(traits.STRUCTURES):
            if tell.time_is_up:
                continue
            key = {"structure": number, "seed": seed, "people": people, "peers": not quick}
            known = rows.known("traits", key)
            if known is None:
                measured = traits.one_round(make(seed), seed, people, dpmm=not quick)
                known = rows.keep("traits", key, {"rows": measured})
            found += known["rows"]
            tell(f"traits: structure {number + 1}, seed {seed}")
    return found, traits.goals(found), traits.summary(found) if found else ""


def of_vectors(quick: bool, seeds: tuple[int, ...], rows: Rows, tell: Teller) -> Found:
    from bench.private import vectors  # noqa: PLC0415

    people = vectors.QUICK_PEOPLE if quick else vectors.PEOPLE
    found: list[dict[str, Any]] = []
    for seed in seeds[:1] if quick else seeds:
        if tell.time_is_up:
            break
        key = {"seed": seed, "people": people}
        known = rows.known("vectors", key)
        if known is None:
            known = rows.keep("vectors", key, {"rows": vectors.one_round(seed, people)})
        found += known["rows"]
        tell(f"vectors: seed {seed}")
    ours = [row["c2st_auc"] for row in found if row["system"] == "everloop"]
    goals = [Goal("persona_c2st_auc", spread(ours), 0.82, "max")] if ours and not quick else []
    return found, goals, vectors.summary(found) if found else ""


def of_scale(quick: bool, seeds: tuple[int, ...], rows: Rows, tell: Teller) -> Found:
    found = []
    for people in scale.QUICK_SIZES if quick else scale.SIZES:
        if tell.time_is_up:
            break
        row = scale.measure(people, seeds[0], rows)
        found.append(row)
        tell(f"scale: {people:,} people, {row['cpu_s']:.1f} CPU s, {row['peak_mb']:.0f} MB")
    return found, [], scale.summary(found) if found else ""


MEASURES = {
    "users": (of_users, ("synthetic", "bench/private", "everloop/loops")),
    "traits": (of_traits, ("synthetic", "bench/private")),
    "vectors": (of_vectors, ("synthetic", "bench/private")),
    "scale": (of_scale, ("synthetic", "bench/private", "everloop/privacy", "everloop/storage")),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke size, under two minutes")
    parser.add_argument("--only", choices=PARTS, action="append")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--fresh", action="store_true", help="measure what is kept anew")
    parser.add_argument("--minutes", type=float, help="begin no further row after so many")
    options = parser.parse_args()
    tell, seeds = Teller(options.minutes), tuple(options.seeds)
    rows: list[dict[str, Any]] = []
    goals: list[Goal] = []
    for part in options.only or PARTS:
        measure, sources = MEASURES[part]
        kept = Rows(source=source_sha256(*sources), fresh=options.fresh or options.quick)
        found, reached, table = measure(options.quick, seeds, kept, tell)
        rows += [{"part": part, **row} for row in found]
        goals += reached
        print(f"\n{part}\n{table}", flush=True)
    print(f"\n{tell.minutes:.1f} minutes")
    for goal in goals:
        told = asdict(goal.measured)
        print(f"{goal.name}: {told} against {goal.goal}: {'met' if goal.met else 'missed'}")
    print(record("private", seeds[0], rows, goals))


if __name__ == "__main__":
    main()
