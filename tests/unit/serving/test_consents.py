"""Withdrawals are followed: at once here, within a poll from elsewhere, and never when in doubt."""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from everloop.contracts.episodes import Consent
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFixInput,
    ShouldRespectConsent,
    ShouldRetryLater,
)
from everloop.serving import consents
from everloop.serving.consents import ConsentView
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.event_log import SqlEventLog
from tests.log_records import ANN, BEN, NOON, refusal

SLOW = 3600.0


@pytest.fixture
def log(tmp_path: Path) -> SqlEventLog:
    return SqlEventLog(open_workspace_database(tmp_path / "state.db"))


@pytest.fixture
def view(log: SqlEventLog) -> Iterator[ConsentView]:
    with ConsentView(log, poll_s=SLOW) as made:
        yield made


def test_what_was_said_before_the_start_counts(log: SqlEventLog) -> None:
    log.record_consent(refusal(ANN))
    log.record_consent(refusal(BEN))
    log.record_consent(refusal(BEN, NOON + timedelta(hours=1), granted=True))
    with ConsentView(log, poll_s=SLOW) as view:
        with pytest.raises(ShouldRespectConsent, match="withdrew from 'train'"):
            view.require("default", ANN, "train")
        view.require("default", BEN, "train")
        view.require("default", ANN, "serve")
        view.require("other", ANN, "train")


def test_what_this_process_records_counts_at_once(view: ConsentView, log: SqlEventLog) -> None:
    row = dataclasses.replace(refusal(ANN), purpose="serve")
    view.record(row)
    assert view.withdrawn("default", ANN, "serve")
    assert not view.withdrawn("default", ANN, "train")
    assert log.consents(ANN) == (row,)
    view.record(dataclasses.replace(row, granted=True, recorded_at=NOON + timedelta(hours=1)))
    assert not view.withdrawn("default", ANN, "serve")


def test_an_older_statement_that_arrives_late_changes_nothing(view: ConsentView) -> None:
    view.record(refusal(ANN, NOON + timedelta(hours=1)))
    view.record(refusal(ANN, NOON, granted=True))
    assert view.withdrawn("default", ANN, "train")


def test_what_another_process_records_counts_after_a_poll(log: SqlEventLog) -> None:
    with ConsentView(log, poll_s=0.02) as view:
        log.record_consent(refusal(ANN))
        deadline = time.monotonic() + 10
        while not view.withdrawn("default", ANN, "train"):
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_malformed_consent_is_refused_and_changes_nothing(view: ConsentView) -> None:
    with pytest.raises(ShouldFixInput):
        view.record(dataclasses.replace(refusal(ANN), purpose="sell"))
    assert not view.withdrawn("default", ANN, "train")


class _Failing:
    """A log that can be read once."""

    def __init__(self) -> None:
        self.reads = 0

    def record_consent(self, consent: Consent, actor: str | None = None) -> None:
        raise AssertionError(consent)

    def consents_changed(
        self, after: Mapping[str, int]
    ) -> tuple[Mapping[str, int], tuple[Consent, ...]]:
        self.reads += 1
        if self.reads > 1:
            raise OSError("gone")
        return {"default": 1}, (refusal(BEN),)


def test_a_log_that_cannot_be_read_is_tried_again_and_then_nobody_is_served(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    log, now = _Failing(), time.monotonic()
    with caplog.at_level(logging.ERROR), ConsentView(log, poll_s=0.01) as view:
        while log.reads < 4:
            assert time.monotonic() < now + 10
            time.sleep(0.01)
        view.require("default", ANN, "serve")
        monkeypatch.setattr(
            "everloop.serving.consents.time.monotonic", lambda: now + consents.STALE_S + 60
        )
        with pytest.raises(ShouldRetryLater, match="Consents could not be read"):
            view.require("default", ANN, "serve")
    assert [record.message for record in caplog.records] == [
        "Consents cannot be read; trying again."
    ]


def test_a_log_that_cannot_be_read_at_the_start_stops_the_start() -> None:
    log = _Failing()
    log.reads = 1
    with pytest.raises(OSError, match="gone"):
        ConsentView(log)


@pytest.mark.parametrize("poll_s", [0.0, -1.0, float("nan")])
def test_an_impossible_poll_is_refused(log: SqlEventLog, poll_s: float) -> None:
    with pytest.raises(ShouldFixArgument, match="poll_s"):
        ConsentView(log, poll_s)


def test_the_check_costs_less_than_two_microseconds(view: ConsentView) -> None:
    """The goal is 1; the limit leaves room for a busy machine."""
    for person in range(1000):
        view._withdrawn["serve"].add(("default", f"{person:064d}"))

    def once() -> float:
        start = time.process_time()
        for _ in range(20_000):
            view.require("default", ANN, "serve")
        return (time.process_time() - start) / 20_000

    assert min(once() for _ in range(5)) < 2e-6


def test_closing_twice_is_harmless(log: SqlEventLog) -> None:
    view = ConsentView(log, poll_s=SLOW)
    view.close()
    view.close()
