"""What the environment says of containers, and what their steps are given of it."""

from __future__ import annotations

import pytest

from everloop import settings
from everloop.contracts.errors import ShouldFixArgument
from everloop.settings import Containers


def test_steps_are_processes_unless_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(settings.IN_CONTAINERS, raising=False)
    assert settings.containers() is None
    monkeypatch.setenv(settings.IN_CONTAINERS, "1")
    assert settings.containers() == Containers(image="", memory="", network="none")
    monkeypatch.setenv(settings.IMAGE, "registry.example:5000/everloop-python:1")
    monkeypatch.setenv(settings.CONTAINER_MEMORY, "4g")
    monkeypatch.setenv(settings.CONTAINER_NETWORK, "host")
    assert settings.containers() == Containers(
        "registry.example:5000/everloop-python:1", "4g", "host"
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (settings.IN_CONTAINERS, "yes"),
        (settings.IMAGE, "-v /:/host"),
        (settings.CONTAINER_MEMORY, "4"),
        (settings.CONTAINER_MEMORY, "0g"),
        (settings.CONTAINER_NETWORK, "container:other"),
    ],
)
def test_what_no_engine_takes_is_refused(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(settings.IN_CONTAINERS, "1")
    monkeypatch.setenv(name, value)
    with pytest.raises(ShouldFixArgument, match=value):
        settings.containers()


def test_secrets_go_along_and_places_of_this_machine_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in settings.carried():
        monkeypatch.delenv(name)
    given = {
        "EVERLOOP_LEDGER_KEY": "ab",
        "EVERLOOP_HOME": "/here",
        settings.IN_CONTAINERS: "1",
        "OMP_NUM_THREADS": "1",
        "GOMP_SPINCOUNT": "20000",
        "OPENBLAS_CORETYPE": "Haswell",
        "HOME": "/root",
        "OTHER_SECRET": "no business of ours",
    }
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert settings.carried() == {
        "EVERLOOP_LEDGER_KEY": "ab",
        "OMP_NUM_THREADS": "1",
        "GOMP_SPINCOUNT": "20000",
        "OPENBLAS_CORETYPE": "Haswell",
    }


def test_what_needs_a_network_is_named_without_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVERLOOP_STORAGE_URL", raising=False)
    monkeypatch.setenv("EVERLOOP_DATABASE_URL", "postgresql://u:secret@db/x")
    assert settings.reached() == ("EVERLOOP_DATABASE_URL",)
