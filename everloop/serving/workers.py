"""Runs the application: in this process, or in several that share one socket."""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing.context import SpawnProcess
from types import FrameType

import uvicorn

from everloop.contracts.errors import EverloopError, ShouldFixArgument
from everloop.serving.app import create_app
from everloop.serving.configuration import ServiceConfig
from everloop.serving.opening import opened

BACKLOG = 4096
KEEP_ALIVE_S = 75
GRACE_S = 20
"""How long requests under way may take to end when the service is told to stop."""

SWITCH_S = 0.0005
"""How long the event loop may keep the interpreter's lock while the thread that commits waits for it; at
Python's 5 ms every statement of a commit could wait as long, and every request for the commit."""

_GC_THRESHOLDS = (20_000, 20, 20)
_PAUSE_S = 0.2
_PR_SET_PDEATHSIG = 1
_SETTLED_S = 10.0
"""A worker that ends sooner than this after its start failed to start."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        ShouldFixArgument: the address cannot be bound.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except (OSError, OverflowError) as problem:
        listening.close()
        raise ShouldFixArgument(
            f"Cannot listen on {host}:{port} ({problem}).", "Choose another --host or --port."
        ) from problem
    listening.listen(BACKLOG)  # who comes before the service is open waits instead of failing
    listening.set_inheritable(True)
    return listening


def run(config: ServiceConfig, listening: socket.socket) -> int:
    """Serve until told to stop by SIGTERM or SIGINT; the exit code."""
    raise_file_limit()
    if config.workers == 1:
        return _serve(config, listening)
    return _supervise(config, listening)


def _serve(config: ServiceConfig, listening: socket.socket) -> int:
    with opened(config) as service:
        tune_interpreter()
        server = uvicorn.Server(
            uvicorn.Config(
                create_app(service),
                loop="uvloop",
                http="httptools",
                lifespan="off",
                log_level="warning",
                access_log=False,  # paths hold people's ids
                server_header=False,
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, _heeded)
        server.run(sockets=[listening])
        return 0 if server.started else 1


def _heeded(_: int, __: FrameType | None) -> None:
    """The server sends itself the signal again once it has stopped; what is open must be closed first."""


def _worker(config: ServiceConfig, listening: socket.socket) -> None:
    _end_with_parent()
    try:
        code = _serve(config, listening)
    except EverloopError as problem:
        sys.stderr.write(f"worker {config.worker}: {problem}\n")
        code = 1
    sys.exit(code)


def _end_with_parent() -> None:
    """Be told to stop when the supervisor dies: nobody would start this worker again, or could stop it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _supervise(config: ServiceConfig, listening: socket.socket) -> int:
    """Keep every worker running; one that cannot start ends them all."""
    stopping = threading.Event()

    def stop(_: int, __: FrameType | None) -> None:
        stopping.set()

    for asked in (signal.SIGTERM, signal.SIGINT):
        signal.signal(asked, stop)
    start = _starter(config, listening)
    running = {number: start(number) for number in range(config.workers)}
    code = 0
    while code == 0 and not stopping.wait(_PAUSE_S):
        for number, (process, started) in list(running.items()):
            if process.exitcode is None:
                continue
            if time.monotonic() - started < _SETTLED_S:
                code = 1
            else:
                running[number] = start(number)
    _end([process for process, _ in running.values()])
    return code


def _end(processes: Sequence[SpawnProcess]) -> None:
    alive = [process for process in processes if process.exitcode is None]
    for process in alive:
        process.terminate()
    for process in alive:
        process.join(GRACE_S + 5)
        if process.exitcode is None:
            process.kill()


def _starter(
    config: ServiceConfig, listening: socket.socket
) -> Callable[[int], tuple[SpawnProcess, float]]:
    context = multiprocessing.get_context("spawn")  # threads of a parent don't survive a fork

    def start(number: int) -> tuple[SpawnProcess, float]:
        process = context.Process(
            target=_worker, args=(replace(config, worker=number), listening), daemon=False
        )
        process.start()
        return process, time.monotonic()

    return start


def tune_interpreter() -> None:
    """Set this process's interpreter up for a server: call it once everything is loaded."""
    sys.setswitchinterval(SWITCH_S)
    # What is loaded now stays: the collector need not walk through it for every few hundred events.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GC_THRESHOLDS)


def raise_file_limit() -> None:
    """Each open connection is a file."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
