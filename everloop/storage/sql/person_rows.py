"""Which rows speak of a person: what an export shows and an erasure deletes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, Select, Table, and_, or_, select
from sqlalchemy.sql import ColumnElement

from everloop.contracts.feedback import implied_signal_id
from everloop.contracts.models import inside_profile_id
from everloop.contracts.synthetic_jobs import SyntheticKind
from everloop.storage.ledger_tables import privacy_people
from everloop.storage.rollout_tables import exposures, review_decisions, reviews
from everloop.storage.schema import (
    consents,
    disputes,
    reward_signals,
    synthetic_profiles,
    training_episodes,
)
from everloop.storage.service_tables import (
    decisions,
    erasures,
    feedback,
    feedback_reviews,
    interactions,
    synthetic_jobs,
)
from everloop.storage.sql.voice_people import BY_PERSON, instance_rows, instances_of_person
from everloop.storage.voice_tables import user_data_packages

KEPT: Mapping[Table, str] = {
    privacy_people: "what a person's privacy has cost is never forgotten: who comes back has spent it",
    erasures: "that the pseudonym was erased, so that erasing again finds what came since",
}
"""Tables that hold a person's pseudonym after an erasure, and why. Consents keep refusals besides."""

_IDS = 500


@dataclass(frozen=True, slots=True)
class Implied:
    """Signals on other people's decisions that came of feedback which an erasure deletes.

    ``episode_ids``, ``loops``: of those decisions. ``profile_ids``: what augmentations made of the
    person's own data. ``instance_ids``: what voices learned from the person, or from what goes with them.
    ``sources``: ids of the feedback, interactions and packages that go.
    """

    signal_ids: tuple[str, ...] = ()
    episode_ids: frozenset[str] = frozenset()
    loops: frozenset[str] = frozenset()
    profile_ids: tuple[str, ...] = ()
    instance_ids: tuple[str, ...] = ()
    sources: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PersonRows:
    """A person's rows of one table."""

    table: Table
    where: ColumnElement[bool]

    @property
    def query(self) -> Select[tuple[object, ...]]:
        """The rows, in the order of their key."""
        return select(self.table).where(self.where).order_by(*self.table.primary_key)


def implied_by(connection: Connection, person: str, tenant: str) -> Implied:
    """What the feedback of a person, and on their interactions, taught of others' decisions."""
    judged = (
        select(feedback.c.feedback_id, training_episodes.c.episode_id, training_episodes.c.loop)
        .select_from(feedback)
        .join(
            interactions,
            and_(
                interactions.c.tenant == feedback.c.tenant,
                interactions.c.log_id == feedback.c.log_id,
            ),
        )
        .join(
            training_episodes,
            and_(
                training_episodes.c.tenant == interactions.c.tenant,
                training_episodes.c.episode_id == interactions.c.episode_id,
            ),
        )
        .where(_said(person, tenant), training_episodes.c.user_id != person)
    )
    stored: dict[str, dict[str, set[str]]] = {}
    signals = select(
        reward_signals.c.episode_id, reward_signals.c.signal_type, reward_signals.c.signal_id
    ).where(
        _of(reward_signals, tenant),
        reward_signals.c.episode_id.in_(judged.with_only_columns(training_episodes.c.episode_id)),
    )
    for episode_id, kind, signal_id in connection.execute(signals):
        stored.setdefault(episode_id, {}).setdefault(kind, set()).add(signal_id)
    found = {
        signal_id: (episode_id, loop)
        for feedback_id, episode_id, loop in connection.execute(judged)
        for kind, signal_ids in stored.get(episode_id, {}).items()
        if (signal_id := implied_signal_id(feedback_id, kind)) in signal_ids
    }
    sources = _sources(connection, person, tenant)
    return Implied(
        tuple(sorted(found)),
        frozenset(episode_id for episode_id, _ in found.values()),
        frozenset(loop for _, loop in found.values()),
        _profiles_of(connection, person, tenant),
        instances_of_person(connection, person, tenant, sorted(sources)),
        sources,
    )


def _sources(connection: Connection, person: str, tenant: str) -> frozenset[str]:
    """What a voice may have learned from and an erasure takes."""
    queries = (
        select(feedback.c.feedback_id).where(_said(person, tenant)),
        _ids(interactions, "log_id", person, tenant),
        _ids(user_data_packages, "package_id", person, tenant),
    )
    return frozenset(one for query in queries for one in connection.scalars(query))


