"""Rate limits: token buckets per tenant and per session, in this process."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from everloop.contracts.errors import ShouldFixArgument, ShouldSlowDown
from everloop.serving.configuration import ServiceConfig

MOST_SESSIONS = 65_536
"""Sessions of one tenant that may be under way at once, in buckets that aren't full again."""

_SLACK_S = 1e-6  # more than rounding can lose: who waits as told is admitted
_SWEEP = 2  # more than the one that a request can add, so that idle buckets drain


@dataclass(slots=True)
class _Bucket:
    tokens: float
    at: float


class TokenBuckets:
    """Buckets by name: each admits ``burst`` at once and ``per_second`` in the long run.

    Memory is bounded: a full bucket is as good as none, so the longest unused are dropped once they
    are full, and when ``most`` are not full a new name has to wait.

    Args:
        what: names the limit in errors.
        per_second: tokens that come back per second, > 0.
        burst: tokens of a full bucket, > 0.
        most: buckets kept at once, ≥ 1.
        monotonic: seconds of a clock that never steps back.
    """

    def __init__(
        self,
        what: str,
        per_second: float,
        burst: float,
        most: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._what = what
        self._per_second = per_second
        self._burst = burst
        self._most = most
        self._monotonic = monotonic
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, name: str, tokens: float = 1.0) -> None:
        """Take tokens from a bucket, or none.

        Raises:
            ShouldSlowDown: too few are left; ``retry_after`` is when there are enough.
            ShouldFixArgument: a full bucket would hold too few.
        """
        self.take_all({name: tokens})

    def take_all(self, wanted: Mapping[str, float]) -> None:
        """Take so many tokens from each named bucket, or none from any; raises as ``take`` does."""
        most = max(wanted.values(), default=0.0)
        if most > self._burst:
            raise ShouldFixArgument(
                f"{most:g} records in one request pass the {self._what} of {self._burst:g} at once.",
                f"Send at most {int(self._burst)} in a request.",
            )
        if len(wanted) > self._most:
            raise ShouldFixArgument(
                f"One request names {len(wanted)} of what the {self._what} counts apart.",
                f"Send at most {self._most} in a request.",
            )
        with self._lock:
            short = self._take(wanted, self._monotonic())
        if short > 0.0:
            raise ShouldSlowDown(
                f"The {self._what} of {self._per_second:g} per second and {self._burst:g} at once "
                "is met.",
                f"Wait {short:.3g} s and send it again.",
                retry_after=short,
            )

    def _take(self, wanted: Mapping[str, float], now: float) -> float:
        """Take from every bucket, or from none; seconds until all have enough, 0 when they had."""
        wait = 0.0
        found: dict[str, _Bucket] = {}
        for name, tokens in wanted.items():
            bucket = self._buckets.get(name)
            if bucket is None:
                room = self._make_room(now)
                if room > 0.0:
                    return max(wait, room)
                bucket = self._buckets[name] = _Bucket(self._burst, now)
            else:
                self._buckets.move_to_end(name)
                bucket.tokens = self._level(bucket, now)
                bucket.at = max(bucket.at, now)
            found[name] = bucket
            if bucket.tokens < tokens:
                wait = max(wait, (tokens - bucket.tokens) / self._per_second + _SLACK_S)
        if wait == 0.0:
            for name, bucket in found.items():
                bucket.tokens -= wanted[name]
                self._buckets[name] = bucket  # a full one may have made room for the next
        return wait

    def _level(self, bucket: _Bucket, now: float) -> float:
        gained = max(0.0, now - bucket.at) * self._per_second
        return min(self._burst, bucket.tokens + gained)

    def _make_room(self, now: float) -> float:
        """Drop idle buckets; seconds until there is room, 0 when there is."""
        for _ in range(_SWEEP):
            if not self._buckets:
                return 0.0
            name, oldest = next(iter(self._buckets.items()))
            missing = self._burst - self._level(oldest, now)
            if missing > 0.0:
                break
            del self._buckets[name]
        if len(self._buckets) < self._most:
            return 0.0
        return missing / self._per_second + _SLACK_S


class RateLimits:
    """The limits of a service's tenants and of their sessions.

    Args:
        config: rates and bursts.
        monotonic: seconds of a clock that never steps back.
    """

    def __init__(
        self, config: ServiceConfig, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._config = config
        self._monotonic = monotonic
        self._tenants = TokenBuckets(
            "rate limit of the tenant",
            config.requests_per_second,
            config.request_burst,
            MOST_SESSIONS,
            monotonic,
        )
        self._sessions: dict[str, TokenBuckets] = {}

    def admit(self, tenant: str, records: int = 1) -> None:
        """Count ``records`` (≥ 1; a request without any counts one) against the tenant's limit.

        Raises:
            ShouldSlowDown: the limit is met; ``retry_after`` says when they fit.
            ShouldFixArgument: they never fit.
        """
        self._tenants.take(tenant, max(1, records))

    def admit_sessions(self, tenant: str, records: Mapping[str, int]) -> None:
        """Count feedback against its sessions' limits, all or none; raises as ``admit`` does.

        ``records``: session -> how much of it a request carries.

        A tenant that opens too many sessions at once makes its own new sessions wait, nobody else's.
        """
        sessions = self._sessions.get(tenant)
        if sessions is None:
            sessions = self._sessions.setdefault(
                tenant,
                TokenBuckets(
                    "rate limit of the session",
                    self._config.session_per_second,
                    self._config.session_burst,
                    MOST_SESSIONS,
                    self._monotonic,
                ),
            )
        sessions.take_all(records)
