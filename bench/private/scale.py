"""(d) CPU seconds and peak memory of a whole private release of the user model as people grow in number.

Each size runs in a process of its own: reading nothing, charging everybody in a ledger on disk, fitting,
storing, completing. People and their episodes are made in memory before; what that takes is told beside.
The number of parameters is held, so that people alone grow.
"""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from bench.private.rows import Rows
from bench.record import ROOT

SIZES = (10_000, 20_000, 50_000, 100_000, 200_000)
QUICK_SIZES = (500, 1_000)
EPISODES = 20
PARAMETERS = 300
DAY = date(2026, 6, 1)


@dataclass(frozen=True, slots=True)
class Release:
    """What one release took, in its own process.

    ``cpu_s`` and ``wall_s`` of the whole release, ``reserve_cpu_s`` of these in the ledger;
    ``peak_mb`` of the process, ``people_mb`` before the release began.
    """

    size: int
    episodes: int
    parameters: int
    cpu_s: float
    wall_s: float
    reserve_cpu_s: float
    peak_mb: float
    people_mb: float


def measure(people: int, seed: int, rows: Rows) -> dict[str, Any]:
    """The row of a size, from the cache where it was measured before."""
    key = {"people": people, "seed": seed, "episodes": EPISODES, "parameters": PARAMETERS}
    known = rows.known("scale", key)
    if known is not None:
        return known
    command = [sys.executable, "-m", "bench.private.scale", str(people), str(seed)]
    done = subprocess.run(command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE)
    found: Mapping[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return rows.keep("scale", key, {"system": "private release", "seed": seed, **found})


def summary(rows: list[dict[str, Any]]) -> str:
    """A table, and by which power of the people CPU seconds grow."""
    lines = [
        f"{'people':>10}{'CPU s':>10}{'ledger s':>10}{'wall s':>10}{'peak MB':>10}{'people MB':>11}",
        *(
            f"{row['size']:>10,}{row['cpu_s']:>10.1f}{row['reserve_cpu_s']:>10.1f}"
            f"{row['wall_s']:>10.1f}{row['peak_mb']:>10.0f}{row['people_mb']:>11.0f}"
            for row in rows
        ),
    ]
    if len(rows) > 1:
        first, last = rows[0], rows[-1]
        power = math.log(last["cpu_s"] / first["cpu_s"]) / math.log(last["size"] / first["size"])
        lines.append(f"CPU seconds grow as people to the power {power:.2f}")
    return "\n".join(lines)


class _Clock:
    def now(self) -> datetime:
        return datetime(2026, 6, 1, tzinfo=UTC)


def release_once(people: int, seed: int, folder: Path) -> Release:
    """Make people and release their user model."""
    from bench.private.living import LivingTerms, LivingWorld  # noqa: PLC0415
    from bench.private.users import Terms, loop_for  # noqa: PLC0415
    from everloop.privacy.ledger import Ledger  # noqa: PLC0415
    from everloop.storage.local.blobs import LocalBlobStore  # noqa: PLC0415
    from everloop.storage.sql.engine import open_workspace_database  # noqa: PLC0415
    from everloop.storage.sql.ledger_store import SqlLedgerStore  # noqa: PLC0415
    from rl.encoders import layout  # noqa: PLC0415
    from synthetic.user_model import release_user_model  # noqa: PLC0415
    from synthetic.user_model.private_fit import private_fit  # noqa: F401, PLC0415 - no part of a release

    spec = loop_for(Terms(people, EPISODES, seed))
    held = spec.privacy.model_copy(update={"max_parameters": PARAMETERS})
    spec = spec.model_copy(update={"privacy": held})
    world = LivingWorld(spec, LivingTerms(people, 0, EPISODES, seed))
    world.fill()
    episodes = world.episodes()
    del world
    reserving = 0.0

    class Timed(Ledger):
        def reserve(self, *arguments: Any, **named: Any) -> Any:
            nonlocal reserving
            began = time.process_time()
            made = super().reserve(*arguments, **named)
            reserving = time.process_time() - began
            return made

    store = SqlLedgerStore(open_workspace_database(folder / "state.db"))
    ledger = Timed(store, bytes(32), _Clock())
    before = _peak_mb()
    wall, cpu = time.perf_counter(), time.process_time()
    _, note = release_user_model(
        spec,
        episodes,
        ledger,
        LocalBlobStore(folder / "blobs"),
        DAY,
        "d" * 64,
        "scale/default",
        folder / "out",
        layout=layout(spec),
    )
    return Release(
        size=people,
        episodes=EPISODES,
        parameters=note.parameters,
        cpu_s=time.process_time() - cpu,
        wall_s=time.perf_counter() - wall,
        reserve_cpu_s=reserving,
        peak_mb=_peak_mb(),
        people_mb=before,
    )


def _peak_mb() -> float:
    """Largest resident set since this program began, MiB.

    ``getrusage`` would count what the process that started it held.
    """
    told = Path("/proc/self/status").read_text()
    return float(told.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    people, seed = (int(argument) for argument in sys.argv[1:3])
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(asdict(release_once(people, seed, Path(folder)))))


if __name__ == "__main__":
    main()
