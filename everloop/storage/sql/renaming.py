"""Everyone's rows under other pseudonyms, within one transaction.

Where a row's checksum covers a pseudonym it is taken anew, so that an event which comes again under the
new key is known for what is stored. Commitments of the ledger hold the pseudonyms that people were
first known by, and are ``Ledger.rename``'s business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Connection, RowMapping, Table, Text, bindparam, cast, select, update

from everloop.contracts.episodes import Json
from everloop.contracts.models import ProfileSource, inside_profile_id
from everloop.contracts.serving import Decision, question_sha256
from everloop.storage.ledger_tables import privacy_people
from everloop.storage.payloads import payload_sha256
from everloop.storage.rollout_tables import exposures
from everloop.storage.schema import consents, synthetic_profiles, training_episodes
from everloop.storage.service_tables import decisions, erasures, feedback, interactions
from everloop.storage.sql.decision_rows import decision_of
from everloop.storage.sql.event_rows import episode_of
from everloop.storage.sql.feedback_rows import feedback_of, interaction_of
from everloop.storage.sql.ingest_kinds import FEEDBACK
from everloop.storage.sql.person_rows import variations
from everloop.storage.sql.profiles import profile_of
from everloop.storage.sql.renaming_voices import people_of_voices, rename_voices

Arguments = Callable[[Mapping[str, Json], Callable[[str], str]], dict[str, Json]]
"""(arguments of an action, old pseudonym -> new) -> the arguments under new pseudonyms."""

SESSIONS = "sessions"
ARGUMENTS = "action_arguments"
_CHUNK = 1_000
_INSIDE = (ProfileSource.REAL.value, ProfileSource.AUGMENTED.value)


@dataclass(frozen=True, slots=True)
class Renamed:
    """What a renaming changed.

    Attributes:
        rows: rows by table.
        unrecognised: rows whose checksum could not be taken anew, since what they were made of is not
            stored as it was sent; the same event sent again is refused as another one.
    """

    rows: Mapping[str, int]
    unrecognised: int


@dataclass(frozen=True, slots=True)
class _Kind:
    """A table whose rows are found again by a checksum.

    ``forms``: every checksum that the record may have come in under.
    """

    table: Table
    key: str
    record: Callable[[RowMapping], Any]
    forms: Callable[[Any], tuple[bytes, ...]]
    session: bool = False


def _question_forms(asked: Decision) -> tuple[bytes, ...]:
    said = (asked.user_id, asked.loop, asked.context_snapshot)
    return tuple(
        bytes.fromhex(question_sha256(*said, valid, asked.action_arguments))
        for valid in (None, asked.valid_actions)
    )


_KINDS = (
    _Kind(training_episodes, "episode_id", episode_of, lambda r: (payload_sha256(r),)),
    _Kind(decisions, "decision_id", decision_of, _question_forms),
    _Kind(interactions, "log_id", interaction_of, lambda r: (payload_sha256(r),), session=True),
    _Kind(feedback, "feedback_id", feedback_of, lambda r: (FEEDBACK.sha256(r),), session=True),
)
_PEOPLE = (
    *((kind.table, kind.table.c.user_id) for kind in _KINDS),
    *((table, table.c.user_id) for table in (consents, erasures, exposures)),
    (privacy_people, privacy_people.c.person),
)


class Renaming:
    """A change of everyone's pseudonym.

    Args:
        connection: of a write transaction, or of a read transaction to ask ``uncovered`` alone.
        names: old pseudonym -> new one, of people and of sessions, whoever's tenant they are.
        arguments: renames whom an action was about.
        retired: new name of a session that ``names`` lacks; ``None``: such a session is uncovered.
    """

    def __init__(
        self,
        connection: Connection,
        names: Mapping[str, str],
        arguments: Arguments,
        retired: Callable[[str], str] | None = None,
    ) -> None:
        self._connection = connection
        self._names = names
        self._arguments = arguments
        self._retired = retired

    def uncovered(self) -> Mapping[str, int]:
        """By table, how many pseudonyms have no new one; ``sessions`` and ``action_arguments`` besides.

        Profiles made from people's own data are counted by rows.
        """
        found: Counter[str] = Counter()
        for table, person in _PEOPLE:
            found[table.name] = self._missing(self._connection.scalars(select(person).distinct()))
        if self._retired is None:
            sessions: set[str] = set()
            for table in (interactions, feedback):
                sessions.update(self._connection.scalars(select(table.c.session_id).distinct()))
            found[SESSIONS] = self._missing(sessions)
        found[ARGUMENTS] = self._missing(self._mentioned())
        found.update(
            {name: self._missing(people) for name, people in people_of_voices(self._connection)}
        )
        known = self._profile_ids()
        found[synthetic_profiles.name] = sum(
            row["profile_id"] not in known for rows in self._profiles() for row in rows
        )
        return {place: count for place, count in found.items() if count}

    def carry_out(self) -> Renamed:
        """Rename in every table but the ledger's; whoever is uncovered must have been refused."""
        rows = {
            synthetic_profiles.name: self._rename_profiles()
        }  # found by whose episodes there are
        unrecognised = 0
        for kind in _KINDS:
            changed, unknown = self._rename_records(kind)
            rows[kind.table.name] = changed
            unrecognised += unknown
        for table in (consents, erasures, exposures):
            rows[table.name] = self._rename_people(table)
        voices, unknown = rename_voices(self._connection, self._names)
        rows |= voices
        unrecognised += unknown
        return Renamed(rows, unrecognised)

    def _missing(self, pseudonyms: Any) -> int:
        return sum(one not in self._names for one in pseudonyms)

    def _mentioned(self) -> set[str]:
        """Everyone whom an action was about."""
        found: set[str] = set()

        def noted(person: str) -> str:
            found.add(person)
            return person

        for table in (training_episodes, decisions):
            said = table.c.action_arguments
            query = select(said).where(cast(said, Text) != "{}")
            for arguments in self._connection.scalars(query.execution_options(yield_per=_CHUNK)):
                self._arguments(arguments, noted)
        return found

    def _rename_records(self, kind: _Kind) -> tuple[int, int]:
        table, changed, unknown = kind.table, 0, 0
        columns = [
            "user_id",
            "session_id" if kind.session else "action_arguments",
            "payload_sha256",
        ]
        statement = (
            update(table)
            .where(table.c.tenant == bindparam("of"), table.c[kind.key] == bindparam("found"))
            .values({name: bindparam(f"new_{name}", type_=table.c[name].type) for name in columns})
        )
        for rows in self._stored(table):
            told = []
            for row in rows:
                record = kind.record(row)
                values = self._new_values(record, kind.session)
                forms, sha256 = kind.forms(record), bytes(row["payload_sha256"])
                if sha256 in forms:
                    sha256 = kind.forms(replace(record, **values))[forms.index(sha256)]
                else:
                    unknown += 1
                values["payload_sha256"] = sha256
                told.append(
                    {"of": row["tenant"], "found": row[kind.key]}
                    | {f"new_{name}": value for name, value in values.items()}
                )
            self._connection.execute(statement, told)
            changed += len(told)
        return changed, unknown

    def _new_values(self, record: Any, session: bool) -> dict[str, Any]:
        values: dict[str, Any] = {"user_id": self._names[record.user_id]}
        if session:
            values["session_id"] = self._session(record.session_id)
        else:
            values["action_arguments"] = self._arguments(
                record.action_arguments, self._names.__getitem__
            )
        return values

    def _session(self, session_id: str) -> str:
        if session_id in self._names or self._retired is None:
            return self._names[session_id]
        return self._retired(session_id)

    def _stored(self, table: Table) -> Iterator[Sequence[RowMapping]]:
        """Rows in chunks by their ingest number, which no renaming changes."""
        tenants = list(self._connection.scalars(select(table.c.tenant).distinct()))
        for tenant in tenants:
            last = -1
            while rows := (
                self._connection.execute(
                    select(table)
                    .where(table.c.tenant == tenant, table.c.seq > last)
                    .order_by(table.c.seq)
                    .limit(_CHUNK)
                )
                .mappings()
                .all()
            ):
                yield rows
                last = rows[-1]["seq"]

    def _rename_people(self, table: Table) -> int:
        """Rows that have a person and no checksum."""
        people = list(self._connection.execute(select(table.c.tenant, table.c.user_id)))
        told = [
            {"of": tenant, "found": person, "told": self._names[person]}
            for tenant, person in dict.fromkeys((row.tenant, row.user_id) for row in people)
        ]
        if told:
            statement = (
                update(table)
                .where(table.c.tenant == bindparam("of"), table.c.user_id == bindparam("found"))
                .values(user_id=bindparam("told"))
            )
            self._connection.execute(statement, told)
        return len(people)

    def _profiles(self) -> Iterator[Sequence[RowMapping]]:
        """Profiles that were made from people's own data, in chunks."""
        table, after = synthetic_profiles, ("", "")
        while rows := (
            self._connection.execute(
                select(table)
                .where(
                    table.c.source.in_(_INSIDE),
                    (table.c.tenant > after[0])
                    | ((table.c.tenant == after[0]) & (table.c.profile_id > after[1])),
                )
                .order_by(table.c.tenant, table.c.profile_id)
                .limit(_CHUNK)
            )
            .mappings()
            .all()
        ):
            yield rows
            after = (rows[-1]["tenant"], rows[-1]["profile_id"])

    def _profile_ids(self) -> dict[str, str]:
        """Old id -> new id of every profile that an augmentation may have made of somebody."""
        table = synthetic_profiles
        tenants = select(table.c.tenant).where(table.c.source.in_(_INSIDE)).distinct()
        found: dict[str, str] = {}
        for tenant in list(self._connection.scalars(tenants)):
            varied = variations(self._connection, tenant)
            people = (
                select(training_episodes.c.user_id)
                .where(training_episodes.c.tenant == tenant)
                .distinct()
            )
            for person in list(self._connection.scalars(people)):
                new = self._names.get(person)
                if new is not None:
                    found |= {
                        inside_profile_id(person, one): inside_profile_id(new, one)
                        for one in varied
                    }
        return found

    def _rename_profiles(self) -> int:
        table, ids = synthetic_profiles, self._profile_ids()
        stored = [row for rows in self._profiles() for row in rows]
        told = []
        for row in stored:
            renamed = replace(profile_of(row), profile_id=ids[row["profile_id"]])
            told.append(
                {
                    "of": row["tenant"],
                    "found": row["profile_id"],
                    "told": renamed.profile_id,
                    "sha256": payload_sha256(renamed),
                }
            )
        if told:
            statement = (
                update(table)
                .where(table.c.tenant == bindparam("of"), table.c.profile_id == bindparam("found"))
                .values(profile_id=bindparam("told"), payload_sha256=bindparam("sha256"))
            )
            self._connection.execute(statement, told)
        return len(stored)
