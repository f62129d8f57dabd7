"""Constraints on questions: the masks that are decided on, and logged, are what the loop's rules leave.

What a person met is read from the database, which all workers share, and completed by what this process
answered and hasn't stored. Where it can't be read, every limited action is taken away. Two workers that
are asked about one person within the milliseconds of a commit don't see each other's decision: W workers
let through at most W times what one would.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from everloop.contracts.datasets import Bool
from everloop.contracts.errors import EverloopError, ShouldNameKnownId, ShouldRetryLater
from everloop.contracts.models import States
from everloop.contracts.service_ports import DecisionStore
from everloop.contracts.serving import Decision
from everloop.serving.decisions.models import brief
from everloop.serving.decisions.pending import PendingDecisions
from everloop.serving.decisions.question import Catalogue, Question
from everloop.storage.column_types import microseconds, moment_of

_RETRY_S = 5.0
Named = Callable[[int], str]
_Stored = Mapping[int, Mapping[tuple[str, int], int]]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """n questions of one loop of a tenant, at one moment; ``named`` says how an error calls one."""

    tenant: str
    catalogue: Catalogue
    questions: Sequence[Question]
    now: datetime
    named: Named


class Constraining:
    """Applies constraints. Thread-safe; a question waits for no other.

    Args:
        store: the workspace's decisions; asked for only where a loop has limits.
        monotonic: seconds that never step back.
        warn: told when the database can't be read.
    """

    def __init__(
        self,
        store: Callable[[], DecisionStore],
        monotonic: Callable[[], float],
        warn: Callable[[str], None],
    ) -> None:
        self._store = store
        self._warn = warn
        self.pending = PendingDecisions(monotonic)

    @contextmanager
    def within(
        self, asked: Asked, states: States
    ) -> Iterator[tuple[States, Callable[[Iterable[Decision]], None]]]:
        """The states with the masks that constraints leave, and what to tell of the decisions made on
        them before the context ends.

        Raises:
            ShouldFixArgument: constraints leave a question no action.
            ShouldRetryLater: they do because the database can't be read.
        """
        rules = asked.catalogue.rules
        left = rules.unflagged(states.mask, states.context)
        wanting = np.flatnonzero((left & rules.limits.limited).any(axis=1)).tolist()
        if not wanting:  # no limited action could be drawn, so what people met makes no difference
            self._require_something(asked, states.mask, left)
            yield States(states.context, left), _nothing
            return
        at = microseconds(asked.now)
        spec = asked.catalogue.spec
        people = [
            ((asked.tenant, spec.name, question.user_id), question.decision_id)
            for question in asked.questions
        ]
        places, before = self.pending.take(people, at)
        told = False

        def decided(decisions: Iterable[Decision]) -> None:
            nonlocal told
            for place, decision in zip(places, decisions, strict=True):
                place.action = spec.action_index[decision.action_taken]
            told = True
            self.pending.leave(p for p in places if not rules.limits.limited[p.action])

        try:
            stored = self._stored(asked, wanting, at)
            if stored is None:
                left &= ~rules.limits.limited
            else:
                for row in wanting:
                    met = _met(asked.questions[row].decision_id, stored[row], before[row])
                    left[row] &= ~rules.limits.spent(met, at)
            self._require_something(asked, states.mask, left, wanting if stored is None else ())
            yield States(states.context, left), decided
        finally:
            if not told:
                self.pending.leave(places)

    @contextmanager
    def storing(
        self, catalogues: Callable[[str], Catalogue], decisions: Sequence[Decision]
    ) -> Iterator[None]:
        """While the database is given these decisions. Whoever stops waiting for it leaves them pending."""
        try:
            yield
        except EverloopError:
            self._settle(catalogues, decisions)
            raise
        self._settle(catalogues, decisions)

    def _settle(
        self, catalogues: Callable[[str], Catalogue], decisions: Sequence[Decision]
    ) -> None:
        for decision in decisions:
            catalogue = catalogues(decision.loop)
            action = catalogue.spec.action_index[decision.action_taken]
            if catalogue.rules.limits.limited[action]:  # others were left when they were drawn
                self.pending.settle(
                    (decision.tenant, decision.loop, decision.user_id),
                    decision.decision_id,
                    microseconds(decision.timestamp),
                    action,
                )

    def _stored(self, asked: Asked, wanting: Sequence[int], at: int) -> _Stored | None:
        """Row -> (decision id, action) -> time of what the database knows that these rows' people met;
        ``None``: it can't say."""
        catalogue = asked.catalogue
        since = moment_of(catalogue.rules.limits.matters_since(at))
        people = [asked.questions[row].user_id for row in wanting]
        try:
            stored = self._store().recent(
                catalogue.spec.name, people, catalogue.limited, since, asked.tenant
            )
        except Exception as problem:  # whatever fails, nobody is to meet more than they may
            self._warn(f"Recent decisions can't be read, so limited actions rest: {brief(problem)}")
            return None
        index = catalogue.spec.action_index
        return {
            row: {
                (made.decision_id, index[made.action]): microseconds(made.timestamp)
                for made in stored.get(person, ())
            }
            for row, person in zip(wanting, people, strict=True)
        }

    def _require_something(
        self, asked: Asked, valid: Bool, left: Bool, unknown: Sequence[int] = ()
    ) -> None:
        """Refuse a row without any action; ``unknown``: rows whose people's past can't be read."""
        if left.any(axis=1).all():
            return
        for row in np.flatnonzero(~left.any(axis=1)).tolist():
            known = self._made_before(asked, asked.questions[row])
            if known is not None:
                left[row, known] = True
            elif row in unknown:
                raise ShouldRetryLater(
                    f"{asked.named(row)}What the person recently met can't be read, and only limited "
                    "actions are valid.",
                    "Keep an action such as no_action valid, or ask again.",
                    retry_after=_RETRY_S,
                )
            else:
                raise asked.catalogue.rules.nothing_left(
                    f"{asked.named(row)}The person", valid[row]
                )

    def _made_before(self, asked: Asked, question: Question) -> int | None:
        """The action of the decision that the question's id already has: asking again is no new one."""
        try:
            found = self._store().decision(question.decision_id, asked.tenant)
        except ShouldNameKnownId:
            return None
        except Exception as problem:
            raise ShouldRetryLater(
                f"Decisions can't be read ({brief(problem)}).", "Ask again.", retry_after=_RETRY_S
            ) from problem
        return asked.catalogue.spec.action_index.get(found.action_taken)


def _met(
    own: str, stored: Mapping[tuple[str, int], int], before: Sequence[tuple[str, int, int]]
) -> list[tuple[int, int]]:
    """(time, action) of each decision once, a question's own left out."""
    if not stored and not before:
        return []
    known = {**stored, **{(made, action): at for made, at, action in before}}
    return [(at, action) for (made, action), at in known.items() if made != own]


def _nothing(_: Iterable[Decision]) -> None:
    """Nobody needs to know."""
