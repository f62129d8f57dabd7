"""Augmentation: consenting people alone, and no way out of the workspace."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from everloop import sdk
from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldStayInside,
)
from everloop.contracts.models import ProfileSource, inside_profile_id
from everloop.contracts.serving import JobState
from everloop.contracts.synthetic_jobs import FileFormat, JobOutput
from everloop.sdk.synthetic.people import AugmentedPeople, generated
from everloop.sdk.synthetic.stats import stats_of
from everloop.serving.synthetic.shown import stats_shown
from synthetic.generation.chunks import ExportedProfile
from synthetic.generation.files import PartFiles
from tests.log_records import DAY, NOON, refusal
from tests.made_releases import release_quality_of
from tests.unit.sdk.synthetic.conftest import PEOPLE, REFUSING, Place

HELD_OUT = 0.5


def augmented(place: Place, **changes: int) -> AugmentedPeople:
    return sdk.augment_people(place.loop, home=place.home, **{"per_person": 2, "seed": 3} | changes)


def inside(place: Place) -> set[str]:
    """Ids of the rows that hold real people's data."""
    return {
        profile.profile_id
        for profile in place.workspace.profiles.profiles("coach")
        if profile.source is not ProfileSource.GENERATED
    }


def learned_from(place: Place) -> list[str]:
    """People who allow training and are not kept for evaluation."""
    from rl.encoders.dataset import in_holdout

    share = place.spec.thresholds.holdout_share
    return [p for p in PEOPLE if p != REFUSING and not in_holdout(p, share)]


def test_everybody_who_allows_it_becomes_profiles_and_nobody_else(place: Place) -> None:
    made = augmented(place)
    people = learned_from(place)
    assert 2 <= len(people) < len(PEOPLE)
    assert made.rows == 3 * len(people)
    assert made.counts == {
        "generated": 0,
        "augmented": 2 * len(people),
        "real": len(people),
    }
    wanted = {inside_profile_id(person, one) for person in people for one in ("real", "3/0", "3/1")}
    assert inside(place) == wanted
    assert not {inside_profile_id(REFUSING, one) for one in ("real", "3/0", "3/1")} & wanted


def test_who_opts_out_afterwards_is_gone_from_the_next_one(place: Place) -> None:
    augmented(place)
    leaver = learned_from(place)[0]
    place.workspace.log.record_consent(refusal(leaver, NOON.replace(day=12)))
    augmented(place, seed=4)
    left = [person for person in learned_from(place) if person != leaver]
    assert inside(place) == {
        inside_profile_id(person, one) for person in left for one in ("real", "4/0", "4/1")
    }


def test_who_is_erased_is_gone_at_once(place: Place) -> None:
    augmented(place)
    gone = learned_from(place)[0]
    workspace = place.workspace
    record = workspace.people.erase(gone, "cli:test", NOON)
    assert record.deleted["synthetic_profiles"] == 3
    assert not {inside_profile_id(gone, one) for one in ("real", "3/0", "3/1")} & inside(place)


def test_nobody_left_is_said(place: Place) -> None:
    with pytest.raises(ShouldCollectMoreData, match="Nobody of loop coach"):
        sdk.augment_people(place.loop, home=place.home, logical_date=date(2025, 1, 1))


