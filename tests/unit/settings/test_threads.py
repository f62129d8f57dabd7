"""Threads that wait leave their core to others."""

from __future__ import annotations

import os

import pytest

from everloop.settings import wait_briefly


def test_threads_wait_briefly_unless_the_environment_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    environment: dict[str, str] = {}
    monkeypatch.setattr(os, "environ", environment)
    wait_briefly()
    assert environment == {"GOMP_SPINCOUNT": "20000"}
    environment["GOMP_SPINCOUNT"] = "7"
    wait_briefly()
    assert environment == {"GOMP_SPINCOUNT": "7"}
    del environment["GOMP_SPINCOUNT"]
    environment["OMP_WAIT_POLICY"] = "active"
    wait_briefly()
    assert environment == {"OMP_WAIT_POLICY": "active"}
