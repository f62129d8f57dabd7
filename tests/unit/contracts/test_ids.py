"""Ids in order of time."""

from __future__ import annotations

import threading
import time
import uuid

import pytest

from everloop.contracts import ids


def test_they_are_version_7_of_now() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(ids.event_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before <= (made.int >> 80) <= time.time_ns() // 1_000_000 + 1


def test_they_rise_and_differ_in_every_thread() -> None:
    made: list[list[str]] = [[] for _ in range(4)]
    threads = [
        threading.Thread(target=lambda mine=mine: mine.extend(ids.event_id() for _ in range(5000)))
        for mine in made
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(mine == sorted(mine) for mine in made)
    assert len({row for mine in made for row in mine}) == 20_000


def test_a_clock_that_steps_back_is_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    first = ids.event_id()
    monkeypatch.setattr(time, "time_ns", lambda: 1_000_000_000)
    assert first < ids.event_id() < ids.event_id()
