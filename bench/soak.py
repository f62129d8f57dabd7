"""Minutes of steady traffic: does the write-ahead log stay small, does memory stop growing?

    python -m bench.soak [--minutes 10] [--rate 400] [--quick] [--postgresql URL]

Every half minute one line: what was answered, how fast, the resident memory and the size of the log. The
last line is the record: the largest log, and how much memory grew over the second half.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any

import uvloop

from bench.ingest import load
from bench.ingest.running import Running, running
from bench.ingest.traffic import MIX, Traffic
from bench.record import Goal, Spread, record

SEED = 11
CONNECTIONS = 64
LARGEST_WAL_MB = 64.0
LARGEST_GROWTH_MB = 32.0
_KINDS = (*MIX, "decide")


async def soak(server: Running, minutes: float, rate: float, step_s: float) -> list[dict[str, Any]]:
    """One row per step."""
    traffic = Traffic(server.key, SEED, [])
    ids = traffic.new_ids(1000)
    traffic.know(ids)
    address = ("127.0.0.1", server.port)
    await load.closed_loop([traffic.episode_batch(ids)], *address, 1, 60)
    makers = traffic.makers()
    rows: list[dict[str, Any]] = []
    print(f"{'minute':>7}{'answers':>10}{'p50 ms':>9}{'p99 ms':>9}{'memory MiB':>12}{'log MiB':>9}")
    for step in range(max(2, round(minutes * 60 / step_s))):
        requests = [makers[_KINDS[i % len(_KINDS)]]() for i in range(int(rate * step_s))]
        seen = await load.open_loop(requests, *address, CONNECTIONS, rate)
        wrong = set(seen.statuses) - {200, 201}
        if wrong:
            raise RuntimeError(f"The service answered {dict(seen.statuses)}.")
        row = {
            "minute": (step + 1) * step_s / 60,
            "answers": len(seen.latencies),
            "p50_ms": seen.quantile_ms(0.5),
            "p99_ms": seen.quantile_ms(0.99),
            "resident_mb": server.resident_mb(),
            "wal_mb": server.wal_mb(),
        }
        rows.append(row)
        print(
            f"{row['minute']:>7.1f}{row['answers']:>10}{row['p50_ms']:>9.2f}{row['p99_ms']:>9.2f}"
            f"{row['resident_mb']:>12.1f}{row['wal_mb']:>9.1f}",
            flush=True,
        )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=400.0, help="requests a second")
    parser.add_argument("--quick", action="store_true", help="six seconds")
    parser.add_argument("--postgresql", metavar="URL", default="", help="an empty database there")
    options = parser.parse_args()
    minutes, step = (0.1, 2.0) if options.quick else (options.minutes, 30.0)
    with running(options.postgresql) as server:
        rows = uvloop.run(soak(server, minutes, options.rate, step))
    wal = max(row["wal_mb"] for row in rows)
    growth = rows[-1]["resident_mb"] - rows[len(rows) // 2]["resident_mb"]
    goals = [
        Goal("largest_wal_mb", Spread(wal, wal, wal), LARGEST_WAL_MB, "max"),
        Goal("memory_growth_mb", Spread(growth, growth, growth), LARGEST_GROWTH_MB, "max"),
    ]
    print(record("soak", SEED, rows, goals))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
