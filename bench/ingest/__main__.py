"""Sustained rates and latencies of the HTTP service, from a load generator in a second process.

    python -m bench.ingest [--quick] [--rounds 3] [--seconds 8] [--postgresql URL]

Loopback, keep-alive, every 201 on disk and validated against the companion loop; contexts hold 128
numbers that are encrypted. One round measures, interleaved: a route that does nothing, single rewards,
single episodes, three rewards to an episode (a decision of this loop has up to three signals), and
batches. Then decisions at 500 a second beside ingest at half its rate, and 10,000 open connections.

``bare`` is declared to the framework as anybody would; ``bare, fast lane`` skips the framework as the
hot routes do. The goal is the mixed rate over ``bare``; the other share is printed beside it.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import resource
import sys
from collections.abc import Sequence
from typing import Any

import uvloop

from bench.ingest import load
from bench.ingest.running import Running, running
from bench.ingest.traffic import MIX, Traffic
from bench.record import Goal, Spread, ratios, record, spread

SEED = 7
CONNECTIONS = 256
"""Enough that a commit's latency does not keep the server waiting for work."""
BATCH_EPISODES = 250
BATCH_CLIENTS = 4
DECIDES_PER_SECOND = 500
MANY_CONNECTIONS = 10_000
SINGLE = ("bare", "bare, fast lane", "reward", "episode", "mix")

Row = dict[str, Any]


class Bench:
    """One server and the traffic for it."""

    def __init__(self, server: Running, system: str, options: argparse.Namespace) -> None:
        self._server = server
        self._system = system
        self._options = options
        self._traffic = Traffic(server.key, SEED, [])
        self._makers = self._traffic.makers()
        self.rows: list[Row] = []
        self.measured: dict[str, list[float]] = {}

    async def run(self) -> None:
        await self._prepare()
        for number in range(self._options.rounds):
            for kind in SINGLE:
                await self._single(kind, number)
            await self._batch(number)
        ingest = spread(self.measured["mix"]).value / 2
        await self._decide_beside_ingest(ingest)
        await self._many_connections()

    async def _prepare(self) -> None:
        ids = self._traffic.new_ids(1000)
        self._traffic.know(ids)
        seen = await load.closed_loop(
            [self._traffic.episode_batch(ids)], "127.0.0.1", self._server.port, 1, 60
        )
        _all_stored(seen)
        for kind in SINGLE:  # warm
            await self._closed(self._requests(kind, 2000), CONNECTIONS)

    def _requests(self, kind: str, count: int) -> list[bytes]:
        if kind == "mix":
            return [self._makers[MIX[i % len(MIX)]]() for i in range(count)]
        return [self._makers[kind]() for _ in range(count)]

    async def _closed(self, requests: Sequence[bytes], connections: int) -> load.Seen:
        return await load.closed_loop(
            requests, "127.0.0.1", self._server.port, connections, self._options.seconds
        )

    async def _single(self, kind: str, number: int) -> None:
        requests = self._requests(kind, int(self._options.seconds * 15_000))
        before = self._server.cpu_seconds()
        seen = await self._closed(requests, CONNECTIONS)
        cpu = self._server.cpu_seconds() - before
        _all_stored(seen)
        self._note(kind, number, seen.rate, cpu_us=cpu / len(seen.latencies) * 1e6, seen=seen)

    async def _batch(self, number: int) -> None:
        batches, events = [], 0
        for _ in range(max(2, int(self._options.seconds * 30_000 / (4 * BATCH_EPISODES)))):
            ids = self._traffic.new_ids(BATCH_EPISODES)
            batches.append((self._traffic.episode_batch(ids), self._traffic.reward_batch(ids)))
            events += 4 * BATCH_EPISODES
        before = self._server.cpu_seconds()
        # Rewards follow their episodes: each client sends in its own order.
        parts = [batches[start::BATCH_CLIENTS] for start in range(BATCH_CLIENTS)]
        started = asyncio.get_running_loop().time()
        seen = await asyncio.gather(
            *(self._closed([request for pair in part for request in pair], 1) for part in parts)
        )
        seconds = asyncio.get_running_loop().time() - started
        done = 0
        for one in seen:
            _all_stored(one)
            full, rest = divmod(len(one.latencies), 2)
            done += full * 4 * BATCH_EPISODES + rest * BATCH_EPISODES
        cpu = self._server.cpu_seconds() - before
        self._note("batch", number, done / seconds, cpu_us=cpu / done * 1e6, seen=seen[0])

    async def _decide_beside_ingest(self, ingest_rate: float) -> None:
        seconds = self._options.seconds
        decides = self._requests("decide", int(DECIDES_PER_SECOND * seconds))
        events = self._requests("mix", int(ingest_rate * seconds))
        decided, _ = await asyncio.gather(
            load.open_loop(decides, "127.0.0.1", self._server.port, 64, DECIDES_PER_SECOND),
            load.open_loop(events, "127.0.0.1", self._server.port, 64, ingest_rate),
        )
        _all_stored(decided, 200)
        self._note("decide beside ingest", 0, decided.rate, seen=decided, beside=ingest_rate)

    async def _many_connections(self) -> None:
        """Mixed routes at a tenth of the sustained rate, spread over every connection."""
        connections = self._options.connections
        rate = spread(self.measured["mix"]).value / 5
        kinds = [*MIX, "decide"]
        count = max(connections, int(rate * self._options.seconds))
        requests = [self._makers[kinds[i % len(kinds)]]() for i in range(count)]
        seen = await load.open_loop(requests, "127.0.0.1", self._server.port, connections, rate)
        _all_stored(seen, 200, 201)
        self._note(
            f"{connections} connections",
            0,
            seen.rate,
            seen=seen,
            resident_mb=self._server.resident_mb(),
        )

    def _note(
        self, kind: str, number: int, per_second: float, seen: load.Seen, **more: float
    ) -> None:
        row: Row = {
            "system": self._system,
            "kind": kind,
            "round": number,
            "n": len(seen.latencies),
            "per_second": per_second,
            "p50_ms": seen.quantile_ms(0.5),
            "p99_ms": seen.quantile_ms(0.99),
            **more,
        }
        self.rows.append(row)
        self.measured.setdefault(kind, []).append(per_second)
        extra = "".join(f"  {name} {value:.1f}" for name, value in more.items())
        print(
            f"{self._system:<11}{kind:<22}{per_second:>9.0f}/s  p50 {row['p50_ms']:7.2f} ms  "
            f"p99 {row['p99_ms']:7.2f} ms{extra}",
            flush=True,
        )

    def latest(self, kind: str, figure: str) -> float:
        return float(next(row[figure] for row in reversed(self.rows) if row["kind"] == kind))


