"""Ten simulated days with everything in the loop, beside what else could have decided them.

    python -m bench.loop [--quick] [--seeds 1 2 3] [--only PART ...] [--minutes 55] [--fresh]

Every day people live with what serves: the active policy, a candidate on trial by the product's assignment,
hour by hour under the product's controller. What they answer is logged, the trial is watched, and the night
runs the daily graph's own steps: rewards, private user model, PPO and an alternative, gate, start of a
trial. Parts: ``days``, the loop and its peers over the same people and days; ``planted``, bad candidates
before the gate and on trial; ``changes``, a new signal type and new weights; ``learning``, what PPO learns
from 10,000 episodes and from 1,000 further ones among other people (``bench.learning`` has more).

Rows are kept under ``.cache/bench-loop`` as they come, so that the same command goes on where it was
killed, a seed's days from their beginning; other source, or ``--fresh``, measures anew.
"""

from __future__ import annotations

import argparse
import pickle
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from bench.learning.places import HOME, PEOPLE
from bench.learning.systems import FURTHER, OLD, SIZES, Terms, measure
from bench.loop import changes, fork, peers, tables, trials
from bench.loop.life import Life
from bench.loop.planted import PLANTED, Planted
from bench.loop.terms import QUICK, LoopTerms
from bench.private.rows import Rows, source_sha256
from bench.record import ROOT, record
from synthetic.population import DayOfDecisions

PARTS: Final = ("days", "planted", "changes", "learning")
SEEDS: Final = (1, 2, 3)
SOURCES: Final = (
    "synthetic",
    "rl",
    "components",
    "pipelines",
    "everloop",
    "bench/loop",
    "bench/learning",
)
LEARNED: Final = ((HOME, "ppo", SIZES[OLD]), (PEOPLE, "ppo, transferred", SIZES[FURTHER]))
QUICK_PLANTED: Final = ("worse", "NaN")
Measure = Callable[[], Any]


@dataclass(frozen=True)
class Piece:
    """One row, or the rows of one system's days: part, what it is, and how it is measured."""

    part: str
    seed: int
    name: str
    measure: Measure


