"""The people's step stores people who have lived: their days are played over the released user model."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components._people import HISTORY_DAYS, MOST_DECISIONS, history_days
from components.generate_profiles import generate_profiles
from everloop import settings
from everloop.contracts.datasets import DatasetManifest, Exclusions
from everloop.contracts.documents import write
from everloop.contracts.encoded_file import save_encoded
from everloop.contracts.loop_spec import JourneySpec, LoopSpec
from everloop.contracts.models import SyntheticProfile
from everloop.loops.loader import parse
from everloop.loops.sections import split
from everloop.sdk.demo.night import Output
from everloop.wiring import open_workspace
from synthetic.journeys.clock import Arrivals
from synthetic.user_model import release_user_model
from tests.made_releases import DAY, made_episodes
from tests.two_tenants import LOOP

PEOPLE = 120


def coach(**training: int) -> LoopSpec:
    spec = parse(LOOP)
    return spec.model_copy(
        update={"training": spec.training.model_copy(update={"profiles": PEOPLE, **training})}
    )


class Nights:
    """A workspace in which the step runs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.home = folder, folder / "home"
        settings.initialise(self.home)
        self.spec = coach()
        self.episodes = made_episodes(self.spec)
        manifest = DatasetManifest(
            "d" * 64, "coach", "default", DAY, 28, 1, 1, 1, "s", (), Exclusions()
        )
        write(manifest, folder / "manifest.json")
        save_encoded(self.episodes, folder / "episodes.safetensors")

    def learned(self, days: int) -> Output:
        """The user model's artifact of a night."""
        place, folder = open_workspace(self.home), self.folder / f"user_model-{days}"
        folder.mkdir()
        path, _ = release_user_model(
            self.spec, self.episodes, place.ledger, place.blobs, DAY + timedelta(days=days),
            "d" * 64, "coach/default", folder,
        )  # fmt: skip
        path.replace(folder / "release.safetensors")
        return Output(str(folder))

    def step(self, days: int, user_model: Output) -> list[SyntheticProfile]:
        """Run the step; every row that the workspace then has."""
        sections, folder = split(self.spec), self.folder / f"out-{days}"
        made = {name: Output(str(folder / name)) for name in ("profiles", "page", "metrics")}
        folder.mkdir(exist_ok=True)
        given: dict[str, Any] = {
            "workspace": str(self.home),
            "product": sections.product,
            "privacy": sections.privacy,
            "training": sections.training,
            "logical_date": (DAY + timedelta(days=days)).isoformat(),
            "tenant": "default",
            "code": "c",
            "dataset": Output(str(self.folder / "manifest.json")),
            "episodes": Output(str(self.folder / "episodes.safetensors")),
            "user_model": user_model,
        }
        assert generate_profiles.python_func(**given, **made) is True
        return list(open_workspace(self.home).profiles.profiles("coach"))


def test_a_nights_people_have_lived(tmp_path: Path) -> None:
    nights = Nights(tmp_path)
    model = nights.learned(0)
    rows = nights.step(0, model)
    assert len(rows) == PEOPLE
    midnight = datetime.combine(DAY, datetime.min.time(), UTC)
    for row in rows:
        assert len(row.interaction_history) >= 1
        times = [datetime.fromisoformat(str(one["at"])) for one in row.interaction_history]
        assert times == sorted(times)
        assert midnight <= times[0] < midnight + timedelta(days=1)
        assert times[-1] < midnight + timedelta(days=HISTORY_DAYS)
        assert {one["action"] for one in row.interaction_history} <= set(nights.spec.action_ids)
    assert len({row.interaction_history[0]["at"] for row in rows}) > PEOPLE // 2

    assert nights.step(0, model) == rows, "a rerun stores nothing more"
    assert nights.step(1, model) == rows, "nor does a night that both releases go on to serve"
    again = nights.step(1, nights.learned(1))
    assert len(again) == 2 * PEOPLE, "people who answer otherwise are other rows"
    assert {row.profile_id for row in rows} < {row.profile_id for row in again}


@pytest.mark.parametrize(
    ("per_day", "days"), [(0.5, HISTORY_DAYS), (7.0, HISTORY_DAYS), (20.0, 4), (1_000.0, 1)]
)
def test_days_are_fewer_where_decisions_come_faster(per_day: float, days: int) -> None:
    journeys = JourneySpec(decisions_per_day=per_day)
    assert history_days(journeys) == days
    if days > 1:
        assert Arrivals.of(journeys).expected(days) <= MOST_DECISIONS
