"""A Ray of this process's own gives its raylet nothing to wait for, and leaves no process behind."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from ray._private.node import Node

from everloop.contracts.errors import ShouldRetryLater
from rl.ppo import own_ray
from rl.ppo.own_ray import OwnNode, free_port


def test_the_raylet_finds_every_port_it_would_abort_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    node = OwnNode.__new__(OwnNode)
    node._node_id, node._session_dir = "a" * 56, str(tmp_path)
    found: dict[str, str] = {}

    def raylet(_: Node, directory: str) -> None:
        found.update({file.name: file.read_text() for file in Path(directory).iterdir()})

    monkeypatch.setattr(Node, "start_raylet", raylet)
    node.start_raylet(str(tmp_path))
    names = ("metrics_agent_port", "metrics_export_port", "dashboard_agent_listen_port")
    assert found == {f"{name}_{'a' * 56}": "-1" for name in names}


def test_a_start_that_fails_ends_what_it_started(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[bool] = []

    def fail(self: Node, params: object, **_: object) -> None:
        assert params.runtime_env_agent_port in own_ray.PORTS  # type: ignore[attr-defined]
        raise RuntimeError("The current node timed out during startup.")

    monkeypatch.setattr(Node, "__init__", fail)
    monkeypatch.setattr(Node, "kill_all_processes", lambda *_, **__: ended.append(True))
    with pytest.raises(RuntimeError, match="timed out"):
        OwnNode(1, "/tmp/ray")
    assert ended == [True]


def test_a_taken_port_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(own_ray, "PORTS", range(port, port + 1))
        with pytest.raises(ShouldRetryLater, match=f"No port from {port} to {port} is free"):
            free_port()
    assert free_port() == port
