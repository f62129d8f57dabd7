"""The privacy ledger: who has spent how much, per person, for ever.

Every rule is here; where rows are kept is the ``LedgerStore`` port's business. The unit of privacy is
the person, neighbours differ by adding or removing one. All loops of a ledger spend from the same
people's totals; ``admission`` says whose promise holds.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date

from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldKeepRelease,
    ShouldResolveConflict,
    ShouldWaitForBudget,
)
from everloop.contracts.ledger_ports import (
    JournalStanding,
    LedgerStore,
    LedgerTransaction,
    SpendJournal,
)
from everloop.contracts.loop_spec import LoopSpec, PrivacySpec
from everloop.contracts.ports import Clock, Reservation
from everloop.contracts.privacy import (
    BudgetPlan,
    BudgetStatus,
    LedgerRow,
    Mechanism,
    Recovered,
    ReleaseRequest,
    ReleaseStatus,
    Statement,
)
from everloop.privacy import ledger_recovery, outlook, plan, recovery
from everloop.privacy.admission import Price, affordable, promise_of
from everloop.privacy.chain import broken
from everloop.privacy.ledger_journal import LedgerJournal
from everloop.privacy.ledger_keys import LedgerKeys
from everloop.privacy.ledger_rows import LedgerRows
from everloop.privacy.mechanisms import as_json, mu_squared_of
from everloop.privacy.soundness import check_people, output_of, sound_rows
from everloop.privacy.statement import statement_of

SEED_BYTES = 32


class Ledger:
    """``PrivacyLedger`` over a ``LedgerStore``.

    Args:
        store: where rows, charges and sealed seeds are kept.
        key: secret of at least 32 bytes; commits rows to sets of people and seals noise seeds.
        clock: tells when a row is recorded.
        previous_keys: keys that stored rows were committed under before.
        journal: where everything that is spent is written down once more before it is acted on; without
            one, restoring an older backup forgets what was spent since.

    Raises:
        ShouldProvideKey: the key is too short.
    """

    def __init__(
        self,
        store: LedgerStore,
        key: bytes,
        clock: Clock,
        previous_keys: Sequence[bytes] = (),
        journal: SpendJournal | None = None,
    ) -> None:
        self._store = store
        self._journal = None if journal is None else LedgerJournal(journal)
        self._keys = LedgerKeys(key, previous_keys)
        self._rows = LedgerRows(self._keys, clock)

    def night_mechanism(self, spec: LoopSpec, pipeline: str, stage: str, on: date) -> Mechanism:
        """What the plan of the budget gives a stage on a date; see ``plan.planned_mechanism``."""
        return plan.planned_mechanism(spec, stage, on, self.history(pipeline))

    def first_mu_squared(self, spec: LoopSpec, stage: str) -> float:
        """What the plan of the budget gives a stage's first release; see ``plan.night_mu_squared``."""
        return plan.night_mu_squared(spec, stage, first=True)

    def next_due(self, spec: LoopSpec, pipeline: str, stage: str, on: date) -> date | None:
        """The date of the stage's next release, where the plan has none on this one."""
        serves = plan.served_by(spec.privacy, stage, on, self.history(pipeline))
        return None if serves is None else plan.due_after(spec.privacy, serves)

    def reserve(
        self, request: ReleaseRequest, people: Sequence[str], spec: LoopSpec, min_people: int
    ) -> Reservation:
        """Charge every person who can afford the release, in one durable transaction.

        The same request again is not charged again: it resumes with the same people and the same
        seed while unfinished, and returns the stored output once complete.

        Raises:
            ShouldWaitForBudget: fewer than ``min_people`` can afford it; nothing was charged.
            ShouldKeepRelease: this pipeline, date and stage was reserved under other terms.
            ShouldRepairLedger: the ledger does not verify, or it lacks what its journal has; nothing was
                charged.
        """
        offered = tuple(sorted(set(people)))
        made = self._reserved(request, offered, spec, min_people)
        self.follow_journal()
        return made

    def _reserved(
        self, request: ReleaseRequest, offered: tuple[str, ...], spec: LoopSpec, min_people: int
    ) -> Reservation:
        with self._store.transaction() as ledger:
            ledger_recovery.follow(self._journal, ledger)
            rows = self._sound(ledger)
            before = [row for row in rows if _same_slot(row, request)]
            if before:
                return self._again(ledger, request, before, offered)
            rows = ledger_recovery.settle_lost(
                self._rows, ledger, rows, request.logical_date, offered
            )
            price = Price.of((request.mechanism,))
            admitted = affordable(ledger, rows, request.logical_date, price, offered, spec.privacy)
            if len(admitted) < max(1, min_people):
                raise ShouldWaitForBudget(
                    f"{len(admitted)} of {len(offered)} people can afford the {request.stage} "
                    f"release of {request.logical_date} "
                    f"(mu^2 {mu_squared_of(request.mechanism, spec.privacy):.3g}), "
                    f"fewer than {max(1, min_people)}.",
                    "Reuse the last release until older spending leaves the period.",
                )
            return self._charge(ledger, request, admitted, spec.privacy)

    def complete(self, release_id: str, url: str, sha256: str) -> LedgerRow:
        """Append the ``spent`` row of a reservation and destroy its seed. Idempotent.

        Raises:
            ShouldFixArgument: nothing is reserved under this id.
            ShouldResolveConflict: it was completed with another output.
            ShouldRepairLedger: the ledger does not verify.
        """
        row = self._completed(release_id, url, sha256)
        self.follow_journal()
        return row

    def _completed(self, release_id: str, url: str, sha256: str) -> LedgerRow:
        with self._store.transaction() as ledger:
            ledger_recovery.follow(self._journal, ledger)
            rows = self._sound(ledger)
            of_release = [row for row in rows if row.release_id == release_id]
            if not of_release:
                raise ShouldFixArgument(
                    f"Release {release_id} was never reserved.", "Reserve it before any noise."
                )
            if of_release[-1].status is ReleaseStatus.SPENT:
                if ledger.output(release_id) == (f"{recovery.LOST}{url}", sha256):
                    ledger.store_output(release_id, url, sha256)
                elif ledger.output(release_id) != (url, sha256):
                    raise ShouldResolveConflict(
                        f"Release {release_id} is complete with another output than {sha256}.",
                        "Use the stored output.",
                    )
                return of_release[-1]
            row = self._rows.append(ledger, of_release[-1], ReleaseStatus.SPENT)
            ledger.store_output(release_id, url, sha256)
            ledger.unseal(release_id)
            return row

    def latest_release(
        self, pipeline: str, stage: str, on_or_before: date
    ) -> tuple[LedgerRow, str, str] | None:
        """(row, url, sha256) of the completed release with the newest date; ``None`` if none.

        One whose output was lost with a restored workspace serves nobody.
        """
        with self._store.transaction() as ledger:
            complete = [
                row
                for row in ledger.rows()
                if row.status is ReleaseStatus.SPENT
                and (row.pipeline, row.stage) == (pipeline, stage)
                and row.logical_date <= on_or_before
            ]
            for row in sorted(complete, key=lambda r: r.logical_date, reverse=True):
                url, sha256 = output_of(ledger, row)
                if not url.startswith(recovery.LOST):
                    return row, url, sha256
            return None

    def status(self, spec: LoopSpec, on: date, tonight: Sequence[LedgerRow] = ()) -> BudgetStatus:
        """The budget on a date; see ``outlook.status``."""
        with self._store.transaction() as ledger:
            return outlook.status(ledger, tuple(ledger.rows()), spec.privacy, on, tonight)

    def plan(self, spec: LoopSpec, pipeline: str, on: date) -> BudgetPlan:
        """What the stages of a date would spend, and how long the budget lasts.

        Raises:
            ShouldRepairLedger: the ledger does not verify.
        """
        with self._store.transaction() as ledger:
            return outlook.planned(ledger, self._sound(ledger), spec, pipeline, on)

    def rename(self, pseudonyms: Mapping[str, str], key: str = "") -> int:
        """Move everyone's spending to pseudonyms (old -> new) of another key; how many they are.

        Args:
            pseudonyms: old -> new, of everyone.
            key: fingerprint of the new key.

        Commitments hold the pseudonyms that people were first known by, and go on verifying.

        Raises:
            ShouldFixArgument: someone who was charged is not among them, or two would become one.
            ShouldRepairLedger: the ledger does not verify; nothing was changed.
        """
        if len(set(pseudonyms.values())) != len(pseudonyms):
            raise ShouldFixArgument("Two people would have one pseudonym.")
        with self._store.transaction() as ledger:
            ledger_recovery.require_rename(self._journal, ledger, key)
            self._sound(ledger)
            people = ledger.people()
            missing = sum(person not in pseudonyms for person in people)
            if missing:
                raise ShouldFixArgument(
                    f"{missing} of {len(people)} people whose privacy was charged are not among those "
                    "to rename; under a new key they would be strangers with an unspent budget.",
                    "Name everyone.",
                )
            ledger.rename({person: pseudonyms[person] for person in people})
            mark = ledger.journal()
            ledger.note_journal(replace(mark, renames=mark.renames + 1, pseudonym_key=key))
        return len(people)

    def follow_journal(self) -> None:
        """Start the journal where there is none yet, and write down what it lacks; see ``LedgerJournal``.

        Raises:
            ShouldRepairLedger: the ledger lacks what the journal has, or the journal cannot be trusted.
        """
        if self._journal is not None:
            with self._store.transaction() as ledger:
                ledger_recovery.follow(self._journal, ledger)

    def recover(self, exists: recovery.Exists) -> Recovered:
        """Charge, after an older backup was restored, what the journal says was spent since. Idempotent.

        Args:
            exists: whether the output of a release is there.

        Raises:
            ShouldFixArgument: this ledger keeps no journal.
            ShouldRepairLedger: the journal is missing, damaged or tells another history, or what it adds
                does not verify; nothing was changed.
            ShouldProvideKey: a row was committed under a key that is not here.
        """
        with self._store.transaction() as ledger:
            done = ledger_recovery.recover(self._journal, ledger, exists)
            self._sound(ledger)
        return done

    def charge_everyone(
        self, loops: Mapping[str, LoopSpec], since: date, until: date
    ) -> tuple[LedgerRow, ...]:
        """Charge everyone, where backup and journal both lack what was spent, the most that it can be.

        Every person pays for every date without a row up to ``until`` as ``worst_case_mu_squared`` says,
        whether their budget covers it or not, and so does whoever is first met later, in their first
        reservation. Nothing is released for these dates and the ones before any more. A new journal is
        started in the same transaction; a death in between leaves one that ``recover`` learns from.

        Args:
            loops: by pipeline that may have run, the loosest specification since the backup.
            since: the day of the backup that was restored.
            until: the last day on which something may have been spent.

        Raises:
            ShouldFixArgument: dates that cannot be, a pipeline is missing, or the journal is not lost.
            ShouldRepairLedger: the ledger does not verify.
        """
        with self._store.transaction() as ledger:
            rows = self._sound(ledger)
            return ledger_recovery.charge_everyone(
                self._rows, ledger, self._journal, rows, loops, since, until
            )

    def statement(self, person: str, on: date) -> Statement | None:
        """What a person's privacy has cost up to a date; None for one who was never charged."""
        with self._store.transaction() as ledger:
            return statement_of(ledger, tuple(ledger.rows()), person, on)

    def history(self, pipeline: str | None = None) -> tuple[LedgerRow, ...]:
        """Every row (of a pipeline), oldest first."""
        with self._store.transaction() as ledger:
            return tuple(row for row in ledger.rows() if pipeline in (None, row.pipeline))

    def verify(self) -> int:
        """Check rows, commitments, every person's charges, every output and the journal; how many rows.

        Raises:
            ShouldRepairLedger: naming the first bad row, or what does not belong to any; or the ledger
                lacks what its journal has.
        """
        # Records never change: read before, they keep nobody waiting for the database.
        told = None if self._journal is None else self._journal.history()
        with self._store.transaction() as ledger:
            ledger_recovery.follow(self._journal, ledger)
            if self._journal is not None and told is not None:
                self._journal.require_told(told, ledger)
            return len(self._sound(ledger))

    def standing(self) -> JournalStanding:
        """What this ledger is to its journal; ``ShouldRepairLedger`` where that is damaged."""
        if self._journal is None:
            return JournalStanding.CURRENT
        with self._store.transaction() as ledger:
            return self._journal.standing(ledger)

    def _sound(self, ledger: LedgerTransaction) -> tuple[LedgerRow, ...]:
        """Every row, after every check that there is: budget is judged by who was charged, so that they
        are checked against the commitments before anything is charged, completed or planned."""
        rows = sound_rows(ledger)
        check_people(ledger, rows, self._keys.commits)
        return rows

    def _charge(
        self,
        ledger: LedgerTransaction,
        request: ReleaseRequest,
        admitted: tuple[str, ...],
        privacy: PrivacySpec,
    ) -> Reservation:
        seed = secrets.token_bytes(SEED_BYTES)
        price = mu_squared_of(request.mechanism, privacy)
        row = self._rows.charge(ledger, request, admitted, promise_of(privacy), price)
        ledger.seal(row.release_id, self._keys.sealed(row, seed))
        return Reservation(row.release_id, admitted, seed, row)

    def _again(
        self,
        ledger: LedgerTransaction,
        request: ReleaseRequest,
        before: Sequence[LedgerRow],
        offered: tuple[str, ...],
    ) -> Reservation:
        row = before[-1]
        _require_same_terms(row, request)
        admitted = ledger.charged(row.release_id)
        if row.status is ReleaseStatus.SPENT:
            url, sha256 = output_of(ledger, row)
            if url.startswith(recovery.LOST):
                raise _kept(row, "its output was lost with the workspace")
            return Reservation(row.release_id, admitted, b"", row, url, sha256)
        if not set(admitted) <= set(offered):
            raise ShouldKeepRelease(
                f"The {row.stage} release of {row.logical_date} was reserved for people of whom "
                f"{len(set(admitted) - set(offered))} are not in dataset {row.dataset_id} any more.",
                "The same noise never covers other data: use the last release, or the next date.",
            )
        sealed = ledger.sealed(row.release_id)
        if sealed == recovery.RECOVERED_SEED:
            raise _kept(row, "its noise is not known in this restored workspace")
        if sealed is None or len(sealed) != SEED_BYTES:
            raise broken(row, "has lost the seed of its unfinished release")
        seed = self._keys.opened(row, sealed, ledger.first_known_as(admitted).values())
        if seed is None:
            raise broken(row, "is charged to other people than it committed to")
        return Reservation(row.release_id, admitted, seed, row)


def _same_slot(row: LedgerRow, request: ReleaseRequest) -> bool:
    return (row.pipeline, row.logical_date, row.stage) == (
        request.pipeline,
        request.logical_date,
        request.stage,
    )


def _kept(row: LedgerRow, reason: str) -> ShouldKeepRelease:
    return ShouldKeepRelease(
        f"The {row.stage} release of {row.logical_date} was paid for, and {reason}.",
        "It is never made a second time: use the last release, or the next date.",
    )


def _require_same_terms(row: LedgerRow, request: ReleaseRequest) -> None:
    asked = (request.configuration_sha256, request.dataset_id, as_json(request.mechanism))
    if asked != (row.configuration_sha256, row.dataset_id, dict(row.mechanism)):
        raise ShouldKeepRelease(
            f"The {row.stage} release of {row.logical_date} was paid for with configuration "
            f"{row.configuration_sha256[:12]} and dataset {row.dataset_id[:12]}; this run has "
            f"configuration {request.configuration_sha256[:12]} and dataset "
            f"{request.dataset_id[:12]}.",
            "Use the stored release; changes take effect on the next date.",
        )
