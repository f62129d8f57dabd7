"""The ledger's rules: charged once, admitted within budget, resumed with the same noise, chained."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import math
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from everloop.contracts.canonical import canonical_json
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldKeepRelease,
    ShouldProvideKey,
    ShouldRepairLedger,
    ShouldResolveConflict,
    ShouldWaitForBudget,
)
from everloop.contracts.loop_spec import LoopSpec, PrivacySpec
from everloop.contracts.ports import Reservation
from everloop.contracts.privacy import (
    GaussianMechanism,
    LedgerRow,
    ReleaseRequest,
    ReleaseStatus,
)
from everloop.loops import load
from everloop.privacy import accounting, plan
from everloop.privacy.chain import GENESIS, chained, check_chain
from everloop.privacy.ledger import Ledger
from everloop.privacy.ledger_rows import release_id_of
from everloop.storage.person_sets import packed
from everloop.storage.sql.engine import open_workspace_database, writing
from everloop.storage.sql.ledger_store import SqlLedgerStore
from tests.conformance.memory_ledger_store import MemoryLedgerStore

KEY = bytes(range(32))
DAY = date(2026, 3, 1)
PEOPLE = tuple(f"{number:064x}" for number in range(6))
ANN, BEN, *REST = PEOPLE


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 3, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


def spec_with(**privacy: object) -> LoopSpec:
    changed = PrivacySpec.model_validate(PrivacySpec().model_dump() | privacy)
    return load("companion").model_copy(update={"privacy": changed})


SPEC = spec_with(period_days=30, profiles_refit_days=1)
BUDGET = plan.budget_mu_squared(SPEC.privacy)


def costing(share: float, steps: int = 4) -> GaussianMechanism:
    """A mechanism that costs a share of the budget."""
    return GaussianMechanism(sigma=math.sqrt(steps / (share * BUDGET)), clip=1.0, steps=steps)


def request(
    days: int = 0,
    share: float = 0.25,
    stage: str = "user_model",
    configuration: str = "c" * 64,
    dataset: str = "d" * 64,
) -> ReleaseRequest:
    return ReleaseRequest(
        "companion/default",
        DAY + timedelta(days=days),
        stage,
        configuration,
        dataset,
        costing(share),
    )


@pytest.fixture
def store() -> MemoryLedgerStore:
    return MemoryLedgerStore()


@pytest.fixture
def ledger(store: MemoryLedgerStore) -> Ledger:
    return Ledger(store, KEY, Clock())


def reserve(ledger: Ledger, asked: ReleaseRequest, people: tuple[str, ...] = PEOPLE) -> Reservation:
    return ledger.reserve(asked, people, SPEC, min_people=1)


def test_a_reservation_charges_everyone_once(ledger: Ledger, store: MemoryLedgerStore) -> None:
    made = reserve(ledger, request(), (BEN, ANN, BEN))
    assert made.admitted == (ANN, BEN)
    assert len(made.noise_seed) == 32
    assert made.stored_url is None
    assert made.row.status is ReleaseStatus.RESERVED
    assert (made.row.people, made.row.unit, made.row.neighbours) == (
        2,
        "person",
        "add-or-remove-one",
    )
    assert store.state.totals == dict.fromkeys((ANN, BEN), made.row.mu_squared)
    assert made.row.mu_squared == pytest.approx(BUDGET / 4)
    assert made.row.mechanism["steps"] == 4
    assert "opacus" in made.row.library


def test_release_id_is_the_documented_hash_and_needs_the_key() -> None:
    name = f"release|companion/default|2026-03-01|user_model|{'c' * 64}"
    documented = hmac.new(bytes(32), name.encode(), hashlib.sha256).hexdigest()[:32]
    assert release_id_of(request(), bytes(32)) == documented
    assert release_id_of(request(), b"k" * 32) != documented


def test_the_seed_is_sealed_and_two_releases_never_share_one(
    ledger: Ledger, store: MemoryLedgerStore
) -> None:
    one, two = reserve(ledger, request(0)), reserve(ledger, request(1))
    assert one.noise_seed != two.noise_seed
    assert one.noise_seed not in store.state.seeds.values()


def test_an_interrupted_release_resumes_with_the_same_people_and_noise(ledger: Ledger) -> None:
    first = reserve(ledger, request())
    assert reserve(ledger, request()) == first
    assert len(ledger.history()) == 1


def test_people_who_came_later_are_not_part_of_a_resumed_release(ledger: Ledger) -> None:
    first = reserve(ledger, request(), (ANN, BEN))
    assert reserve(ledger, request(), PEOPLE).admitted == first.admitted == (ANN, BEN)


def test_a_resumed_release_never_covers_other_data(ledger: Ledger) -> None:
    reserve(ledger, request(), (ANN, BEN))
    with pytest.raises(ShouldKeepRelease, match="1 are not in dataset"):
        reserve(ledger, request(), (ANN,))


def test_a_complete_release_is_returned_and_its_seed_destroyed(
    ledger: Ledger, store: MemoryLedgerStore
) -> None:
    made = reserve(ledger, request())
    row = ledger.complete(made.release_id, "blob:one", "a" * 64)
    assert row.status is ReleaseStatus.SPENT
    assert (row.sequence, row.previous_sha256) == (2, made.row.row_sha256)
    again = reserve(ledger, request(), (ANN,))
    assert (again.stored_url, again.stored_sha256, again.noise_seed) == ("blob:one", "a" * 64, b"")
    assert again.admitted == PEOPLE
    assert store.state.seeds == {}
    assert store.state.totals[ANN] == made.row.mu_squared


def test_completing_twice_is_once(ledger: Ledger) -> None:
    made = reserve(ledger, request())
    row = ledger.complete(made.release_id, "blob:one", "a" * 64)
    assert ledger.complete(made.release_id, "blob:one", "a" * 64) == row
    assert len(ledger.history()) == 2
    with pytest.raises(ShouldResolveConflict, match="another output"):
        ledger.complete(made.release_id, "blob:two", "b" * 64)


def test_completing_what_was_never_reserved_is_refused(ledger: Ledger) -> None:
    with pytest.raises(ShouldFixArgument, match="never reserved"):
        ledger.complete("f" * 32, "blob:one", "a" * 64)


@pytest.mark.parametrize("complete", [False, True])
@pytest.mark.parametrize(
    "other",
    [
        request(configuration="e" * 64),
        request(dataset="e" * 64),
        request(share=0.2),
    ],
    ids=["configuration", "dataset", "mechanism"],
)
def test_other_terms_for_a_paid_date_are_refused(
    ledger: Ledger, store: MemoryLedgerStore, other: ReleaseRequest, complete: bool
) -> None:
    made = reserve(ledger, request())
    if complete:
        ledger.complete(made.release_id, "blob:one", "a" * 64)
    before = dict(store.state.totals)
    with pytest.raises(ShouldKeepRelease) as problem:
        reserve(ledger, other)
    for named in ("c" * 12, "d" * 12, other.configuration_sha256[:12], other.dataset_id[:12]):
        assert named in str(problem.value)
    assert store.state.totals == before


def test_the_spent_are_left_out(ledger: Ledger) -> None:
    reserve(ledger, request(0, share=0.6), (ANN,))
    made = reserve(ledger, request(1, share=0.5))
    assert made.admitted == (BEN, *REST)
    assert reserve(ledger, request(2, share=0.39)).admitted == (ANN, BEN, *REST)


def test_spending_leaves_the_period_after_exactly_its_days(ledger: Ledger) -> None:
    reserve(ledger, request(0, share=0.6), (ANN,))
    with pytest.raises(ShouldWaitForBudget):
        reserve(ledger, request(29, share=0.5), (ANN,))
    assert reserve(ledger, request(30, share=0.5), (ANN,)).admitted == (ANN,)


def test_a_backfilled_date_counts_in_the_periods_that_end_later(ledger: Ledger) -> None:
    reserve(ledger, request(20, share=0.6), (ANN,))
    reserve(ledger, request(25, share=0.3), (ANN,))
    with pytest.raises(ShouldWaitForBudget):  # day 25 looks back as far as day -4
        reserve(ledger, request(0, share=0.2), (ANN,))
    assert reserve(ledger, request(0, share=0.09, stage="profiles"), (ANN,)).admitted == (ANN,)
    # Before day -4 no period holds it together with day 25, but one does with day 20.
    assert reserve(ledger, request(-5, share=0.3), (ANN,)).admitted == (ANN,)
    with pytest.raises(ShouldWaitForBudget):
        reserve(ledger, request(-5, share=0.05, stage="profiles"), (ANN,))


def test_the_whole_budget_can_be_spent_but_not_more(ledger: Ledger) -> None:
    for night in range(3):
        reserve(ledger, request(night, share=1 / 3 - 1e-9), (ANN,))
    with pytest.raises(ShouldWaitForBudget):
        reserve(ledger, request(3, share=1e-6), (ANN,))


def test_too_few_people_are_not_charged(ledger: Ledger, store: MemoryLedgerStore) -> None:
    reserve(ledger, request(0, share=0.9), (ANN, BEN))
    before = dict(store.state.totals)
    with pytest.raises(ShouldWaitForBudget, match=r"4 of 6 people .* fewer than 5"):
        ledger.reserve(request(1), PEOPLE, SPEC, min_people=5)
    assert store.state.totals == before
    assert len(ledger.history()) == 1
    with pytest.raises(ShouldWaitForBudget):
        ledger.reserve(request(1), (), SPEC, min_people=0)


def test_death_before_the_commit_leaves_nothing(ledger: Ledger, store: MemoryLedgerStore) -> None:
    store.die_before_commit = True
    with pytest.raises(KeyboardInterrupt):
        reserve(ledger, request())
    assert store.state.totals == {}
    assert ledger.history() == ()
    assert reserve(ledger, request()).admitted == PEOPLE


def test_latest_release_is_the_newest_complete_one(ledger: Ledger) -> None:
    assert ledger.latest_release("companion/default", "user_model", DAY) is None
    for day, url in ((5, "blob:5"), (2, "blob:2")):
        made = reserve(ledger, request(day, share=0.1))
        ledger.complete(made.release_id, url, "a" * 64)
    reserve(ledger, request(7, share=0.1))
    newest = ledger.latest_release("companion/default", "user_model", DAY + timedelta(days=9))
    assert newest is not None
    assert newest[1:] == ("blob:5", "a" * 64)
    assert newest[0].logical_date == DAY + timedelta(days=5)
    before = ledger.latest_release("companion/default", "user_model", DAY + timedelta(days=4))
    assert before is not None
    assert before[1] == "blob:2"
    assert ledger.latest_release("companion/default", "profiles", DAY.replace(year=2030)) is None
    assert ledger.latest_release("another", "user_model", DAY.replace(year=2030)) is None


def test_status_is_of_the_person_who_spent_most(ledger: Ledger) -> None:
    reserve(ledger, request(-40, share=0.5), (ANN,))
    reserve(ledger, request(0, share=0.3), (ANN, BEN))
    reserve(ledger, request(1, share=0.2), (BEN, *REST))
    newest = ledger.history()[-1]
    status = ledger.status(SPEC, DAY + timedelta(days=1), [newest])
    delta = SPEC.privacy.delta
    assert status.mu_squared_period == pytest.approx(BUDGET * 0.5)
    assert status.epsilon_period == pytest.approx(accounting.epsilon_of(BUDGET * 0.5, delta))
    assert status.epsilon_since_first_seen == pytest.approx(
        accounting.epsilon_of(BUDGET * 0.8, delta)
    )
    assert status.epsilon_tonight == pytest.approx(accounting.epsilon_of(BUDGET * 0.2, delta))
    night = 0.75 / 30
    assert status.nights_left == math.floor(0.5 / night + 1e-9)
    assert status.people_retired == 0
    assert (status.epsilon_budget, status.delta, status.period_days) == (1.0, 1e-5, 30)


def test_tonight_is_what_one_person_spent_at_most(ledger: Ledger) -> None:
    reserve(ledger, request(0, share=0.3), (ANN, *REST))
    reserve(ledger, request(0, share=0.2, stage="profiles"), (ANN, *REST))
    measured = reserve(ledger, request(0, share=0.4, stage="quality"), (BEN,))
    ledger.complete(measured.row.release_id, "blobs/q", "e" * 64)
    status = ledger.status(SPEC, DAY, ledger.history())
    together = accounting.epsilon_of(BUDGET * 0.5, SPEC.privacy.delta)
    assert status.epsilon_tonight == pytest.approx(together)
    assert status.epsilon_tonight == status.epsilon_period


def test_status_on_a_date_knows_nothing_of_later_releases(ledger: Ledger) -> None:
    reserve(ledger, request(0, share=0.3))
    reserve(ledger, request(1, share=0.2))
    delta = SPEC.privacy.delta
    for days, share in ((-1, 0.0), (0, 0.3), (1, 0.5), (100, 0.5)):
        status = ledger.status(SPEC, DAY + timedelta(days=days))
        assert status.epsilon_since_first_seen == pytest.approx(
            accounting.epsilon_of(BUDGET * share, delta)
        )


def test_status_counts_the_retired(ledger: Ledger) -> None:
    reserve(ledger, request(0, share=0.99), (ANN, BEN))
    status = ledger.status(SPEC, DAY)
    assert (status.people_retired, status.nights_left, status.epsilon_tonight) == (2, 0, 0.0)
    assert ledger.status(SPEC, DAY + timedelta(days=30)).people_retired == 0


def test_status_of_an_empty_ledger(ledger: Ledger) -> None:
    status = ledger.status(SPEC, DAY)
    assert (status.epsilon_period, status.epsilon_since_first_seen) == (0.0, 0.0)
    assert status.mu_squared_budget == pytest.approx(BUDGET)
    assert status.nights_left == SPEC.privacy.period_days  # 40 would fit, 30 is the period


def test_the_plan_runs_for_two_periods_without_leaving_anyone_out(ledger: Ledger) -> None:
    spec = spec_with(period_days=12, profiles_refit_days=1)
    for night in range(24):
        on = DAY + timedelta(days=night)
        for stage in ("user_model", "profiles", "quality"):
            mechanism = ledger.night_mechanism(spec, "companion/default", stage, on)
            asked = ReleaseRequest("companion/default", on, stage, "c", "d", mechanism)
            made = ledger.reserve(asked, PEOPLE, spec, min_people=len(PEOPLE))
            ledger.complete(made.release_id, "blob:x", "a" * 64)
            assert ledger.night_mechanism(spec, "companion/default", stage, on) == mechanism
    assert ledger.verify() == 24 * 3 * 2
    assert ledger.status(spec, on).epsilon_period < 1.0


def test_the_keys_length_is_checked(store: MemoryLedgerStore) -> None:
    with pytest.raises(ShouldProvideKey, match="31 bytes"):
        Ledger(store, KEY[:31], Clock())


def as_sql(numbers: list[int]) -> str:
    return f"X'{packed(numbers).hex()}'"


# What can go wrong with the stored rows, in SQL, and what verify says of it.
TAMPERED = {
    "a changed price": (
        "UPDATE privacy_ledger SET mu_squared = mu_squared / 2 WHERE sequence = 3",
        r"row 3 .* was changed",
    ),
    "a changed library": (
        "UPDATE privacy_ledger SET library = 'none' WHERE sequence = 2",
        r"row 2 .* was changed",
    ),
    "a deleted row in the middle": (
        "DELETE FROM privacy_ledger WHERE sequence = 3",
        r"row 4 .* stands where row 3 belongs",
    ),
    "a deleted first row": (
        "DELETE FROM privacy_ledger WHERE sequence = 1",
        r"row 2 .* stands where row 1 belongs",
    ),
    "a deleted reservation at the end": (
        "DELETE FROM privacy_ledger WHERE sequence = 5",
        r"charged to 6 people but has no ledger row",
    ),
    "a deleted completion": (
        "DELETE FROM privacy_ledger WHERE sequence >= 4",
        r"charged to 6 people but has no ledger row|row 3 .* lost its completion",
    ),
    "renumbered rows": (
        "UPDATE privacy_ledger SET sequence = 9 WHERE sequence = 5",
        r"row 9 .* stands where row 5 belongs",
    ),
    "a relinked row": (
        "UPDATE privacy_ledger SET previous_sha256 = row_sha256 WHERE sequence = 4",
        r"row 4 .* does not follow",
    ),
    "a lost charge": (
        f"UPDATE privacy_charges SET people = {as_sql([1, 3, 4, 5, 6])} WHERE release = 1",
        r"row 2 .* covers 6 people, but 5 are charged",
    ),
    "a moved charge": (
        f"UPDATE privacy_charges SET people = {as_sql([1, 3, 4, 5, 6, 99])} WHERE release = 1",
        r"row 1 .* other people than it committed to",
    ),
    "a cheaper release": (
        "UPDATE privacy_releases SET mu_squared = 0.0 WHERE number = 1",
        r"row 2 .* is charged",
    ),
    "a forgotten total": (
        "UPDATE privacy_people SET mu_squared = 0.0 WHERE number = 3",
        r"Person 0{12} was charged .* and 0 in total",
    ),
    "a lost output": (
        "UPDATE privacy_releases SET output_url = NULL WHERE number = 1",
        r"row 2 .* output and status disagree",
    ),
}


@pytest.fixture
def damaged(tmp_path: Path) -> tuple[Ledger, Callable[[str], None]]:
    engine: Engine = open_workspace_database(tmp_path / "state.db")
    ledger = Ledger(SqlLedgerStore(engine), KEY, Clock())
    for day in (0, 1):
        made = reserve(ledger, request(day, share=0.1))
        ledger.complete(made.release_id, f"blob:{day}", "a" * 64)
    reserve(ledger, request(2, share=0.1))

    def damage(statement: str) -> None:
        with writing(engine) as connection:
            triggers = connection.exec_driver_sql(
                "SELECT name FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'privacy%'"
            )
            for (name,) in triggers.fetchall():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
            connection.exec_driver_sql(
                "INSERT INTO privacy_people VALUES (99, 'f', 0.0)"
                if "person = 99" in statement
                else "SELECT 1"
            )
            assert connection.exec_driver_sql(statement).rowcount >= 1

    return ledger, damage


@pytest.mark.parametrize(("statement", "said"), TAMPERED.values(), ids=TAMPERED)
def test_verify_names_what_is_wrong(
    damaged: tuple[Ledger, Callable[[str], None]], statement: str, said: str
) -> None:
    ledger, damage = damaged
    assert ledger.verify() == 5
    damage(statement)
    with pytest.raises(ShouldRepairLedger, match=said):
        ledger.verify()


def test_a_broken_chain_stops_everything(
    damaged: tuple[Ledger, Callable[[str], None]],
) -> None:
    ledger, damage = damaged
    damage("UPDATE privacy_ledger SET people = people - 1 WHERE sequence = 1")
    unfinished = ledger.history()[-1].release_id
    for days in (2, 3):
        with pytest.raises(ShouldRepairLedger, match="row 1 "):
            reserve(ledger, request(days, share=0.1))
    with pytest.raises(ShouldRepairLedger, match="row 1 "):
        ledger.complete(unfinished, "blob:2", "a" * 64)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        (
            f"UPDATE privacy_charges SET people = {as_sql([4, 5, 6])} WHERE release = 4",
            "row 6 .* is charged to other people",
        ),
        (TAMPERED["a forgotten total"][0], "Person 0{12} was charged"),
    ],
    ids=["others were charged", "a forgotten total"],
)
def test_who_was_charged_is_checked_before_anybody_is_charged_again(
    damaged: tuple[Ledger, Callable[[str], None]], statement: str, said: str
) -> None:
    ledger, damage = damaged
    unfinished = ledger.history()[-1].release_id
    reserve(ledger, request(3, share=0.1), PEOPLE[:3])
    damage(statement)
    rows = ledger.history()
    with pytest.raises(ShouldRepairLedger, match=said):
        reserve(ledger, request(4, share=0.1))
    with pytest.raises(ShouldRepairLedger, match=said):
        ledger.complete(unfinished, "blob:2", "a" * 64)
    with pytest.raises(ShouldRepairLedger, match=said):
        ledger.plan(SPEC, "companion/default", DAY + timedelta(days=4))
    assert ledger.history() == rows


def test_a_lost_seed_stops_the_resumption(
    damaged: tuple[Ledger, Callable[[str], None]],
) -> None:
    ledger, damage = damaged
    damage("UPDATE privacy_releases SET sealed_seed = NULL WHERE number = 3")
    with pytest.raises(ShouldRepairLedger, match="lost the seed"):
        reserve(ledger, request(2, share=0.1))


def test_another_key_cannot_open_seeds_or_commitments(
    damaged: tuple[Ledger, Callable[[str], None]],
) -> None:
    ledger, _ = damaged
    stranger = Ledger(ledger._store, KEY[::-1], Clock())
    with pytest.raises(ShouldProvideKey, match=r"row 1 .* which is not here"):
        reserve(stranger, request(2, share=0.1))
    with pytest.raises(ShouldProvideKey, match="EVERLOOP_LEDGER_KEY_PREVIOUS"):
        stranger.verify()


def test_rows_of_an_older_key_verify_and_resume_under_a_newer_one(
    damaged: tuple[Ledger, Callable[[str], None]],
) -> None:
    ledger, _ = damaged
    before = reserve(ledger, request(2, share=0.1))
    rotated = Ledger(ledger._store, KEY[::-1], Clock(), previous_keys=(b"x" * 32, KEY))
    assert rotated.verify() == 5
    again = reserve(rotated, request(2, share=0.1))
    assert (again.noise_seed, again.release_id) == (before.noise_seed, before.release_id)
    assert reserve(rotated, request(0, share=0.1)).stored_url == "blob:0"
    rotated.complete(again.release_id, "blob:2", "a" * 64)
    new = reserve(rotated, request(3, share=0.1))
    assert (new.row.key_id, new.admitted) != (before.row.key_id, ())
    assert rotated.verify() == 7
    with pytest.raises(ShouldProvideKey, match="row 7"):
        ledger.verify()


def test_renamed_people_have_spent_what_they_spent(ledger: Ledger) -> None:
    before = reserve(ledger, request(0, share=0.6))
    moves = {person: person.replace("0" * 63, "f" * 63) for person in PEOPLE}
    with pytest.raises(ShouldFixArgument, match="1 of 6 people"):
        ledger.rename({person: moves[person] for person in PEOPLE[1:]})
    with pytest.raises(ShouldFixArgument, match="one pseudonym"):
        ledger.rename(dict.fromkeys(PEOPLE, "f" * 64))
    assert ledger.rename(moves) == 6
    again = tuple(sorted(moves.values()))
    assert ledger.verify() == 1
    assert reserve(ledger, request(0, share=0.6), again).noise_seed == before.noise_seed
    with pytest.raises(ShouldWaitForBudget):
        reserve(ledger, request(1, share=0.5), again)
    mixed = reserve(ledger, request(1, share=0.3), (*again, "a" * 64))
    assert mixed.admitted == ("a" * 64, *again)
    assert ledger.verify() == 2
    assert ledger.statement(again[0], DAY) is not None
    assert ledger.statement(PEOPLE[0], DAY) is None


def test_rows_that_name_no_key_verify_under_any_of_them(store: MemoryLedgerStore) -> None:
    old = Ledger(store, KEY, Clock())
    seed = reserve(old, request()).noise_seed
    unnamed = chained(dataclasses.replace(store.state.stored[0], key_id=""), None)
    store.state.stored[0] = unnamed
    rotated = Ledger(store, KEY[::-1], Clock(), previous_keys=(KEY,))
    assert rotated.verify() == 1
    assert reserve(rotated, request()).noise_seed == seed
    with pytest.raises(ShouldRepairLedger, match="other people than it committed to"):
        Ledger(store, KEY[::-1], Clock()).verify()


def test_rows_from_before_there_were_more_fields_keep_their_hash() -> None:
    old = {
        "sequence": 1,
        "release_id": "r" * 32,
        "pipeline": "p",
        "logical_date": "2026-03-01",
        "stage": "user_model",
        "configuration_sha256": "c",
        "dataset_id": "d",
        "mechanism": {"kind": "gaussian", "sigma": 2.0, "clip": 1.0, "steps": 4},
        "mu_squared": 1.0,
        "delta": 1e-5,
        "people": 3,
        "people_commitment": "e",
        "status": "reserved",
        "recorded_at": "2026-03-01T00:00:00+00:00",
        "library": "everloop 0.1.0",
        "previous_sha256": GENESIS,
        "unit": "person",
        "neighbours": "add-or-remove-one",
    }
    text = canonical_json(old)
    stored = LedgerRow(
        **{
            **old,
            "logical_date": date(2026, 3, 1),
            "status": ReleaseStatus.RESERVED,
            "recorded_at": datetime(2026, 3, 1, tzinfo=UTC),
            "row_sha256": hashlib.sha256(text.encode()).hexdigest(),
        }  # type: ignore[arg-type]
    )
    assert list(check_chain([stored])) == ["r" * 32]
    with pytest.raises(ShouldRepairLedger, match="was changed"):
        check_chain([dataclasses.replace(stored, epsilon=2.0)])


def test_a_row_reserved_twice_or_with_a_free_price_is_named(ledger: Ledger) -> None:
    row = reserve(ledger, request()).row
    with pytest.raises(ShouldRepairLedger, match="second time"):
        check_chain([row, chained(row, row)])
    with pytest.raises(ShouldRepairLedger, match="privacy loss of 0"):
        check_chain([chained(dataclasses.replace(row, mu_squared=0.0), None)])
    spent = dataclasses.replace(row, status=ReleaseStatus.SPENT)
    with pytest.raises(ShouldRepairLedger, match="without a reservation"):
        check_chain([chained(spent, None)])
    with pytest.raises(ShouldRepairLedger, match="another people than its reservation, row 1"):
        check_chain([row, chained(dataclasses.replace(spent, people=3), row)])