def test_no_way_leads_out(place: Place, tmp_path: Path) -> None:
    """A file, a download, a generation beside them, a forged part and a forged job."""
    before = {path for path in place.home.glob("blobs/**/*") if path.is_file()}
    made = augmented(place)
    rows = [p for p in place.workspace.profiles.profiles("coach") if p.profile_id in inside(place)]
    assert {path for path in place.home.glob("blobs/**/*") if path.is_file()} == before
    assert not list((place.home / "synthetic").iterdir())

    assert made.job.outputs == ()
    with pytest.raises(ShouldFixArgument, match="has no file"):
        generated(place.workspace, made.job, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()

    file = sdk.generate_profiles(place.loop, 30, home=place.home, days=3)
    table = pq.read_table(file.path)
    assert set(table["source"].to_pylist()) == {"generated"}
    assert not inside(place) & set(table["profile_id"].to_pylist())
    assert len(inside(place)) == made.rows, "a generation leaves them where they are"

    for form in FileFormat:
        parts = PartFiles(tmp_path / form.value, form, place.made.profiles)
        for row in rows:
            with pytest.raises(ShouldStayInside, match=row.profile_id):
                parts.write(0, [ExportedProfile(row, False)])
            disguised = replace(row, source=ProfileSource.GENERATED)
            for release_id in (row.release_id, "", "f" * 32):
                renamed = replace(disguised, release_id=release_id)
                with pytest.raises(ShouldStayInside, match=row.profile_id):
                    parts.write(0, [ExportedProfile(renamed, False)])
        assert not list((tmp_path / form.value).iterdir())

    with pytest.raises(ShouldFixArgument, match="stays inside"):
        replace(made.job, outputs=(JobOutput("a", "b", "c", 1, 1),))


def test_statistics_count_both_and_show_nobody(place: Place) -> None:
    sdk.generate_profiles(place.loop, 30, home=place.home, days=3)
    made = augmented(place)
    found = stats_of(place.workspace, place.spec)
    assert found.profiles == {"generated": 30} | {
        name: made.counts[name] for name in ("augmented", "real")
    }
    assert {(c.source, c.profiles) for c in found.by_release} == {
        ("generated", 30),
        ("augmented", made.counts["augmented"]),
        ("real", made.counts["real"]),
    }
    assert {used.stage for used in found.releases} == {"profiles", "user_model"}
    assert (found.quality, found.quality_release) == ((), "")
    (job, _) = place.workspace.synthetic_jobs.jobs()
    assert job.state is JobState.SUCCEEDED


def test_the_budget_is_that_of_somebody_in_every_release(place: Place) -> None:
    rows = place.workspace.ledger.history("coach/default")
    spent = {row.release_id: row.mu_squared for row in rows}
    from everloop.privacy.accounting import epsilon_of, mu

    on = max(row.logical_date for row in rows)
    budget = stats_of(place.workspace, place.spec, on=on).budget
    assert budget.nights == 2
    assert budget.epsilon_spent == pytest.approx(epsilon_of(sum(spent.values()), 1e-5))
    left = mu(1.0, 1e-5) ** 2 - sum(spent.values())
    assert budget.epsilon_left == pytest.approx(epsilon_of(left, 1e-5))
    later = stats_of(place.workspace, place.spec, on=date(2028, 1, 1)).budget
    assert (later.nights, later.epsilon_spent) == (0, 0.0)
    assert later.epsilon_left == pytest.approx(1.0)
    other = stats_of(place.workspace, place.spec, "other", on=on).budget
    assert other.nights == 0


def test_what_was_paid_for_is_shown(place: Place, tmp_path: Path) -> None:
    release_id = release_quality_of(place.workspace, place.spec, tmp_path, DAY)
    found = stats_of(place.workspace, place.spec)
    assert found.quality_release == release_id
    assert "acceptance_auc" in {figure.name for figure in found.quality}
    assert {used.stage for used in found.releases} == {"profiles", "user_model", "quality"}
    assert found.notes == ()
    people = [pattern.people for pattern in found.patterns]
    assert people == sorted(people, reverse=True)
    shown = stats_shown(found)
    assert len(shown.quality) == len(found.quality)
    assert [p.people for p in shown.patterns] == people


def test_figures_that_cannot_be_read_are_said(place: Place) -> None:
    workspace = place.workspace
    latest = workspace.ledger.latest_release("coach/default", "profiles", date.max)
    assert latest is not None
    stored = workspace.blobs.fetch(*latest[1:])
    stored.chmod(0o644)
    stored.write_bytes(b"x")
    found = stats_of(workspace, place.spec)
    assert found.patterns == ()
    assert "group patterns" in found.notes[0]
    assert "damaged" in found.notes[0]
