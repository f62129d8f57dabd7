"""What one of the databases would refuse is refused for both, before anything is written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.episodes import Consent
from everloop.contracts.errors import ShouldFixEpisode, ShouldFixInput, ShouldFixSignal
from everloop.contracts.serving import Submission
from everloop.storage.schema import reward_signals, training_episodes
from everloop.storage.sql.event_log import SqlEventLog
from everloop.storage.sql.group_commit import GroupCommit
from everloop.storage.sql.storable import refuse_unstorable
from tests.log_records import ANN, NOON, SetClock, dispute, episode, signal
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite

REFUSED = [
    ({"model_version": "v\x001"}, "model_version='v\\\\x001' holds a NUL character"),
    ({"model_version": "v\ud800"}, "cannot be written as JSON"),
    ({"loop": "w" * 64}, "longer than 63 characters"),
    ({"tenant": "t" * 64}, "longer than 63 characters"),
    ({"schema_version": 2**31}, "beyond 32 bits"),
]
KEPT = [
    {"context_snapshot": {"said": "a\x00b", "\x00": [1e300, -0.0, 5e-324]}},
    {
        "action_taken": "\x01\x1f\x7f\u2028\U0001f600",
        "valid_actions": ("\x01\x1f\x7f\u2028\U0001f600",),
    },
    {"loop": "w" * 63, "model_version": "v" * 100_000, "schema_version": 2**31 - 1},
]


class StorableSuite(SqlSuite):
    @pytest.fixture
    def log(self, tmp_path: Path) -> SqlEventLog:
        return SqlEventLog(self.engines(tmp_path)(), SetClock())

    @pytest.mark.parametrize(("change", "said"), REFUSED, ids=str)
    def test_an_episode_that_does_not_fit_is_refused(
        self, log: SqlEventLog, change: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(ShouldFixEpisode, match=said) as refused:
            log.append_batch([episode(1), episode(2, **change)], [])
        assert refused.value.remedy
        assert list(log.episodes_of(ANN)) == []

    @pytest.mark.parametrize("change", KEPT, ids=[0, 1, 2])
    def test_whatever_both_keep_comes_back_as_it_was(
        self, log: SqlEventLog, change: dict[str, Any]
    ) -> None:
        given = episode(1, **change)
        log.append_episodes([given])
        assert list(log.episodes_of(ANN)) == [given]
        assert log.append_episodes([given]).replayed == 1

    def test_signals_consents_and_disputes_that_do_not_fit_are_refused(
        self, log: SqlEventLog
    ) -> None:
        log.append_batch([episode(1)], [signal(1, latency=2**63 - 1)])
        with pytest.raises(ShouldFixSignal, match="beyond 64 bits"):
            log.append_signals([signal(2, latency=2**63)])
        with pytest.raises(ShouldFixSignal, match="NUL"):
            log.append_signals([signal(2, signal_type="a\x00")])
        with pytest.raises(ShouldFixInput, match="longer than 63"):
            log.record_consent(Consent(ANN, "train", True, NOON, "t" * 64))
        with pytest.raises(ShouldFixInput, match="reason='\\\\x00' holds a NUL"):
            log.record_dispute(replace(dispute(1), reason="\x00"))
        assert (log.consents(ANN), log.disputes()) == ((), ())

    def test_the_queue_refuses_the_same_and_takes_the_rest(self, tmp_path: Path) -> None:
        queue = GroupCommit(self.engines(tmp_path)(), SetClock())
        try:
            with pytest.raises(ShouldFixEpisode, match="NUL"):
                queue.submit(Submission("default", "key:1", (episode(1, model_version="\x00"),)))
            kept = queue.submit(Submission("default", "key:1", (episode(2, **KEPT[0]),)))
            assert kept.result(30).new == 1
        finally:
            queue.close()


class TestOnSqlite(OnSqlite, StorableSuite):
    pass


class TestOnPostgresql(OnPostgresql, StorableSuite):
    pass


@pytest.mark.parametrize(
    ("row", "fits"),
    [
        ({"latency": 2**63 - 1}, True),
        ({"latency": -(2**63)}, True),
        ({"latency": -(2**63) - 1}, False),
        ({"schema_version": -(2**31) - 1}, False),
        ({"signal_type": ""}, True),
        ({"signal_type": None}, True),
        ({"signal_type": "é" * 63}, True),
        ({"signal_type": "é" * 64}, False),
        ({"signal_type": "\ud800"}, False),
        ({}, True),
    ],
    ids=str,
)
def test_bounds_by_hand(row: dict[str, Any], fits: bool) -> None:
    if fits:
        refuse_unstorable(reward_signals, row, "it")
    else:
        with pytest.raises(ShouldFixInput, match=r"^it: "):
            refuse_unstorable(reward_signals, row, "it")


def test_json_and_times_are_not_read_as_text() -> None:
    row = {"context_snapshot": "\x00", "timestamp": 2**70, "payload_sha256": b"\x00"}
    refuse_unstorable(training_episodes, row, "it")
