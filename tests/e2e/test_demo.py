"""A small tour: it goes on after a kill with the same figures, and its figures are the ledger's."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from everloop.contracts.demo import DemoDay
from everloop.contracts.evaluation import Estimate
from everloop.privacy import accounting
from everloop.sdk.demo import DemoPlan, play, worth
from everloop.sdk.demo.deciders import FIRST
from everloop.wiring import open_workspace
from tests.e2e.whole_runs import ROOT, command

SMALL = (
    "privacy.min_people=20",
    "journeys.decisions_per_day=0.6",
    "thresholds.holdout_share=0.5",
    "thresholds.min_episodes=50",
    "training.iterations=2",
    "training.environments=8",
    "training.rollout_length=8",
    "training.epochs=1",
    "training.profiles=60",
)
PLAN = DemoPlan(days=3, people=150, seed=3, settings=SMALL)
FEW = 12
"""New people rolled out for a value: enough for the same figures twice."""
BEST = Estimate("best possible", 0.5, 0.5, 0.5, 1.0, 0, 0, "given")
"""Instead of the exact solution, which takes seconds."""

KILLED_IN_THE_NIGHT = """
import os, signal, sys
import everloop.privacy.ledger as ledger
from everloop.sdk.demo import journal, play, worth
from tests.e2e.test_demo import BEST, FEW, PLAN, one_seed

ledger.secrets.token_bytes = one_seed
worth.PEOPLE = FEW
worth.Worth.best = BEST
finish = journal.Journal.finish

def killed(self, day):
    if day.number == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    finish(self, day)

journal.Journal.finish = killed
list(play(PLAN, sys.argv[1]))
"""


def one_seed(size: int) -> bytes:
    """Noise that two tours share: a real one's is secret, and so are the differences it makes."""
    return bytes(size)


@pytest.fixture(scope="module", autouse=True)
def same_noise() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("everloop.privacy.ledger.secrets.token_bytes", one_seed)
        patch.setattr(worth, "PEOPLE", FEW)
        patch.setattr(worth.Worth, "best", BEST)
        yield


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[DemoDay, ...]]:
    home = tmp_path_factory.mktemp("demo") / "tour"
    return home, tuple(play(PLAN, home))


def plain(days: tuple[DemoDay, ...]) -> list[dict[str, object]]:
    """Days as values that compare, NaN with NaN."""
    names = [name for name in DemoDay.__dataclass_fields__ if name != "seconds"]
    return [{name: repr(getattr(day, name)) for name in names} for day in days]


def test_nights_learn_once_there_is_enough_to_learn_from(
    tour: tuple[Path, tuple[DemoDay, ...]],
) -> None:
    _, days = tour
    assert [day.number for day in days] == [1, 2, 3]
    assert days[0].verdict == "no candidate"
    assert days[0].epsilon_period == 0.0
    assert days[-1].verdict in {"hold", "continue"}
    assert 0.0 <= days[-1].auc_private <= 1.0
    assert 0.0 <= days[-1].auc_reference <= 1.0
    assert {day.decided_by for day in days[:2]} == {FIRST}
    for before, after in pairwise(days):
        assert after.decided_by == before.serves_next
        assert after.people == before.people + after.arrived - after.left


def test_values_lie_below_what_is_possible(tour: tuple[Path, tuple[DemoDay, ...]]) -> None:
    _, days = tour
    for day in days:
        assert day.value.low <= day.value.value <= day.value.high < day.best.value
    assert days[0].value.value == days[0].first.value
    assert days[0].gain_share == 0.0


def test_what_was_spent_is_what_the_ledger_says_and_stays_within_the_plan(
    tour: tuple[Path, tuple[DemoDay, ...]],
) -> None:
    home, days = tour
    privacy, ledger = PLAN.spec.privacy, open_workspace(home).ledger
    whole = accounting.mu(privacy.epsilon, privacy.delta) ** 2
    first_night = privacy.first_fit_share
    later = (1.0 - privacy.first_fit_share) / privacy.period_days
    nights = 0
    for day in days:
        nights += any(row.logical_date == day.date for row in ledger.history())
        assert day.epsilon_period == ledger.status(PLAN.spec, day.date).epsilon_period
        assert day.epsilon_tonight <= day.epsilon_period + 1e-12
        assert day.epsilon_every_night == accounting.epsilon_of(nights * whole, privacy.delta)
        most = accounting.epsilon_of(
            whole * max(0.0, min(1, nights) * first_night + (nights - 1) * later), privacy.delta
        )
        assert day.epsilon_period <= most + 1e-9
        assert day.epsilon_since_first_seen >= day.epsilon_period
    spent = [day.epsilon_period for day in days]
    assert spent == sorted(spent)
    assert spent[-1] > 0.0
    assert nights >= 2
    assert ledger.verify() > 0


@pytest.mark.slow
def test_a_tour_that_was_killed_in_the_night_goes_on_with_the_same_figures(
    tour: tuple[Path, tuple[DemoDay, ...]], tmp_path: Path
) -> None:
    _, days = tour
    home = tmp_path / "tour"
    ended = subprocess.run(
        [sys.executable, "-c", KILLED_IN_THE_NIGHT, str(home)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    charged = len(open_workspace(home).ledger.history())
    resumed = tuple(play(PLAN, home))
    assert plain(resumed) == plain(days)
    again = {row.release_id for row in open_workspace(home).ledger.history()}
    assert len(open_workspace(home).ledger.history()) >= charged
    assert len(again) * 2 == len(open_workspace(home).ledger.history())  # reserved and spent, once


def test_the_command_shows_a_finished_tour_without_playing_it_again(
    tour: tuple[Path, tuple[DemoDay, ...]],
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    home, days = tour
    settings = [part for setting in SMALL for part in ("--set", setting)]
    arguments = ("--days", "3", "--people", "150", "--seed", "3", *settings, "--home", str(home))
    assert command("demo", *arguments, "--output", str(tmp_path / "page.html")) == 0
    shown = capsys.readouterr().out
    assert f"{days[-1].epsilon_every_night:.2f}" in shown
    assert f"{days[-1].epsilon_period:.4f}" in shown
    page = (tmp_path / "page.html").read_text()
    assert "plot-epsilon" in page
    assert command("demo", *arguments, "--json") == 0
    assert '"epsilon_every_night"' in capsys.readouterr().out


def test_a_night_without_a_model_has_no_accuracy(tour: tuple[Path, tuple[DemoDay, ...]]) -> None:
    _, days = tour
    assert math.isnan(days[0].auc_private)
    assert math.isnan(days[0].auc_reference)
