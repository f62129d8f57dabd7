"""Releases: budget first, one spend whatever dies, the last release when no new one may be made."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import pytest

from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldRestoreArtefact,
    ShouldWaitForBudget,
)
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import Reservation
from everloop.contracts.privacy import GaussianMechanism, ReleaseRequest
from everloop.privacy import accounting, plan
from everloop.privacy.ledger import Ledger
from synthetic.release import Night, Released, gaussian_of, mechanism_of, note_of, release
from tests.unit.synthetic.world import SPEC, Clock, Place

DAY = date(2026, 3, 1)
PEOPLE = tuple(f"{number:064x}" for number in range(60))


class Work:
    """A computation that writes its seed and may die; counts how often it ran."""

    def __init__(self) -> None:
        self.ran = 0
        self.dies = False

    def __call__(self, reservation: Reservation, path: Path) -> Path:
        self.ran += 1
        if self.dies:
            raise KeyboardInterrupt
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(reservation.noise_seed + reservation.release_id.encode())
        return path


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.at(tmp_path)


def night(
    place: Place,
    days: int = 0,
    dataset: str = "d" * 64,
    spec: LoopSpec = SPEC,
    stage: str = "user_model",
) -> Night:
    return Night(
        spec,
        place.ledger,
        place.blobs,
        "small/default",
        stage,
        DAY + timedelta(days=days),
        dataset,
        place.folder / "out",
    )


def spend(place: Place, share: float, days: int = 0) -> None:
    """Charge everyone a share of the budget for something else."""
    mechanism = GaussianMechanism(
        1 / math.sqrt(share * plan.budget_mu_squared(SPEC.privacy)), 1.0, 1
    )
    asked = ReleaseRequest("other", DAY + timedelta(days=days), "traits", "c", "d", mechanism)
    place.ledger.reserve(asked, PEOPLE, SPEC, 1)


def test_a_new_release_is_paid_stored_and_noted(place: Place) -> None:
    work = Work()
    made = release(night(place), PEOPLE, {"a": 1}, work)
    assert (made.reused, work.ran) == ("", 1)
    note = note_of(night(place), made, 7, {"figure": 0.5})
    assert (note.released, note.people, note.parameters) == (True, 60, 7)
    assert (note.stage, note.metrics, note.warnings) == ("user_model", {"figure": 0.5}, ())
    first = plan.night_mu_squared(SPEC, "user_model", first=True)
    assert note.mu_squared == pytest.approx(first)
    assert note.epsilon == pytest.approx(note.budget.epsilon_tonight) == note.budget.epsilon_period
    assert place.ledger.verify() == 2


def test_a_rerun_returns_the_stored_file_and_spends_nothing(place: Place) -> None:
    work = Work()
    first = release(night(place), PEOPLE, {"a": 1}, work)
    bytes_before = first.path.read_bytes()
    first.path.unlink()
    again = release(night(place), PEOPLE, {"a": 1}, work)
    assert (again.reused, work.ran) == ("", 1)
    assert again.path.read_bytes() == bytes_before
    assert len(place.ledger.history()) == 2


def test_changes_to_a_released_date_are_not_applied(place: Place) -> None:
    work = Work()
    first = release(night(place), PEOPLE, {"a": 1}, work)
    for changed in (night(place, dataset="e" * 64), night(place)):
        configuration = {"a": 1} if changed.dataset_id.startswith("e") else {"a": 2}
        again = release(changed, PEOPLE, configuration, work)
        assert again.path.read_bytes() == first.path.read_bytes()
        assert "What changed was not applied" in again.reused
        assert not note_of(changed, again, 1, {}).released
    assert work.ran == 1
    assert place.ledger.verify() == 2


def test_a_killed_computation_resumes_with_the_same_noise(place: Place) -> None:
    work, seeds = Work(), []

    def record(reservation: Reservation, path: Path) -> Path:
        seeds.append((reservation.noise_seed, reservation.admitted))
        return work(reservation, path)

    work.dies = True
    with pytest.raises(KeyboardInterrupt):
        release(night(place), PEOPLE, {"a": 1}, record)
    work.dies = False
    made = release(night(place), PEOPLE, {"a": 1}, record)
    assert seeds[0] == seeds[1]
    assert made.reused == ""
    assert max(place.store.state.totals.values()) == pytest.approx(
        plan.night_mu_squared(SPEC, "user_model", first=True)
    )


def test_killed_after_storing_it_stores_the_same_again(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> None:
        raise KeyboardInterrupt

    interrupted = night(place)
    monkeypatch.setattr(type(place.ledger), "complete", die)
    with pytest.raises(KeyboardInterrupt):
        release(interrupted, PEOPLE, {"a": 1}, Work())
    before = interrupted.file.read_bytes()
    monkeypatch.undo()
    assert release(night(place), PEOPLE, {"a": 1}, Work()).path.read_bytes() == before


def test_without_budget_the_last_release_serves(place: Place) -> None:
    release(night(place, -1), PEOPLE, {"a": 1}, Work())
    spend(place, 0.8249)
    made = release(night(place), PEOPLE, {"a": 1}, work := Work())
    assert work.ran == 0
    assert "0 of 60 people can afford" in made.reused
    assert "The release of 2026-02-28 serves instead." in made.reused
    note = note_of(night(place), made, 1, {})
    assert (note.released, note.budget.epsilon_tonight) == (False, 0.0)
    assert note.mu_squared == made.row.mu_squared > 0.0


def test_without_budget_or_release_it_waits(place: Place) -> None:
    spend(place, 0.999)
    with pytest.raises(ShouldWaitForBudget, match="0 of 60 people"):
        release(night(place), PEOPLE, {"a": 1}, Work())


def test_too_few_people_cost_nothing(place: Place) -> None:
    with pytest.raises(ShouldCollectMoreData, match=r"49 people .* fewer than 50"):
        release(night(place), PEOPLE[:49], {"a": 1}, Work())
    assert place.ledger.history() == ()
    release(night(place), PEOPLE, {"a": 1}, Work())
    reused = release(night(place, 1), PEOPLE[:49], {"a": 1}, Work())
    assert "49 people" in reused.reused


def test_an_unfinished_date_under_other_terms_waits_or_falls_back(place: Place) -> None:
    work = Work()
    work.dies = True
    with pytest.raises(KeyboardInterrupt):
        release(night(place), PEOPLE, {"a": 1}, work)
    with pytest.raises(ShouldWaitForBudget, match=r"never finished.*old terms"):
        release(night(place), PEOPLE, {"a": 2}, Work())
    release(night(place, -1), PEOPLE, {"a": 1}, Work())
    fallen_back = release(night(place), PEOPLE, {"a": 2}, Work())
    assert "The release of 2026-02-28 serves instead." in fallen_back.reused


def test_a_lost_output_is_said(place: Place) -> None:
    release(night(place), PEOPLE, {"a": 1}, Work())
    for file in (place.folder / "blobs").rglob("*"):
        if file.is_file():
            file.unlink()
    with pytest.raises(ShouldRestoreArtefact):
        release(night(place), PEOPLE, {"a": 1}, Work())


def test_previous_is_strictly_before(place: Place) -> None:
    assert night(place).previous() is None
    made = release(night(place), PEOPLE, {"a": 1}, Work())
    assert night(place).previous() is None
    found = night(place, 1).previous()
    assert found is not None
    assert found[0].release_id == made.row.release_id
    assert found[1].read_bytes() == made.path.read_bytes()


def test_the_first_fit_is_the_plans(place: Place) -> None:
    assert night(place).first_fit_mu_squared() == pytest.approx(
        plan.night_mu_squared(SPEC, "user_model", first=True)
    )


def test_mechanisms_come_back_from_rows(place: Place) -> None:
    seen: list[object] = []

    def look(reservation: Reservation, path: Path) -> Path:
        seen.append(mechanism_of(reservation))
        return Work()(reservation, path)

    release(night(place), PEOPLE, {"a": 1}, look)
    assert seen == [plan.night_mechanism(SPEC, "user_model", first=True)]


def test_warnings_name_what_delta_and_missing_ids_mean(place: Place) -> None:
    loose = SPEC.model_copy(
        update={
            "privacy": SPEC.privacy.model_copy(update={"delta": 9e-4}),
            "person_ids": False,
        }
    )
    crowd = tuple(f"{number:064x}" for number in range(1_200))
    made: Released = release(night(place, spec=loose), crowd, {"a": 1}, Work())
    warnings = note_of(night(place, spec=loose), made, 1, {}).warnings
    assert "1200 people times delta 0.0009 is above 1" in warnings[0]
    assert "each row counts as a person of its own" in warnings[1]


def test_profiles_are_released_when_they_are_due(place: Place) -> None:
    every = SPEC.privacy.profiles_refit_days
    work = Work()
    first = release(night(place, stage="profiles"), PEOPLE, {"a": 1}, work)
    assert (first.due, first.reused) == (None, "")
    spent = dict(place.store.state.totals)
    for days in (1, every - 1):
        tonight = night(place, days, dataset="e" * 64, stage="profiles")
        serves = release(tonight, PEOPLE[:1], {"a": 2}, work)
        due = DAY + timedelta(days=every)
        assert serves.reused == (
            f"A new release is not due: the release of {DAY} serves until {due}; nothing was spent."
        )
        assert (
            serves.path.read_bytes()
            == place.blobs.fetch(
                *place.ledger.latest_release("small/default", "profiles", DAY)[1:]  # type: ignore[index]
            ).read_bytes()
        )
        note = note_of(tonight, serves, 1, {})
        assert (note.due, note.released, note.budget.epsilon_tonight) == (due, False, 0.0)
    assert (work.ran, place.store.state.totals) == (1, spent)
    again = release(night(place, every, stage="profiles"), PEOPLE, {"a": 2}, work)
    assert (again.reused, again.due, work.ran) == ("", None, 2)
    assert again.row.mu_squared == pytest.approx(
        plan.night_mu_squared(SPEC, "profiles", first=False)
    )


def test_profiles_that_were_never_finished_are_resumed_or_made_anew(place: Place) -> None:
    work = Work()
    work.dies = True
    with pytest.raises(KeyboardInterrupt):
        release(night(place, stage="profiles"), PEOPLE, {"a": 1}, work)
    work.dies = False
    assert release(night(place, stage="profiles"), PEOPLE, {"a": 1}, work).reused == ""


def kill(night: Night) -> None:
    work = Work()
    work.dies = True
    with pytest.raises(KeyboardInterrupt):
        release(night, PEOPLE, {"a": 1}, work)


@pytest.mark.parametrize("stage", plan.STAGES)
def test_after_a_lost_first_fit_the_next_one_is_the_first(place: Place, stage: str) -> None:
    kill(night(place, stage=stage))
    tomorrow = night(place, 1, dataset="e" * 64, stage=stage)
    made = release(tomorrow, PEOPLE, {"a": 2}, Work())
    assert (made.reused, made.row.logical_date) == ("", DAY + timedelta(days=1))
    first = plan.night_mu_squared(SPEC, stage, first=True)
    assert made.row.mu_squared == pytest.approx(first)
    (warning,) = note_of(tomorrow, made, 1, {}).warnings
    assert warning.startswith(
        f"The {stage} release of {DAY} was reserved and never finished: mu^2 {first:.3g} is spent"
    )


def test_a_lost_refit_is_made_the_next_night(place: Place) -> None:
    every = SPEC.privacy.profiles_refit_days
    release(night(place, stage="profiles"), PEOPLE, {"a": 1}, Work())
    kill(night(place, every, stage="profiles"))
    tomorrow = night(place, every + 1, dataset="e" * 64, stage="profiles")
    made = release(tomorrow, PEOPLE, {"a": 2}, Work())
    assert (made.reused, made.row.logical_date) == ("", DAY + timedelta(days=every + 1))
    assert made.row.mu_squared == pytest.approx(
        plan.night_mu_squared(SPEC, "profiles", first=False)
    )
    served = night(place, every + 2, stage="profiles")
    reused = release(served, PEOPLE, {"a": 3}, Work())
    assert reused.due == DAY + timedelta(days=2 * every + 1)
    for seen, shown in ((tomorrow, made), (served, reused)):
        assert "never finished" in note_of(seen, shown, 1, {}).warnings[0]


def test_losses_never_take_more_than_the_budget(place: Place) -> None:
    """By hand: a first fit of the user model is .7 * .25 of the budget, so five fit and six do not."""
    for days in range(5):
        kill(night(place, days))
    with pytest.raises(ShouldWaitForBudget, match="0 of 60 people can afford"):
        release(night(place, 5), PEOPLE, {"a": 2}, Work())
    budget = place.ledger.status(SPEC, DAY + timedelta(days=5))
    assert budget.mu_squared_period == pytest.approx(0.875 * budget.mu_squared_budget)


def test_every_stage_has_a_first_fit(place: Place) -> None:
    for stage in plan.STAGES:
        assert night(place, stage=stage).first_fit_mu_squared() == pytest.approx(
            plan.night_mu_squared(SPEC, stage, first=True)
        )


def test_a_first_fit_is_a_constant_of_the_loop_and_reads_no_ledger(place: Place) -> None:
    """By hand: .0611055 is what Renyi accounting leaves of epsilon = 1 where people are sampled."""
    sampled = SPEC.model_copy(
        update={"privacy": SPEC.privacy.model_copy(update={"sampling_rate": 0.1, "steps": 100})}
    )
    unread = Ledger(Unreadable(), b"k" * 32, Clock())  # type: ignore[arg-type]
    for spec, budget in ((SPEC, 0.0718514), (sampled, 0.0611055)):
        tonight = replace(night(place, spec=spec), ledger=unread)
        assert tonight.first_fit_mu_squared() == pytest.approx(budget * 0.25 * 0.7, rel=1e-5)


class Unreadable:
    def transaction(self) -> None:
        raise AssertionError("a constant of the loop was read from the ledger")


def test_a_subsampled_release_is_noted_by_its_own_accounting(place: Place) -> None:
    spec = SPEC.model_copy(
        update={"privacy": SPEC.privacy.model_copy(update={"sampling_rate": 0.1, "steps": 100})}
    )
    seen: list[object] = []

    def look(reservation: Reservation, path: Path) -> Path:
        seen.append(mechanism_of(reservation))
        return Work()(reservation, path)

    made = release(night(place, spec=spec), PEOPLE, {"a": 1}, look)
    assert seen == [plan.night_mechanism(spec, "user_model", first=True)]
    note = note_of(night(place, spec=spec), made, 1, {})
    assert note.epsilon == note.budget.epsilon_period
    # More than a Gaussian of the same mu^2 in closed form, and within the year's budget.
    assert accounting.epsilon_of(made.row.mu_squared, 1e-5) < note.epsilon < 1.0
    with pytest.raises(ShouldFixArgument, match="paid for as subsampled"):
        gaussian_of(Reservation("r", PEOPLE, b"", made.row))
