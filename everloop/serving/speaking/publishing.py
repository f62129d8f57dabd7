"""A service says what it speaks with, so that a sandbox elsewhere can tell whether it tries the same."""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable

from everloop.contracts.errors import EverloopError
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.sandboxes import SAID_EVERY, VoiceConfiguration, VoiceOpening
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_ports import VoiceStore
from everloop.loops.sections import voice_text

EVERY = SAID_EVERY.total_seconds()
"""Seconds after which it is said again, where the voice is still asked."""
_LOG = logging.getLogger(__name__)


def running_configuration(loop: LoopSpec, base: BaseFolder) -> VoiceConfiguration:
    """What a service that opens a loop's voice now speaks with for as long as it runs."""
    from everloop.opened_voice import service_configuration  # noqa: PLC0415  # loads torch
    from everloop.sandbox.drift import lasting  # noqa: PLC0415  # with it

    return lasting(service_configuration(VoiceOpening(voice_text(loop), base)))


class Publishing:
    """Says so when a voice is first asked, and every hour in which it is, until it is closed. Thread-safe.

    Args:
        store: where it is said.
        clock: seconds that only grow.
    """

    def __init__(self, store: VoiceStore, clock: Callable[[], float] = time.monotonic) -> None:
        self._store, self._clock = store, clock
        self._instance = f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"
        self._lock = threading.Lock()
        self._said: dict[tuple[str, str], float] = {}
        self._closed = False

    def say(self, loop: str, tenant: str, configuration: VoiceConfiguration) -> None:
        """Say it where it is due. A store that does not answer is asked again an hour later: answers do not
        wait for it."""
        key, now = (tenant, loop), self._clock()
        with self._lock:
            if self._closed or now - self._said.get(key, -EVERY) < EVERY:
                return
            self._said[key] = now
        try:
            self._store.publish(loop, self._instance, configuration, tenant)
        except EverloopError as problem:
            _LOG.warning("What the voice of %s speaks with is not said: %s", loop, problem.message)

    def close(self) -> None:
        """Take back what was said: no sandbox is to be compared with what does not run any more."""
        with self._lock:
            said, self._closed = bool(self._said), True
        if not said:
            return
        try:
            self._store.withdraw(self._instance)
        except EverloopError as problem:
            _LOG.warning(
                "What %s spoke with is not taken back: %s", self._instance, problem.message
            )
