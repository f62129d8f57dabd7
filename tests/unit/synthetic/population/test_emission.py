"""What the product sees: few dimensions behind the wide state, and records that fit the loop."""

from datetime import UTC, date, datetime, timedelta

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.contracts.episodes import Episode
from everloop.intake.conformity import conform_episode
from everloop.loops import load
from synthetic.population.archetypes import ARCHETYPE_OF, ARCHETYPES
from synthetic.population.catalogue import ACTIONS
from synthetic.population.cohort import arrive
from synthetic.population.emission import BEHIND, MIXING, Calendar, behind, emit, noiseless
from synthetic.population.state import Hidden
from tests.unit.synthetic.population.truths import states

LOOP = load("companion")


def emitted(n: int, seed: int):
    rng = np.random.default_rng(seed)
    persons = arrive(n, 3, rng)
    drawn = states(n, seed)
    hidden = Hidden(persons.kind, drawn.mood, drawn.tired, drawn.part)
    known = rng.integers(0, 11, n)
    past = np.where(np.arange(10) >= 10 - known[:, None], rng.integers(0, 8, (n, 10)), -1)
    rewards = np.where(
        (past >= 0) & (rng.random((n, 10)) < 0.6), rng.uniform(-1, 1, (n, 10)), np.nan
    )
    moment = rng.integers(1.7e9, 1.9e9, n)
    return hidden, persons, emit(hidden, persons, moment, past, np.round(rewards, 4), rng)


def test_at_most_sixteen_dimensions_lie_behind_the_wide_state() -> None:
    hidden = states(2_000, 1)
    wide = noiseless(hidden, np.random.default_rng(1).integers(0, 20, 2_000))
    spectrum = np.linalg.svd(wide - wide.mean(axis=0), compute_uv=False)
    rank = int((spectrum > 1e-9 * spectrum[0]).sum())
    assert wide.shape[1] > 128
    assert BEHIND + 1 <= rank <= 16


def test_the_emotion_vector_determines_what_lies_behind_it() -> None:
    hidden, _, seen = emitted(3_000, 2)
    back = seen.emotion @ np.linalg.pinv(MIXING).T
    error = np.sqrt(((back - behind(hidden)) ** 2).mean(axis=0))
    assert (error > 0.05).all()
    assert (error < 0.2).all()


def test_archetypes_can_be_told_from_the_emotion_vector_but_not_surely() -> None:
    hidden, _, seen = emitted(3_000, 3)
    traits = (seen.emotion @ np.linalg.pinv(MIXING).T)[:, 4:]
    every = behind(
        Hidden(np.arange(6) * 4, np.ones((6, 4), int), np.zeros((6, 3), bool), np.zeros(6, int))
    )
    nearest = ((traits[:, None] - every[None, :, 4:]) ** 2).sum(axis=2).argmin(axis=1)
    right = (nearest == ARCHETYPE_OF[hidden.kind]).mean()
    assert 1 / len(ARCHETYPES) + 0.4 < right < 1.0


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 20), st.integers(0, 10_000))
def test_every_snapshot_fits_the_loop(n, seed) -> None:
    _, persons, seen = emitted(n, seed)
    for row, snapshot in enumerate(seen.snapshots()):
        conform_episode(
            LOOP,
            Episode(
                episode_id="00000000-0000-4000-8000-000000000000",
                user_id="a" * 64,
                loop="companion",
                context_snapshot=snapshot,
                action_taken="no_action",
                timestamp=datetime(2026, 1, 1, tzinfo=UTC),
                model_version="rules",
                propensity=0.5,
                valid_actions=ACTIONS,
            ),
        )
        assert snapshot["active_connections"] <= snapshot["connections"] == persons.connections[row]
        assert len(snapshot["recent_interactions"]) == (seen.past_action[row] >= 0).sum()


def test_the_calendar_is_the_iso_one() -> None:
    days = [date(2019, 12, 25) + timedelta(days=37 * k) for k in range(120)]
    seconds = [int(datetime(d.year, d.month, d.day, 13, 5, tzinfo=UTC).timestamp()) for d in days]
    when = Calendar(np.array(seconds))
    assert when.week.tolist() == [d.isocalendar().week for d in days]
    assert when.weekday.tolist() == [d.weekday() for d in days]
    assert set(when.hour.tolist()) == {13}