def _profiles_of(connection: Connection, person: str, tenant: str) -> tuple[str, ...]:
    """Ids that a person's profiles have if any augmentation of the tenant made them."""
    return tuple(inside_profile_id(person, one) for one in variations(connection, tenant))


def variations(connection: Connection, tenant: str) -> tuple[str, ...]:
    """What tells one profile of a person from another, of all that augmentations may have made."""
    asked = select(synthetic_jobs.c.parameters).where(
        _of(synthetic_jobs, tenant), synthetic_jobs.c.kind == SyntheticKind.AUGMENT.value
    )
    copies: dict[int, int] = {}
    for parameters in connection.scalars(asked):
        seed, count = int(parameters["seed"]), int(parameters["per_person"])
        copies[seed] = max(count, copies.get(seed, 0))
    if not copies:
        return ()
    varied = (f"{seed}/{n}" for seed, count in sorted(copies.items()) for n in range(count))
    return ("real", *varied)


def erasable_rows(person: str, tenant: str, implied: Implied | None = None) -> Iterator[PersonRows]:
    """Rows that an erasure deletes, children before their parents; consents come last.

    A table may come several times; no row does.

    Args:
        person: pseudonym.
        implied: from ``implied_by``.
    """
    taught = () if implied is None else implied.signal_ids
    episode_ids = _ids(training_episodes, "episode_id", person, tenant)
    signals = _of(reward_signals, tenant) & reward_signals.c.episode_id.in_(episode_ids)
    signal_ids = select(reward_signals.c.signal_id).where(signals)
    said = _said(person, tenant)
    feedback_ids = select(feedback.c.feedback_id).where(said)
    learned = () if implied is None else implied.instance_ids
    for table, where in instance_rows(tenant, learned):
        yield PersonRows(table, where)
    for table in BY_PERSON:
        yield PersonRows(table, _person(table, person, tenant))
    yield PersonRows(
        feedback_reviews,
        _of(feedback_reviews, tenant) & feedback_reviews.c.feedback_id.in_(feedback_ids),
    )
    yield PersonRows(disputes, _of(disputes, tenant) & disputes.c.signal_id.in_(signal_ids))
    yield from _listed(disputes, tenant, taught)
    yield PersonRows(feedback, said)
    yield PersonRows(interactions, _person(interactions, person, tenant))
    yield PersonRows(reward_signals, signals)
    yield from _listed(reward_signals, tenant, taught)
    yield PersonRows(decisions, _person(decisions, person, tenant))
    flagged = _of(reviews, tenant) & reviews.c.episode_id.in_(episode_ids)
    review_ids = select(reviews.c.review_id).where(flagged)
    yield PersonRows(
        review_decisions,
        _of(review_decisions, tenant) & review_decisions.c.review_id.in_(review_ids),
    )
    yield PersonRows(reviews, flagged)
    yield PersonRows(exposures, _person(exposures, person, tenant))
    yield PersonRows(training_episodes, _person(training_episodes, person, tenant))
    made = () if implied is None else implied.profile_ids
    for start in range(0, len(made), _IDS):
        some = synthetic_profiles.c.profile_id.in_(made[start : start + _IDS])
        yield PersonRows(synthetic_profiles, _of(synthetic_profiles, tenant) & some)
    yield PersonRows(consents, _person(consents, person, tenant))


def kept_rows(person: str, tenant: str) -> Iterator[PersonRows]:
    """Rows that speak of the person and stay: see ``KEPT``."""
    yield PersonRows(privacy_people, privacy_people.c.person == person)
    yield PersonRows(erasures, _person(erasures, person, tenant))


def _said(person: str, tenant: str) -> ColumnElement[bool]:
    """Feedback of the person, and anyone's on the person's interactions."""
    return _of(feedback, tenant) & or_(
        feedback.c.user_id == person,
        feedback.c.log_id.in_(_ids(interactions, "log_id", person, tenant)),
    )


def _listed(table: Table, tenant: str, signal_ids: Sequence[str]) -> Iterator[PersonRows]:
    """Rows of some signals, in lists that fit a statement."""
    for start in range(0, len(signal_ids), _IDS):
        some = table.c.signal_id.in_(signal_ids[start : start + _IDS])
        yield PersonRows(table, _of(table, tenant) & some)


def _of(table: Table, tenant: str) -> ColumnElement[bool]:
    return table.c.tenant == tenant


def _person(table: Table, person: str, tenant: str) -> ColumnElement[bool]:
    return _of(table, tenant) & (table.c.user_id == person)


def _ids(table: Table, key: str, person: str, tenant: str) -> Select[tuple[str]]:
    return select(table.c[key]).where(_person(table, person, tenant))