class Bench:
    """Plans and measures the pieces of all seeds.

    Args:
        quick: the smoke size. rows: kept ones. tell: told what goes on.
    """

    def __init__(self, quick: bool, rows: Rows, source: str, tell: Callable[[str], None]) -> None:
        self._quick, self._rows, self._tell = quick, rows, tell
        self._place = ROOT / ".cache" / "bench-loop" / source[:12]

    def pieces(self, parts: Sequence[str], seeds: Sequence[int]) -> Iterator[Piece]:
        """In the order in which they are measured."""
        for seed in seeds:
            terms = self.terms(seed)
            if set(parts) & {"days", "planted", "changes"}:
                yield Piece("days", seed, tables.LOOP, partial(self._loop, terms))
            for part in parts:
                yield from self._of(part, terms)

    def _of(self, part: str, terms: LoopTerms) -> Iterator[Piece]:
        """A part's rows of one seed, beside the loop's own days."""
        if part == "days":
            for name in self._peers():
                yield Piece(part, terms.seed, name, partial(self._peer, terms, name))
        elif part == "planted":
            for planted, past in product(self._planted(), (False, True)):
                name = planted.name + (" past the gate" if past else "")
                yield Piece(part, terms.seed, name, partial(self._trial, terms, planted, past))
        elif part == "changes":
            for change in changes.CHANGES[-1:] if self._quick else changes.CHANGES:
                yield Piece(part, terms.seed, change.name, partial(self._change, terms, change))
        elif not self._quick:
            for where, system, size in LEARNED:
                asked = Terms(system, where, *size, terms.seed)
                yield Piece(part, terms.seed, f"{system}, {where}", partial(measure, asked))

    def measured(self, piece: Piece) -> list[dict[str, Any]]:
        """Its rows, kept or measured now."""
        key = {"part": piece.part, "seed": piece.seed, "name": piece.name, "quick": self._quick}
        found = self._rows.known("piece", key)
        if found is None:
            self._tell(f"seed {piece.seed} · {piece.part} · {piece.name}")
            started = time.monotonic()
            made = piece.measure()
            rows = made if isinstance(made, list) else [made]
            told = {"seed": piece.seed, "part": piece.part}
            if piece.part == "days":
                told["system"] = piece.name
            rows = [row | told for row in rows]
            seconds = time.monotonic() - started
            found = self._rows.keep("piece", key, {"rows": rows, "wall_s": seconds})
        return list(found["rows"])

    def terms(self, seed: int) -> LoopTerms:
        return replace(QUICK, seed=seed) if self._quick else LoopTerms(seed)

    def _peers(self) -> tuple[str, ...]:
        slow = (peers.ON_TRUTH, peers.OPTIMUM)
        return tuple(n for n in peers.PEERS if not (self._quick and n in slow))

    def _planted(self) -> tuple[Planted, ...]:
        return tuple(p for p in PLANTED if not self._quick or p.name in QUICK_PLANTED)

    def _loop(self, terms: LoopTerms) -> list[dict[str, Any]]:
        """The loop's days; keeps the evening from which others go on, and what the loop logged."""
        place = self._kept(terms)
        shutil.rmtree(place, ignore_errors=True)
        life = Life.begin(terms, place / "run" / "home")
        try:
            while life.finished < terms.days:
                self._tell(f"seed {terms.seed} · day {life.finished + 1}/{terms.days}")
                night = life.live(self._tell)
                if life.finished == terms.fork:
                    fork.keep(life, night, place / "evening")
                life.tidy()
            served = [day.played for day in life.days]
            (place / "served.pickle").write_bytes(pickle.dumps(served))
        finally:
            life.place.engine.dispose()
        shutil.rmtree(place / "run")
        return life.told

    def _peer(self, terms: LoopTerms, name: str) -> list[dict[str, Any]]:
        # written by ``_loop`` into this benchmark's own folder
        told = (self._kept(terms) / "served.pickle").read_bytes()
        loops: list[DayOfDecisions] = pickle.loads(told)
        return peers.live(name, terms, loops)

    def _trial(self, terms: LoopTerms, planted: Planted, past: bool) -> dict[str, Any]:
        place = self._kept(terms)
        return trials.put_on_trial(planted, terms, place / "evening", place / "trial", past)

    def _change(self, terms: LoopTerms, change: changes.Change) -> dict[str, Any]:
        place = self._kept(terms)
        return changes.make(change, terms, place / "evening", place / "changed")

    def _kept(self, terms: LoopTerms) -> Path:
        return self._place / f"{'quick-' if self._quick else ''}seed-{terms.seed}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a smoke size, one seed")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--fresh", action="store_true", help="measure what is kept anew")
    parser.add_argument("--minutes", type=float, help="begin no further row after so many")
    options = parser.parse_args()
    seeds = options.seeds[:1] if options.quick else options.seeds
    source = source_sha256(*SOURCES)
    rows = Rows(ROOT / ".cache" / "bench-loop", source, options.fresh)
    started, found = time.monotonic(), []
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("loop")
        bench = Bench(options.quick, rows, source, partial(_show, bar, task))
        pieces = list(bench.pieces(options.only, seeds))
        bar.update(task, total=len(pieces))
        for done, piece in enumerate(pieces):
            minutes = (time.monotonic() - started) / 60.0
            if options.minutes is not None and minutes >= options.minutes:
                print(f"no time for {len(pieces) - done} pieces", file=sys.stderr)
                break
            found += bench.measured(piece)
            bar.advance(task)
    show(found, seeds[0])


def _show(bar: Progress, task: TaskID, text: str) -> None:
    """On a terminal the bar says it; in a file a line does, night's steps left out."""
    bar.update(task, description=f"{text:.70}")
    if not bar.console.is_terminal and not text.startswith("night"):
        print(text, file=sys.stderr, flush=True)


def show(found: Sequence[dict[str, Any]], seed: int) -> None:
    """Print tables, goals and the record."""
    by_part = {part: [row for row in found if row["part"] == part] for part in PARTS}
    days = by_part["days"]
    if days:
        print("\n".join(tables.days_table([r for r in days if r["system"] == tables.LOOP])))
        print(tables.served_table(days))
    for part, table in (
        ("planted", tables.planted_table),
        ("changes", tables.changes_table),
        ("learning", tables.learned_table),
    ):
        if by_part[part]:
            print(table(by_part[part]))
    goals = tables.goals_of(by_part["learning"], by_part["planted"])
    print()
    for goal in goals:
        verdict = "met" if goal.met else "missed"
        print(f"{goal.name}: {tables.told(goal.measured)} against {goal.goal}: {verdict}")
    print(record("loop", seed, found, goals))


if __name__ == "__main__":
    main()
