"""Make ``.venv-bigquery``: the BigQuery emulator's own environment, on a Python that has it.

The emulator wants Python 3.13 or later, everloop runs on 3.11. Its DuckDB is the one that everloop
uses, with the extensions from wheels, since the machine may reach no other place. Standard library
alone: ``make bigquery-emulator`` runs it with any Python 3.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENT = ROOT / ".venv-bigquery"
HOME = ENVIRONMENT / "home"
"""The home folder that the emulator's DuckDB finds its extensions in."""

_READY = ENVIRONMENT / ".ready"
_EXTENSIONS = ("icu", "ducklake", "spatial", "httpfs")
_DUCKDB = "1.5.5"
_EMULATOR = "local-bigquery==0.4.0"
# The emulator's own requirements, but for DuckDB: it asks for one that is not published.
_PACKAGES = (
    f"duckdb=={_DUCKDB}",
    *(f"duckdb-extension-{name}=={_DUCKDB}" for name in _EXTENSIONS),
    "fastapi==0.165.0",
    "fastavro==1.13.1",
    "google-cloud-bigquery-storage==2.43.0",
    "grpcio==1.85.1",
    "mini-racer==0.14.1",
    "numpy==2.5.5",
    "prompt-toolkit==3.0.53",
    "pyarrow==26.0.1",
    "pydantic-settings==2.16.3",
    "pygments==2.21.0",
    "sqlglot==30.30.0",
    "uvicorn==0.54.0",
)
_PLACE_EXTENSIONS = """
import pathlib, shutil, sys, duckdb
platform = duckdb.sql("PRAGMA platform").fetchone()[0]
wheels = pathlib.Path(duckdb.__file__).parent.parent
target = pathlib.Path(sys.argv[1]) / ".duckdb" / "extensions" / f"v{duckdb.__version__}" / platform
target.mkdir(parents=True, exist_ok=True)
for found in wheels.glob("duckdb_extension_*/extensions/*/*.duckdb_extension"):
    shutil.copy(found, target)
"""


def interpreter() -> Path | None:
    """The Python that has the emulator, once ``make bigquery-emulator`` has made its environment."""
    python = ENVIRONMENT / "bin" / "python"
    return python if _READY.exists() and python.exists() else None


def _pythons() -> Iterator[str]:
    """Interpreters of this machine that may be new enough, the plainest first."""
    for name in ("python3.13", "python3.14", "python3"):
        if found := shutil.which(name):
            yield found
    for found in sorted(Path.home().glob(".pyenv/versions/3.1[3-9]*/bin/python"), reverse=True):
        yield str(found)
    if uv := shutil.which("uv"):
        answer = subprocess.run(
            [uv, "python", "find", ">=3.13"], capture_output=True, text=True, check=False
        )
        if answer.returncode == 0:
            yield answer.stdout.strip()


def _is_new_enough(python: str) -> bool:
    asked = "import sys; sys.exit(sys.version_info < (3, 13))"
    return subprocess.run([python, "-c", asked], capture_output=True, check=False).returncode == 0


def main() -> int:
    """Make the environment; 1 and a plain sentence where there is no Python for it."""
    wanted = "\n".join((_EMULATOR, *_PACKAGES))
    if _READY.exists() and _READY.read_text() == wanted:
        print("The BigQuery emulator is installed.")
        return 0
    python = next((one for one in _pythons() if _is_new_enough(one)), None)
    if python is None:
        print(
            "There is no Python 3.13 here (looked for python3.13, ~/.pyenv/versions and uv): the "
            "BigQuery emulator needs one. Install it (pyenv install 3.13) and run "
            "make bigquery-emulator again; until then its tests are skipped."
        )
        return 1
    print(f"== setting up {ENVIRONMENT.name} with {python}")
    _READY.unlink(missing_ok=True)
    subprocess.run([python, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
    inside = str(ENVIRONMENT / "bin" / "python")
    pip = [inside, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *_PACKAGES], check=True)
    subprocess.run([*pip, "--no-deps", _EMULATOR], check=True)
    subprocess.run([inside, "-c", _PLACE_EXTENSIONS, str(HOME)], check=True)
    _READY.write_text(wanted)
    return 0


if __name__ == "__main__":
    sys.exit(main())
