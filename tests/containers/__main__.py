"""``make test-containers``: an engine, the base, the tests in ``tests/containers``, and nothing left.

Exit codes: pytest's own, or 77 where this machine cannot run containers; the reason is printed.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.containers.engine import CouldNotRun, engine, make_base, require

NOT_RUN = 77
ROOT = Path(__file__).resolve().parents[2]


def _end(number: int, _: object) -> None:
    raise SystemExit(128 + number)


def main() -> int:
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGHUP, _end)
    try:
        require()
        started = time.perf_counter()
        with engine() as found:
            make_base(found)
            print(f"an engine and a base, in {time.perf_counter() - started:.0f} s", flush=True)
            told = {"EVERLOOP_TEST_ENGINE": str(found.folder), "DOCKER_HOST": found.address}
            command = [sys.executable, "-m", "pytest", "-m", "containers", "-s", "tests/containers"]
            with subprocess.Popen(
                [*command, *sys.argv[1:]], cwd=ROOT, env={**os.environ, **told}
            ) as tests:
                try:
                    return tests.wait()
                except BaseException:
                    tests.terminate()
                    raise
    except CouldNotRun as reason:
        print(f"NOT RUN: the tests in containers, since {reason}.", file=sys.stderr)
        return NOT_RUN


if __name__ == "__main__":
    sys.exit(main())
