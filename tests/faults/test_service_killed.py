"""The service is killed under load, again and again: what it acknowledged is there, once."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from everloop.storage.schema import reward_signals, training_episodes
from everloop.storage.service_tables import audit_log, decisions
from everloop.storage.sql.engine import open_database, reading
from everloop.wiring import open_workspace
from tests.faults.service_load import Load, Told
from tests.served import START_SECONDS, Served


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    service = Served(tmp_path / "w")
    yield service
    service.kill()


def check(home: Path, told: Told) -> None:
    """Everything that was acknowledged is stored once, and decisions and episodes match."""
    assert told.wrong == []
    engine = open_workspace(home).engine
    with reading(engine) as connection:
        episodes = {r.episode_id: r for r in connection.execute(select(training_episodes))}
        decided = {r.decision_id: r for r in connection.execute(select(decisions))}
        signals = [r.signal_id for r in connection.execute(select(reward_signals))]
        numbers = sorted(r.seq for r in connection.execute(select(training_episodes.c.seq)))
        audited = connection.execute(
            select(audit_log.c.rows).where(audit_log.c.action == "episodes.append")
        ).scalars()
        assert sum(audited) == len(episodes)
    assert numbers == [*range(1, len(episodes) + 1)]
    assert told.episodes <= set(episodes)
    assert told.signals <= set(signals)
    for decision_id, answer in told.decisions.items():
        row = decided[decision_id]
        assert (row.action_taken, row.propensity) == (answer["action"], answer["propensity"])
    for decision_id in told.confirmed:
        row, episode = decided[decision_id], episodes[decision_id]
        fields = ("user_id", "action_taken", "propensity", "model_version", "context_snapshot")
        assert all(getattr(row, name) == getattr(episode, name) for name in fields)


def kill_again_and_again(served: Served, times: int) -> Told:
    chance = random.Random(7)
    served.start()
    with Load(served) as load:
        for _ in range(times):
            load.wait_for(chance.randrange(20, 120))
            served.kill()
            served.start()
        load.wait_for(50)
    served.stop()
    return load.told


def test_nothing_acknowledged_is_lost_or_doubled(served: Served) -> None:
    told = kill_again_and_again(served, 2)
    assert told.retries > 0
    check(served.home, told)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_times(served: Served) -> None:
    check(served.home, kill_again_and_again(served, 10))


@pytest.mark.timeout(600)
def test_two_workers_share_one_workspace(tmp_path: Path) -> None:
    served = Served(tmp_path / "w", arguments=("--no-train", "--workers", "2"))
    served.start()
    try:
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up:
            _, page, _ = served.ask("GET", "/metrics")
            if 'worker="0"' in page and 'worker="1"' in page:
                break
            time.sleep(0.2)
        else:
            raise AssertionError(page)
        with Load(served) as load:
            load.wait_for(300)
    finally:
        assert served.stop() == 0
    check(served.home, load.told)


def test_workers_end_with_their_supervisor(tmp_path: Path) -> None:
    served = Served(tmp_path / "w", arguments=("--no-train", "--workers", "2"))
    served.start()
    served.kill()
    give_up = time.monotonic() + 60
    while time.monotonic() < give_up:
        try:
            served.ask("GET", "/health/live")
        except OSError:
            return
        time.sleep(0.1)
    raise AssertionError("the workers of a dead supervisor still serve")


def test_postgresql_restarts_under_load(
    tmp_path: Path, own_postgresql: object, request: pytest.FixtureRequest
) -> None:
    server = request.getfixturevalue("own_postgresql")
    url = server.new_database(migrated=False)
    served = Served(tmp_path / "w", environment={"EVERLOOP_DATABASE_URL": url})
    served.start()
    try:
        with Load(served) as load:
            load.wait_for(60)
            server.restart()
            load.wait_for(60)
            server.kill()
            server.start()
            load.wait_for(60)
    finally:
        served.stop()
    assert load.told.wrong == []
    with reading(open_database(url, tmp_path)) as connection:
        found = set(connection.execute(select(training_episodes.c.episode_id)).scalars())
        asked = set(connection.execute(select(decisions.c.decision_id)).scalars())
    assert load.told.episodes <= found
    assert set(load.told.decisions) <= asked
