"""The private benchmark's own parts: its people, its kept rows, its table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.private import users
from bench.private.living import LivingTerms, LivingWorld, of_people
from bench.private.rows import Rows
from bench.private.users import Terms
from everloop.loops import load
from rl.encoders import layout

LOOP = load("companion")


def world(turnover: float = 0.0, drift: float = 0.0) -> LivingWorld:
    return LivingWorld(LOOP, LivingTerms(60, 20, 4, 3, drift, turnover))


def test_everybody_has_their_episodes_and_held_out_people_are_others() -> None:
    lives = world()
    lives.fill()
    episodes = lives.episodes()
    assert np.bincount(episodes.person).tolist() == [4] * 80
    learned, held_out = of_people(episodes, False), of_people(episodes, True)
    assert len(np.unique(learned.person)) == 60
    assert not set(learned.person) & set(held_out.person)
    assert (np.diff(episodes.timestamp) >= 0).all()
    assert episodes.timestamp.max() < lives.until
    assert episodes.context.shape[1] == layout(LOOP).width


def test_people_come_and_go_and_the_same_seed_gives_the_same_world() -> None:
    one, two = world(turnover=0.9), world(turnover=0.9)
    for lives in (one, two):
        lives.fill()
        lives.play(60)
    np.testing.assert_array_equal(one.episodes().context, two.episodes().context)
    assert one.ever == two.ever > 80
    newest = one.episodes()
    assert len(newest.people) <= 80
    assert newest.timestamp.max() >= one.until - 86_400


def test_a_kept_row_answers_for_its_own_configuration_and_source_alone(tmp_path: Path) -> None:
    rows = Rows(tmp_path, "source")
    rows.keep("users", {"people": 3}, {"auc": 0.5})
    assert rows.known("users", {"people": 3}) == {"auc": 0.5}
    assert rows.known("users", {"people": 4}) is None
    assert Rows(tmp_path, "other").known("users", {"people": 3}) is None
    assert Rows(tmp_path, "source", fresh=True).known("users", {"people": 3}) is None


def test_a_year_goes_on_where_it_was_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(users, "CHECKPOINT_FITS", 2)
    monkeypatch.setattr(users, "HELD_OUT", 60)
    terms = Terms(80, 3, 1, "nightly", days=5)

    def killed(text: str) -> None:
        raise KeyboardInterrupt(text)

    with pytest.raises(KeyboardInterrupt, match="day 2 of 5"):
        users.measure(terms, Rows(tmp_path / "killed"), killed)
    resumed = users.measure(terms, Rows(tmp_path / "killed"), str)
    whole = users.measure(terms, Rows(tmp_path / "whole"), str)
    assert resumed | {"cpu_s": 0.0} == whole | {"cpu_s": 0.0}
    assert whole["fits"] == 5
    assert "nightly" in users.summary([whole])


def test_cohorts_are_disjoint_and_cover_everybody() -> None:
    lives = world()
    lives.fill()
    spec = users.loop_for(Terms(60, 4, 3))
    _, people, _ = users._data(spec, lives)
    cohorts = [set(users._cohort(people, week).people) for week in range(users.WEEKS)]
    assert sum(map(len, cohorts)) == len(people) == len(set().union(*cohorts))


def test_a_years_budget_is_never_passed() -> None:
    """The first fit and the nights after it, by what each schedule pays, within any 365 days."""
    spec = users.loop_for(Terms(100, 4, 1))
    budget, first = users._budget(spec), spec.privacy.first_fit_share
    for schedule, every in users.SCHEDULES.items():
        if schedule == "cohorts":
            continue
        later = len(range(0, users.YEAR, every)) - 1
        paid = budget * first + later * budget * (1 - first) * every / spec.privacy.period_days
        assert paid <= budget * (1 + 1e-12)
