"""Which Ray the graph's training joins is read whole or refused."""

from __future__ import annotations

import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.settings import RAY_ADDRESS, RAY_LEARNERS, RAY_RUNNERS, RayWorkers, ray_workers


@pytest.fixture(autouse=True)
def without(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (RAY_ADDRESS, RAY_RUNNERS, RAY_LEARNERS):
        monkeypatch.delenv(name, raising=False)


def test_nothing_said_is_no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ray_workers() is None
    monkeypatch.setenv(RAY_RUNNERS, "0")
    monkeypatch.setenv(RAY_ADDRESS, " ")
    assert ray_workers() is None


def test_it_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RAY_ADDRESS, "10.0.0.5:6379")
    assert ray_workers() == RayWorkers("10.0.0.5:6379", 0, 0)
    monkeypatch.setenv(RAY_RUNNERS, "16")
    monkeypatch.setenv(RAY_LEARNERS, "2")
    assert ray_workers() == RayWorkers("10.0.0.5:6379", 16, 2)
    monkeypatch.delenv(RAY_ADDRESS)
    assert ray_workers() == RayWorkers(None, 16, 2)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (RAY_ADDRESS, "ray://h:1"),
        (RAY_ADDRESS, "10.0.0.5"),
        (RAY_RUNNERS, "-1"),
        (RAY_RUNNERS, "two"),
        (RAY_LEARNERS, "1.5"),
        (RAY_LEARNERS, "²"),
    ],
)
def test_what_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ShouldFixArgument, match=name):
        ray_workers()
