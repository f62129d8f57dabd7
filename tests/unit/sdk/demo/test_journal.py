"""Where a tour is kept, and what it never mixes with."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from everloop import settings
from everloop.contracts.demo import DemoDay
from everloop.contracts.errors import ShouldFixArgument, ShouldResolveConflict
from everloop.contracts.evaluation import Estimate
from everloop.sdk.demo.journal import default_home, open_journal
from everloop.sdk.demo.plan import DemoPlan

PLAN = DemoPlan(days=3, people=300, settings=("thresholds.min_episodes=1",))
WORTH = Estimate("rules", 0.1, 0.05, 0.15, 0.95, 90, 40, "roll-outs")
DAY = DemoDay(
    number=1,
    date=date(2025, 1, 6),
    people=300,
    arrived=0,
    left=4,
    decisions=61,
    decided_by="rules",
    exploration=0.4,
    value=WORTH,
    best=WORTH,
    first=WORTH,
    auc_private=math.nan,
    auc_reference=0.75,
    epsilon_tonight=0.1 + 0.2,
    epsilon_period=1 / 3,
    epsilon_since_first_seen=1 / 3,
    epsilon_every_night=1.0,
    verdict="hold",
    reason="too little is known",
    serves_next="rules",
)


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (settings.HOME_VARIABLE, settings.DATABASE_URL, *settings.KEYS):
        monkeypatch.delenv(name, raising=False)


def test_finished_days_are_read_back_as_they_were(tmp_path: Path) -> None:
    with open_journal(PLAN, tmp_path / "tour") as journal:
        assert journal.days() == ()
        journal.finish(DAY)
        journal.finish(replace(DAY, number=2))
        journal.finish(replace(DAY, number=4))
    with open_journal(PLAN, tmp_path / "tour") as journal:
        first, second = journal.days()
    assert math.isnan(first.auc_private)
    assert replace(first, auc_private=0.0) == replace(DAY, auc_private=0.0)
    assert second.number == 2


def test_the_same_tour_may_grow_longer(tmp_path: Path) -> None:
    for days in (3, 30):
        with open_journal(replace(PLAN, days=days), tmp_path):
            pass


@pytest.mark.parametrize(
    "other",
    [
        replace(PLAN, seed=8),
        replace(PLAN, people=301),
        replace(PLAN, settings=(*PLAN.settings, "training.epochs=1")),
    ],
)
def test_another_tour_needs_another_folder(tmp_path: Path, other: DemoPlan) -> None:
    with open_journal(PLAN, tmp_path):
        pass
    with (
        pytest.raises(ShouldFixArgument, match="holds a tour of 300 people and seed 7"),
        open_journal(other, tmp_path),
    ):
        pass


def test_made_up_people_never_mix_with_a_workspace(tmp_path: Path) -> None:
    settings.initialise(tmp_path)
    with (
        pytest.raises(ShouldFixArgument, match="is not empty and holds no tour"),
        open_journal(PLAN, tmp_path),
    ):
        pass


def test_a_file_is_no_home(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    for home in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ShouldFixArgument, match="--home"), open_journal(PLAN, home):
            pass
    assert (tmp_path / "file").read_text() == "kept"


def test_a_server_for_real_rows_is_not_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.DATABASE_URL, "postgresql://nobody@nowhere/real")
    with (
        pytest.raises(ShouldFixArgument, match=settings.DATABASE_URL),
        open_journal(PLAN, tmp_path),
    ):
        pass


def test_two_processes_do_not_play_the_same_tour(tmp_path: Path) -> None:
    with (
        open_journal(PLAN, tmp_path),
        pytest.raises(ShouldResolveConflict),
        open_journal(PLAN, tmp_path),
    ):
        pass


def test_who_is_kept_from_learning_follows_from_the_seed(tmp_path: Path) -> None:
    names = {}
    for home, seed in (("a", 7), ("b", 7), ("c", 8)):
        with open_journal(replace(PLAN, seed=seed), tmp_path / home) as journal:
            names[home] = journal.workspace.pseudonyms.of("person-000001")
    assert names["a"] == names["b"] != names["c"]
    keys = [(tmp_path / home / settings.SECRETS_FILE).read_text().splitlines() for home in "ab"]
    assert len(set(keys[0]) & set(keys[1])) == 1


def test_the_default_lies_beside_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.HOME_VARIABLE, str(tmp_path / "real"))
    assert default_home() == tmp_path / "real-demo"
