"""From flagged to taught: a strange episode is out of the encoded ones until a person releases it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from components._pages import reward_rows
from components._reviews import queue_suspicions
from everloop import settings
from everloop.contracts.datasets import DatasetVersion, EncodedEpisodes
from everloop.contracts.episodes import Episode, RewardSignal
from everloop.contracts.figures import RewardFigures
from everloop.contracts.oversight import ReviewKind, ReviewState, review_id_of
from everloop.contracts.ports import Extraction
from everloop.loops import load
from everloop.rewards.runner import aggregate_and_flag
from everloop.storage.local.datasets import LocalDatasetStore
from everloop.wiring import Workspace, open_workspace
from rl.encoders import encode
from tests.log_records import SetClock

SPEC = load("companion")
WATCHED = next(a.id for a in SPEC.actions if a.kind.value == "intervention")
FIRST = date(2026, 3, 10)
NOON = datetime(2026, 3, 9, 12, tzinfo=UTC)
STRANGE, BOTS = 7, range(100, 112)
FLAGGED = [STRANGE, *BOTS]

Night = Callable[[date], tuple[DatasetVersion, RewardFigures, EncodedEpisodes]]


def name(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def decided(number: int, person: str, action: str) -> Episode:
    return Episode(
        episode_id=name(number),
        user_id=person,
        loop=SPEC.name,
        context_snapshot={},
        action_taken=action,
        timestamp=NOON - timedelta(seconds=number),
        model_version="m1",
        propensity=0.5,
        valid_actions=("no_action", WATCHED),
    )


def heard(number: int, of: int, value: float) -> RewardSignal:
    ident = f"11111111-0000-4000-8000-{number:012d}"
    return RewardSignal(ident, name(of), "engagement", value, 60, 1.0)


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """Forty people whose signals agree but one's, and one person with twelve interventions in a day."""
    settings.initialise(tmp_path / "home")
    made = open_workspace(tmp_path / "home")
    episodes = [decided(n, f"{n:064x}", "no_action") for n in range(40)]
    episodes += [decided(n, "f" * 64, WATCHED) for n in BOTS]
    signals = []
    for n in range(40):
        apart = 0.8 if n == STRANGE else 0.1 + n / 1000
        signals += [heard(2 * n, n, 0.8), heard(2 * n + 1, n, 0.8 - apart)]
    signals += [heard(1000 + n, n, 1.0) for n in BOTS]
    made.log.append_batch(episodes, signals)
    return made


@pytest.fixture
def night(place: Workspace, tmp_path: Path) -> Night:
    """The first steps of a run, as the graph takes them."""
    datasets = LocalDatasetStore(
        place.engine, place.home / "datasets", SetClock(NOON + timedelta(days=9))
    )

    def run(on: date) -> tuple[DatasetVersion, RewardFigures, EncodedEpisodes]:
        version = datasets.extract(Extraction(SPEC, on, 7))
        table = tmp_path / "rewards.parquet"
        figures, found = aggregate_and_flag(SPEC, version, table)
        queue_suspicions(place.reviews, version.manifest, found, NOON)
        return version, figures, encode(SPEC, version, table)

    return run


def decide(place: Workspace, number: int, state: ReviewState) -> None:
    kind = ReviewKind.ANOMALY if number == STRANGE else ReviewKind.OUTLIER_ACTION
    review = review_id_of(SPEC.name, kind, name(number), "default")
    place.reviews.decide(review, state, "looked", "rita", NOON, "default")


def learned_from(encoded: EncodedEpisodes) -> set[str]:
    return {str(ident) for ident in encoded.episode_id}


def test_what_is_flagged_is_out_of_training_until_released_and_for_ever_when_rejected(
    place: Workspace, night: Night
) -> None:
    _, figures, encoded = night(FIRST)
    assert figures.held == len(FLAGGED)
    assert learned_from(encoded).isdisjoint(map(name, FLAGGED))
    assert len(encoded) == 39
    waiting = place.reviews.items(SPEC.name)
    assert {item.episode_id for item in waiting} == set(map(name, FLAGGED))
    decide(place, STRANGE, ReviewState.RELEASED)
    decide(place, BOTS[0], ReviewState.RELEASED)
    decide(place, BOTS[1], ReviewState.REJECTED)

    _, figures, encoded = night(FIRST + timedelta(days=1))
    assert {name(STRANGE), name(BOTS[0])} <= learned_from(encoded)
    assert learned_from(encoded).isdisjoint(map(name, BOTS[1:]))
    assert (figures.held, figures.rejected, figures.released) == (11, 1, 2)
    assert len(place.reviews.items(SPEC.name)) == 10
    assert place.reviews.counts(SPEC.name)[ReviewState.RELEASED] == 2

    decide(place, STRANGE, ReviewState.OPEN)
    _, figures, encoded = night(FIRST + timedelta(days=2))
    assert name(STRANGE) not in learned_from(encoded)
    assert name(BOTS[1]) not in learned_from(encoded)
    assert (figures.held, figures.rejected, figures.released) == (12, 1, 1)


def test_a_date_that_was_run_comes_out_as_it_was_whatever_was_decided_since(
    place: Workspace, night: Night, tmp_path: Path
) -> None:
    version, figures, encoded = night(FIRST)
    table = (tmp_path / "rewards.parquet").read_bytes()
    for number in FLAGGED:
        decide(place, number, ReviewState.RELEASED)
    shutil.rmtree(place.home / "datasets")
    again, same, repeated = night(FIRST)
    assert (again.manifest, same) == (version.manifest, figures)
    assert (tmp_path / "rewards.parquet").read_bytes() == table
    assert learned_from(repeated) == learned_from(encoded)
    assert place.reviews.items(SPEC.name) == ()  # what was decided stays decided


def test_a_person_whose_every_episode_is_held_is_nobody_to_learn_from(night: Night) -> None:
    _, _, encoded = night(FIRST)
    assert "f" * 64 not in encoded.people.tolist()


def test_a_flag_of_an_earlier_night_holds_though_tonight_finds_nothing(
    place: Workspace, night: Night
) -> None:
    night(FIRST)
    spread = [heard(5000 + n, n, 0.8 - n / 50) for n in range(40)]
    place.log.append_signals(spread)  # now people differ so much that nobody stands out
    _, figures, encoded = night(FIRST + timedelta(days=1))
    assert figures.anomalies == 0
    assert name(STRANGE) not in learned_from(encoded)


def test_the_page_says_how_many_wait_and_what_to_run(night: Night, place: Workspace) -> None:
    decided_none = dict(reward_rows(night(FIRST)[1], SPEC.name)[1])
    assert decided_none["held from training"] == "13: 13 waiting, 0 rejected"
    assert decided_none["look at them"] == "everloop review list --loop companion"
    for number in FLAGGED:
        decide(place, number, ReviewState.REJECTED)
    summary, rows, metrics, _ = reward_rows(night(FIRST + timedelta(days=1))[1], SPEC.name)
    assert dict(rows)["held from training"] == "13: 0 waiting, 13 rejected"
    assert metrics["held"] == 13.0
    assert "13 episodes held from training" in summary
