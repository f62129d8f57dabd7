"""``TrialObservations``: the decisions of a trial, as arrays."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.errors import ShouldFixArgument

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Times = NDArray[np.datetime64]
Labels = NDArray[np.str_]
CONTROL, CANDIDATE = 0, 1


@dataclass(frozen=True, slots=True, eq=False)
class TrialObservations:
    """Closed decisions of a trial, n of them, by P people, in any order. Arrays are read-only copies.

    Attributes:
        person: (n,) index of the person, 0..P - 1.
        timestamp: (n,) datetime64[us] in UTC, when it was decided.
        arm: (n,) 0 where the person's hash says control, 1 candidate, whoever decided in the end.
        percent: (n,) traffic of the moment, (0, 100]; outside the trial's traffic there is no row.
        reward: (n,) in [-1, 1]; NaN where the decision has none.
        signals: (n, S) mapped mean of each signal type in [-1, 1], NaN where it has none.
        signal_names: S names, in the order of the columns.
        before: (P,) mean reward of each person before the trial met anybody; NaN without any.
        shares: traffic percent -> designed share of people who meet the candidate at it, in (0, 1];
            with a holdout of 5 %, that of 100 is .95. At 1 there is no control, and nothing is learned.
        segments: name (a protected attribute, a declared segment) -> (n,) labels; "" is unknown.
        fallback: (n,) whether something else than the candidate had to decide for its person.
        flagged: (n,) whether the decision was ever found strange; it counts all the same.
        rejected: (n,) whether a person rejected it: such a row has no reward and no signal, but its
            person was met.
    """

    person: Ints
    timestamp: Times
    arm: NDArray[np.int8]
    percent: Floats
    reward: Floats
    signals: Floats
    signal_names: tuple[str, ...]
    before: Floats
    shares: Mapping[float, float]
    segments: Mapping[str, Labels] = field(default_factory=dict)
    fallback: NDArray[np.bool_] | None = None
    flagged: NDArray[np.bool_] | None = None
    rejected: NDArray[np.bool_] | None = None

    def __post_init__(self) -> None:
        columns: dict[str, object] = {
            "person": _frozen(self.person, np.int64),
            "timestamp": _frozen(self.timestamp, "datetime64[us]"),
            "arm": _frozen(self.arm, np.int8),
            "percent": _frozen(self.percent, np.float64),
            "reward": _frozen(self.reward, np.float64),
            "signals": _frozen(self.signals, np.float64),
            "before": _frozen(self.before, np.float64),
            "shares": {float(p): float(s) for p, s in self.shares.items()},
            "segments": {k: _frozen(v, np.str_) for k, v in self.segments.items()},
        }
        columns |= {k: _frozen(v, np.bool_) for k, v in self._marks.items()}
        for name, value in columns.items():
            object.__setattr__(self, name, value)
        self._require_shapes()
        self._require_ranges()

    def _require_shapes(self) -> None:
        n, signals = len(self.person), len(self.signal_names)
        shapes = {
            "person": (self.person.shape, (n,)),
            "timestamp": (self.timestamp.shape, (n,)),
            "arm": (self.arm.shape, (n,)),
            "percent": (self.percent.shape, (n,)),
            "reward": (self.reward.shape, (n,)),
            "signals": (self.signals.shape, (n, signals)),
            "before": (self.before.shape, (self.before.size,)),
            **{f"segment {k}": (v.shape, (n,)) for k, v in self.segments.items()},
        }
        shapes |= {k: (v.shape, (n,)) for k, v in self._marks.items()}
        for name, (found, wanted) in shapes.items():
            if found != wanted:
                raise ShouldFixArgument(
                    f"TrialObservations: {name} has shape {found}, not {wanted}.",
                    "Give one row per decision.",
                )
        if len(set(self.signal_names)) != signals:
            raise ShouldFixArgument(f"TrialObservations: {self.signal_names} repeat a signal.")

    def _require_ranges(self) -> None:
        people = self.before.size
        known = np.array(sorted(self.shares))
        wrong = {
            f"person outside [0, {people})": (self.person < 0) | (self.person >= people),
            "timestamp is missing": np.isnat(self.timestamp),
            "arm is neither 0 nor 1": (self.arm != CONTROL) & (self.arm != CANDIDATE),
            f"percent is not among those with a share, {known.tolist()}": ~np.isin(
                self.percent, known
            ),
            "reward outside [-1, 1]": np.abs(self.reward) > 1,
            "rejected has a reward": np.isfinite(self.reward) & self._marks.get("rejected", False),
            "signals outside [-1, 1]": (np.abs(self.signals) > 1).any(axis=1),
        }
        for what, rows in wrong.items():
            if rows.any():
                row = int(np.flatnonzero(rows)[0])
                raise ShouldFixArgument(
                    f"TrialObservations: {what} in {int(rows.sum())} rows, first in row {row}.",
                    "Correct what builds them.",
                )
        if (np.abs(self.before) > 1).any():
            raise ShouldFixArgument("TrialObservations: before is outside [-1, 1].")
        bad = {p: s for p, s in self.shares.items() if not (0 < s <= 1 and 0 < p <= 100)}
        if bad:
            raise ShouldFixArgument(
                f"TrialObservations: shares {bad} leave (0, 1].", "Give a share per percent."
            )

    @property
    def _marks(self) -> Mapping[str, NDArray[np.bool_]]:
        marks = (
            ("fallback", self.fallback),
            ("flagged", self.flagged),
            ("rejected", self.rejected),
        )
        return {name: rows for name, rows in marks if rows is not None}

    @property
    def n(self) -> int:
        return len(self.person)

    @property
    def people(self) -> int:
        return self.before.size

    def until(self, moment: datetime) -> TrialObservations:
        """The decisions made at a moment or before it.

        Raises:
            ShouldFixArgument: the moment has no time zone.
        """
        if moment.tzinfo is None:
            raise ShouldFixArgument(
                f"until={moment.isoformat()} has no time zone.", "Give it in UTC."
            )
        last = np.datetime64(moment.astimezone(UTC).replace(tzinfo=None), "us")
        return self.where(self.timestamp <= last)

    def where(self, rows: NDArray[np.bool_]) -> TrialObservations:
        """The decisions of some rows; people keep their numbers."""
        marks: dict[str, Any] = {name: of[rows] for name, of in self._marks.items()}
        return replace(
            self,
            person=self.person[rows],
            timestamp=self.timestamp[rows],
            arm=self.arm[rows],
            percent=self.percent[rows],
            reward=self.reward[rows],
            signals=self.signals[rows],
            segments={k: v[rows] for k, v in self.segments.items()},
            **marks,
        )

    def share(self) -> Floats:
        """(n,) designed probability of each row's person to meet the candidate at that traffic."""
        steps = np.array(sorted(self.shares))
        if not self.n:
            return np.zeros(0)
        values = np.array([self.shares[step] for step in steps.tolist()])
        return np.asarray(values[np.searchsorted(steps, self.percent)], dtype=np.float64)

    def fallback_share(self) -> float:
        """Share of the candidate's people's decisions that something else had to take; 0 without any."""
        candidate = self.arm == CANDIDATE
        if self.fallback is None or not candidate.any():
            return 0.0
        share = float(self.fallback[candidate].mean())
        return share if math.isfinite(share) else 0.0


def _frozen(values: object, kind: Any) -> NDArray[Any]:
    array = np.array(values, dtype=kind)
    array.setflags(write=False)
    return array
