"""The same records give the same dataset, byte for byte, whichever database they lie in."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.episodes import Arm, Consent, Dispute
from everloop.contracts.oversight import ReviewKind, ReviewState
from everloop.storage.local.datasets import LocalDatasetStore
from everloop.storage.sql.engine import open_database, open_workspace_database
from everloop.storage.sql.episode_reviews import SqlReviewStore
from everloop.storage.sql.event_log import SqlEventLog
from tests.conformance.test_review_store import item
from tests.log_records import ANN, BEN, NOON, SetClock, episode, extraction, signal, uuid_of

MORE_THAN_A_GROUP = 16_500
CARL, DORA = "c" * 64, "d" * 64
CONTEXTS = (
    {},
    {"é": "ü\x00\x1f\x7f\u2028😀", "z": {"b": 1, "a": [True, None]}},
    {"big": 1e22, "small": 1e-7, "odd": -0.0, "third": 1 / 3, "whole": 3.0, "max": 2**63 - 1},
    {"B": 1, "a": 2, "aa": 3, "": 4},
)


@pytest.fixture
def engines(tmp_path: Path, postgresql_url: str) -> tuple[Engine, Engine]:
    return (
        open_workspace_database(tmp_path / "one" / "state.db"),
        open_database(postgresql_url, tmp_path),
    )


def fill(engine: Engine, clock: SetClock) -> None:
    """The log of a few days, told out of order, with everything that leaves a record out."""
    log = SqlEventLog(engine, clock)
    people = (ANN, BEN, CARL, DORA)
    log.append_batch(
        (
            episode(
                n,
                at=NOON - timedelta(seconds=37 * (n * 7919 % 4093), microseconds=n),
                user_id=people[n % 4],
                context_snapshot=CONTEXTS[n % len(CONTEXTS)],
                action_taken=("left", "rechts — ⇒")[n % 2],
                valid_actions=("left", "rechts — ⇒", "quote'\\\"")[: 2 + n % 2],
                propensity=None if n % 5 else 0.1 + 0.2,
                arm=list(Arm)[n % 4],
                action_arguments={"n": n},
            )
            for n in range(MORE_THAN_A_GROUP)
        ),
        (
            signal(
                n,
                of=n * 3 % MORE_THAN_A_GROUP,
                latency=n % 4000 if n % 11 else 2**62,
                value=(n % 7) / 7 - 0.5,
                confidence=1 / (1 + n % 3),
            )
            for n in range(6_000)
        ),
    )
    for person, granted in ((BEN, False), (BEN, True), (CARL, False)):
        log.record_consent(Consent(person, "train", granted, NOON + timedelta(hours=granted)))
    for number, status in ((1, "open"), (2, "rejected"), (4, "open"), (4, "upheld")):
        log.record_dispute(
            Dispute(uuid_of(number, "signal"), "not\nme", NOON + timedelta(hours=1), status)
        )
    queue = SqlReviewStore(engine)
    flagged = [item(n, kind) for n in range(0, 400, 3) for kind in ReviewKind]
    queue.flag(flagged)
    for number, one in enumerate(flagged):
        for state in (ReviewState.RELEASED, ReviewState.REJECTED)[: number % 3]:
            queue.decide(one.review_id, state, "looked", "ann", NOON, "default")


def extracted(engine: Engine, folder: Path, clock: SetClock) -> DatasetVersion:
    return LocalDatasetStore(engine, folder, clock).extract(extraction())


def test_equal_rows_make_an_equal_version(engines: tuple[Engine, Engine], tmp_path: Path) -> None:
    clock = SetClock()
    versions = []
    for number, engine in enumerate(engines):
        fill(engine, clock)
        versions.append(extracted(engine, tmp_path / str(number), clock))
    here, there = (version.manifest for version in versions)
    assert here == there
    excluded = here.exclusions
    assert min(excluded.opted_out_people, excluded.disputed_signals, excluded.late_signals) > 0
    assert here.episodes > MORE_THAN_A_GROUP // 2
    assert versions[0].episodes_path.read_bytes() == versions[1].episodes_path.read_bytes()
    assert here.reviews > 100


@pytest.mark.parametrize("moved", [(0, 1), (1, 0)], ids=["to-the-server", "from-the-server"])
def test_records_that_move_read_back_as_they_were(
    engines: tuple[Engine, Engine], moved: tuple[int, int]
) -> None:
    clock: Callable[[], SetClock] = SetClock
    source, target = (SqlEventLog(engines[place], clock()) for place in moved)
    source.append_episodes(
        [episode(n, context_snapshot=context) for n, context in enumerate(CONTEXTS)]
    )
    target.append_episodes(list(source.episodes_of(ANN)))
    again = target.append_episodes(
        [episode(n, context_snapshot=context) for n, context in enumerate(CONTEXTS)]
    )
    assert (again.new, again.replayed) == (0, len(CONTEXTS))
