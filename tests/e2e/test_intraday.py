"""A date that the service ran while it lasted, and the night's run of it: read anew, paid once."""

from __future__ import annotations

import random
import uuid
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from everloop import sdk, settings
from everloop.contracts.episodes import Episode
from everloop.contracts.errors import ShouldFixArgument
from everloop.sdk import DailyPlan
from everloop.wiring import open_workspace
from tests.e2e.test_reruns import CLICKS, outcomes, spends
from tests.e2e.whole_runs import SMALL

TINY = (*SMALL, "privacy.people_expected=300", "thresholds.min_episodes=100")


def log(home: Path, people: range, at: datetime) -> None:
    place, draw = open_workspace(home), random.Random(people.start)
    place.log.append_episodes(
        [
            Episode(
                episode_id=str(uuid.UUID(int=number, version=4)),
                user_id=place.pseudonyms.of(f"p{number}", "default"),
                loop="clicks",
                context_snapshot={"mood": draw.choice(["good", "bad"])},
                action_taken=draw.choice(["stay", "walk"]),
                timestamp=at + timedelta(seconds=number),
                model_version="evenly",
                propensity=0.5,
                valid_actions=("stay", "walk"),
            )
            for number in people
        ]
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_nights_run_of_a_date_that_was_run_before_reads_it_whole_and_spends_nothing(
    tmp_path: Path,
) -> None:
    home, loop = tmp_path / "home", tmp_path / "clicks.yaml"
    settings.initialise(home)
    loop.write_text(CLICKS)
    today = datetime.now(UTC).date()
    with pytest.raises(ShouldFixArgument, match="--intraday"):
        sdk.run_daily(DailyPlan(str(loop), today), home=home)
    day = today - timedelta(days=1)
    noon = datetime.combine(day, time(12), tzinfo=UTC)
    log(home, range(600), noon)
    plan = DailyPlan(str(loop), day, settings=TINY, intraday=True, reading="job-1")
    early = sdk.run_daily(plan, home=home)
    assert early.record.status == "succeeded"
    paid = spends(home)
    assert sorted(row.stage for row in paid) == ["profiles", "quality", "user_model"]

    log(home, range(600, 900), noon)
    again = sdk.run_daily(plan, home=home)
    assert again.run_id == early.run_id
    assert set(outcomes(again).values()) == {"cached"}

    night = sdk.run_daily(DailyPlan(str(loop), day, settings=TINY), home=home)
    assert night.run_id != early.run_id
    assert (early.manifest.episodes, night.manifest.episodes) == (600, 900)
    assert night.manifest.cutoff is None
    assert night.user_model_release.release_id == early.user_model_release.release_id
    assert night.user_model_release.reused
    assert spends(home) == paid
