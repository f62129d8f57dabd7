"""The watch graph on this machine: an empty log, a moment ahead, and the pin of a night."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from everloop import sdk, settings
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.ports import Extraction
from everloop.contracts.rollouts import RolloutRecord, Stay
from everloop.contracts.voices import VersionStatus
from everloop.loops import load
from everloop.sdk import watching
from everloop.sdk.watching import DAYS_BEFORE, _require_begun, widened
from everloop.storage.sql.dataset_pins import pin, remember
from everloop.wiring import open_workspace
from tests.voice_records import version

SPEC = load("companion")


def test_the_window_holds_a_whole_trial_and_what_was_before() -> None:
    days = widened(SPEC).thresholds.window_days
    assert days == SPEC.rollout.max_days + DAYS_BEFORE > SPEC.thresholds.window_days
    wide = SPEC.model_copy(
        update={"thresholds": SPEC.thresholds.model_copy(update={"window_days": 300})}
    )
    assert widened(wide).thresholds.window_days == 300


def test_a_moment_ahead_or_without_a_zone_is_refused(tmp_path: Path) -> None:
    settings.initialise(tmp_path / "home")
    now = datetime.now(UTC)
    for at, told in (
        (now + timedelta(minutes=5), "is ahead: it is"),
        (now.replace(tzinfo=None), "no time zone"),
    ):
        with pytest.raises(ShouldFixArgument, match=told):
            sdk.watch("companion", at, home=tmp_path / "home")


def test_a_look_leaves_the_pin_of_the_night_alone(tmp_path: Path) -> None:
    settings.initialise(tmp_path / "home")
    engine = open_workspace(tmp_path / "home").engine
    now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    today = now.date()
    look = Extraction(SPEC, today, 42, refresh=True, pinned=False)
    first = pin(engine, look, now)
    remember(engine, look, first, "0" * 64)
    night = Extraction(SPEC, today, 28)
    later = now + timedelta(hours=1)
    pinned = pin(engine, night, later)
    assert pinned.cutoff == later, "the look's cutoff was kept"
    assert pin(engine, look, later + timedelta(hours=1)).cutoff == later + timedelta(hours=1)
    assert pin(engine, night, later + timedelta(hours=2)) == pinned


def test_a_look_leaves_the_versions_of_a_voice_as_what_serves_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.initialise(tmp_path / "home")
    workspace = open_workspace(tmp_path / "home")
    assert SPEC.voice is not None
    kept = workspace.voices.add_version(version(1, persona=SPEC.voice.persona))
    workspace.voices.set_status(kept.model_id, VersionStatus.ACTIVE)
    monkeypatch.setattr(watching, "run_graph", lambda *_: None)
    monkeypatch.setattr(watching, "outcome_of", lambda _: None)
    sdk.watch("companion", home=tmp_path / "home")
    (found,) = workspace.voices.versions(SPEC.voice.persona)
    assert found.status is VersionStatus.ARCHIVED, "nothing serves"


@pytest.mark.slow
def test_a_workspace_without_a_trial_is_told_so_and_a_repeated_look_acts_once(
    tmp_path: Path,
) -> None:
    settings.initialise(tmp_path / "home")
    at = datetime.now(UTC)
    found = sdk.watch("companion", at, home=tmp_path / "home")
    assert found.record.status == "succeeded", found.record.verdict
    assert found.record.verdict == "nothing is on trial"
    assert "nothing is on trial" in found.report.read_text()
    again = sdk.watch("companion", at, home=tmp_path / "home")
    assert {stage.outcome for stage in again.record.stages} == {"cached"}


def test_a_moment_before_the_trial_began_is_refused_and_nothing_is_done(tmp_path: Path) -> None:
    settings.initialise(tmp_path / "home")
    place = open_workspace(tmp_path / "home")
    begun = datetime(2026, 3, 10, 12, tzinfo=UTC)
    waited = Stay("waiting", 0.0, begun - timedelta(days=2))
    trial = RolloutRecord(
        rollout_id="trial",
        loop=SPEC.name,
        candidate="new",
        active=None,
        state="shadow",
        traffic_percent=0.0,
        reasons=("It may.",),
        recorded_at=begun - timedelta(days=2),
        history=(waited, Stay("shadow", 0.0, begun)),
    )
    place.rollouts.start(trial)
    before = place.deployments.head(SPEC.name)
    for at in (begun - timedelta(seconds=1), begun - timedelta(days=60)):
        with pytest.raises(ShouldFixArgument, match="began at 2026-03-10 12:00:00 UTC"):
            sdk.watch("companion", at, home=tmp_path / "home")
    assert place.deployments.head(SPEC.name) == before
    assert place.runs.runs() == ()
    _require_begun(before.trial, begun)
    _require_begun(None, begun - timedelta(days=60))
