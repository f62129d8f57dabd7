"""A Ray of this process's own: only what trains, and nothing that a busy machine can be too slow for."""

# mypy: disable-error-code="no-untyped-call,attr-defined"

from __future__ import annotations

import logging
import random
import socket
from typing import Any

import ray
from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
from ray._private.node import Node
from ray._private.parameter import RayParams
from ray._raylet import (
    DASHBOARD_AGENT_LISTEN_PORT_NAME,
    METRICS_AGENT_PORT_NAME,
    METRICS_EXPORT_PORT_NAME,
    persist_port,
)

from everloop.contracts.errors import ShouldRetryLater

PORTS = range(20_000, 32_768)
"""Where a helper's port comes from: above Ray's own, below those that a system gives to connections."""

_WITHOUT = (METRICS_AGENT_PORT_NAME, METRICS_EXPORT_PORT_NAME, DASHBOARD_AGENT_LISTEN_PORT_NAME)
_NO_PORT = -1

HELPERS_WITHIN_S = 300
"""Time that workers and Ray's helper processes have to report, in seconds; Ray's own is 30 and 60."""


class OwnNode(Node):  # type: ignore[misc]
    """The one node of a Ray that lives and dies with this process.

    ``ray.init`` starts five interpreters besides the workers, and its raylet aborts when two of them, the
    agents, have not written down their ports within 15 s each, which no setting changes
    (https://github.com/ray-project/ray/issues/65983). Here the ports are known before the raylet asks:
    one agent is given its own, and the other is said to have none, as it has without ``ray[default]``.
    The dashboard, the autoscaler's monitor and the log monitor serve nothing here and are left out.
    """

    def __init__(self, cpus: int, place: str) -> None:
        """Start it, or leave no process of it behind.

        Args:
            cpus: logical shares: processes of one machine may well outnumber its cores.
            place: folder of its sockets and logs, at most 30 bytes long.

        Raises:
            Exception: bare ones of Ray's own.
        """
        config = {
            "agent_register_timeout_ms": 1000 * HELPERS_WITHIN_S,
            "worker_register_timeout_seconds": HELPERS_WITHIN_S,
        }
        ensure_token_if_auth_enabled(config, create_token_if_missing=True)
        params = RayParams(
            num_cpus=cpus,
            include_dashboard=False,
            include_log_monitor=False,
            no_monitor=True,
            temp_dir=place,
            _system_config=config,
            runtime_env_agent_port=free_port(),
        )
        try:
            # a spawned reaper, or the kernel, ends Ray's processes with this one
            super().__init__(params, head=True, shutdown_at_exit=False, spawn_reaper=True)
        except BaseException:
            self.stop()
            raise

    def start_api_server(self, **_: Any) -> None:
        """Start no dashboard: it is a process and a wait even when it is not included."""
        self._webui_url = ""

    def start_raylet(self, *args: Any, **kwargs: Any) -> None:
        """Start the raylet, with nothing left to wait for."""
        for name in _WITHOUT:
            persist_port(self.get_session_dir_path(), self.node_id, name, _NO_PORT)
        super().start_raylet(*args, **kwargs)

    def join(self) -> None:
        """Connect this process to it."""
        ray.init(address=self.gcs_address, log_to_driver=False, logging_level=logging.ERROR)

    def stop(self) -> None:
        """End its processes."""
        self.kill_all_processes(check_alive=False, allow_graceful=True, wait=True)


def free_port() -> int:
    """A port of this machine that nobody listens at now."""
    for port in random.SystemRandom().sample(PORTS, len(PORTS)):
        with socket.socket() as tried:
            try:
                tried.bind(("", port))
            except OSError:
                continue
            return port
    raise ShouldRetryLater(
        f"No port from {PORTS.start} to {PORTS.stop - 1} is free.", "End what holds them.", 30.0
    )
