"""API keys as the hot path sees them: read at most once in two seconds."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from fastapi.concurrency import run_in_threadpool

from everloop.contracts.access import ApiKey, Caller
from everloop.contracts.ports import Clock
from everloop.contracts.service_ports import KeyStore
from everloop.serving.access.credentials import fits, key_id_of

FRESH_S = 2.0
"""How long a key that was revoked may still work."""

_RENEW_AFTER_S = 1.0  # in the background, so that no request waits for it
_MOST_KEYS = 10_000
_MOST_STRANGERS = (
    4  # readers that ids nobody has used yet may occupy: guessing must not starve others
)


@dataclass(frozen=True, slots=True)
class _Known:
    record: ApiKey
    caller: Caller
    read_at: float


class KeyRecords:
    """Finds the caller of a key's text.

    Args:
        keys: where the keys are.
        clock: says what has expired.
        monotonic: seconds of a clock that never steps back; says how old a record is.
    """

    def __init__(
        self, keys: KeyStore, clock: Clock, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._monotonic = monotonic
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._reads: dict[str, asyncio.Task[_Known | None]] = {}
        self._strangers = asyncio.Semaphore(_MOST_STRANGERS)

    async def caller(self, presented: str) -> Caller | None:
        """Whose key it is; ``None`` when it is unknown, expired or revoked."""
        key_id = key_id_of(presented)
        if key_id is None:
            return None
        known = self._known.get(key_id)
        age = FRESH_S if known is None else self._monotonic() - known.read_at
        if known is None or age >= FRESH_S:
            known = await asyncio.shield(self._reading(key_id))
        elif age >= _RENEW_AFTER_S:
            self._reading(key_id)
        if known is None or not fits(presented, known.record):
            return None
        expires_at = known.record.expires_at
        if expires_at is not None and self._clock.now() >= expires_at:
            return None
        return known.caller

    def _reading(self, key_id: str) -> asyncio.Task[_Known | None]:
        """The read of a key that is under way, or a new one: one for all who wait."""
        task = self._reads.get(key_id)
        loop = asyncio.get_running_loop()
        if task is None or task.done() or task.get_loop() is not loop:
            task = loop.create_task(self._read(key_id))
            task.add_done_callback(lambda done: self._forget(key_id, done))
            self._reads[key_id] = task
        return task

    def _forget(self, key_id: str, task: asyncio.Task[_Known | None]) -> None:
        if self._reads.get(key_id) is task:
            del self._reads[key_id]
        if not task.cancelled():
            # Whoever waits raises it; a failed renewal is retried by the next request.
            task.exception()

    async def _read(self, key_id: str) -> _Known | None:
        read_at = self._monotonic()
        if key_id in self._known:
            record = await run_in_threadpool(self._keys.key, key_id)
        else:
            async with self._strangers:
                read_at = self._monotonic()
                record = await run_in_threadpool(self._keys.key, key_id)
        if record is None or record.revoked_at is not None:
            self._known.pop(key_id, None)
            return None
        caller = Caller(f"key:{key_id}", record.tenant, frozenset(record.scopes))
        known = self._known[key_id] = _Known(record, caller, read_at)
        self._known.move_to_end(key_id)
        if len(self._known) > _MOST_KEYS:
            self._known.popitem(last=False)
        return known
