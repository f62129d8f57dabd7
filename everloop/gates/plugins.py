"""Checks of other distributions join the gate: entry points of the group ``everloop.gate_checks``.

An entry point names a ``GateCheck``, or a class of one that takes no arguments; its answer stands under
the entry point's name. One that cannot be loaded, raises, or answers with anything but a ``Check`` does
not pass and says so: an installed check is never skipped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, replace
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeGuard

from everloop.contracts.evaluation import Check, CheckStatus
from everloop.contracts.loop_spec import LoopSpec
from everloop.gates.answers import insufficient
from everloop.gates.evidence import GateCheck, GateEvidence

GROUP = "everloop.gate_checks"


@dataclass(frozen=True, slots=True)
class InstalledCheck:
    """One entry point as a check that always answers.

    Attributes:
        point: where the check is.
        taken: another check has its name.
    """

    point: EntryPoint
    taken: bool = False

    @property
    def name(self) -> str:
        return self.point.name

    def __call__(self, spec: LoopSpec, evidence: GateEvidence) -> Check:
        if self.taken:
            return self._unanswered("another check has this name")
        try:
            loaded = self.point.load()
            check: Any = loaded() if isinstance(loaded, type) else loaded
        except Exception as problem:
            return self._unanswered(f"it cannot be loaded ({_named(problem)})")
        try:
            answer = check(spec, evidence)
        except Exception as problem:
            return self._unanswered(f"it failed ({_named(problem)})")
        if not _is_answer(answer):
            return self._unanswered(f"it answered {type(answer).__name__}, no valid Check")
        return replace(answer, name=self.name)

    def _unanswered(self, why: str) -> Check:
        return insufficient(
            self.name,
            reason=(
                f"The installed check {self.name} ({self.point.value}, {_distribution(self.point)}) "
                f"gave no answer: {why}. Repair or uninstall it."
            ),
        )


def installed_checks(own: Collection[GateCheck] = ()) -> tuple[GateCheck, ...]:
    """Every installed check, by name; one that has the name of another does not pass.

    Args:
        own: the gate's own checks.
    """
    taken = {check.name for check in own}
    found = []
    for point in _points():
        found.append(InstalledCheck(point, point.name in taken))
        taken.add(point.name)
    return tuple(found)


def fingerprint() -> str:
    """SHA-256 of which checks are installed, in which versions; "" without any."""
    points = [f"{p.name}={p.value} of {_distribution(p)}" for p in _points()]
    return hashlib.sha256("\n".join(points).encode()).hexdigest() if points else ""


def _points() -> list[EntryPoint]:
    return sorted(entry_points(group=GROUP), key=lambda p: (p.name, p.value, _distribution(p)))


def _distribution(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else "an unknown distribution"


def _named(problem: Exception) -> str:
    text = f"{type(problem).__name__}: {problem}".rstrip(".: ")
    return text if len(text) <= 200 else f"{text[:200]}…"


def _is_answer(answer: object) -> TypeGuard[Check]:
    """Whether foreign code kept to the types: nothing but a name could be written down otherwise."""
    return isinstance(answer, Check) and all(
        isinstance(value, kind)
        for value, kind in (
            (answer.status, CheckStatus),
            (answer.reason, str),
            (answer.value, float | int | None),
            (answer.threshold, float | int | None),
            (answer.person_decides, bool),
        )
    )