def _all_stored(seen: load.Seen, *expected: int) -> None:
    wrong = set(seen.statuses) - set(expected or (201,))
    if wrong:
        raise RuntimeError(f"The service answered {dict(seen.statuses)}; nothing was measured.")


def _goals(bench: Bench, connections: int) -> list[Goal]:
    def one(value: float) -> Spread:
        return Spread(value, value, value)

    many = f"{connections} connections"
    name = "p99_ms_10k_connections" if connections == MANY_CONNECTIONS else f"p99_ms_{many}"
    measured = bench.measured
    return [
        Goal("rate_share_of_bare", ratios(measured["mix"], measured["bare"]), 0.65, "min"),
        Goal("batch_events_per_s", spread(measured["batch"]), 25_000, "min"),
        Goal("decide_p99_ms", one(bench.latest("decide beside ingest", "p99_ms")), 10, "max"),
        Goal(name.replace(" ", "_"), one(bench.latest(many, "p99_ms")), 100, "max"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="one short round, 200 connections")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each measurement")
    parser.add_argument("--connections", type=int, default=MANY_CONNECTIONS)
    parser.add_argument("--postgresql", metavar="URL", help="measure an empty database there too")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.connections = 1, 1.0, 200
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    rows: list[Row] = []
    goals: list[Goal] = []
    for system, url in (("sqlite", ""), ("postgresql", options.postgresql)):
        if url is None:
            continue
        with running(url) as server:
            bench = Bench(server, system, options)
            uvloop.run(bench.run())
        rows.extend(bench.rows)
        shares = {
            against: ratios(bench.measured["mix"], bench.measured[against])
            for against in ("bare", "bare, fast lane")
        }
        for against, share in shares.items():
            print(
                f"{system}: mix over {against}: {share.value:.2f} [{share.low:.2f}, {share.high:.2f}]"
            )
        goals = goals or _goals(bench, options.connections)
    with contextlib.suppress(BrokenPipeError):
        print(record("ingest", SEED, rows, goals))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
