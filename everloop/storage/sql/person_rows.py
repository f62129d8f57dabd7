"""Which rows speak of a person: what an export shows and an erasure deletes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Select, Table, or_, select
from sqlalchemy.sql import ColumnElement

from everloop.storage.ledger_tables import privacy_people
from everloop.storage.schema import consents, disputes, reward_signals, training_episodes
from everloop.storage.service_tables import (
    decisions,
    erasures,
    feedback,
    feedback_reviews,
    interactions,
)

KEPT: Mapping[Table, str] = {
    privacy_people: "what a person's privacy has cost is never forgotten: who comes back has spent it",
    erasures: "that the pseudonym was erased, so that erasing again finds what came since",
}
"""Tables that hold a person's pseudonym after an erasure, and why. Consents keep refusals besides."""


@dataclass(frozen=True, slots=True)
class PersonRows:
    """A person's rows of one table."""

    table: Table
    where: ColumnElement[bool]

    @property
    def query(self) -> Select[tuple[object, ...]]:
        """The rows, in the order of their key."""
        return select(self.table).where(self.where).order_by(*self.table.primary_key)


def erasable_rows(person: str, tenant: str) -> Iterator[PersonRows]:
    """Rows that an erasure deletes, children before their parents; consents come last.

    Args:
        person: pseudonym.
    """
    episode_ids = _ids(training_episodes, "episode_id", person, tenant)
    signals = _of(reward_signals, tenant) & reward_signals.c.episode_id.in_(episode_ids)
    signal_ids = select(reward_signals.c.signal_id).where(signals)
    said = _of(feedback, tenant) & or_(
        feedback.c.user_id == person,
        feedback.c.log_id.in_(_ids(interactions, "log_id", person, tenant)),
    )
    feedback_ids = select(feedback.c.feedback_id).where(said)
    yield PersonRows(
        feedback_reviews,
        _of(feedback_reviews, tenant) & feedback_reviews.c.feedback_id.in_(feedback_ids),
    )
    yield PersonRows(disputes, _of(disputes, tenant) & disputes.c.signal_id.in_(signal_ids))
    yield PersonRows(feedback, said)
    yield PersonRows(interactions, _person(interactions, person, tenant))
    yield PersonRows(reward_signals, signals)
    yield PersonRows(decisions, _person(decisions, person, tenant))
    yield PersonRows(training_episodes, _person(training_episodes, person, tenant))
    yield PersonRows(consents, _person(consents, person, tenant))


def kept_rows(person: str, tenant: str) -> Iterator[PersonRows]:
    """Rows that speak of the person and stay: see ``KEPT``."""
    yield PersonRows(privacy_people, privacy_people.c.person == person)
    yield PersonRows(erasures, _person(erasures, person, tenant))


def _of(table: Table, tenant: str) -> ColumnElement[bool]:
    return table.c.tenant == tenant


def _person(table: Table, person: str, tenant: str) -> ColumnElement[bool]:
    return _of(table, tenant) & (table.c.user_id == person)


def _ids(table: Table, key: str, person: str, tenant: str) -> Select[tuple[str]]:
    return select(table.c[key]).where(_person(table, person, tenant))
