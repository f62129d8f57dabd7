"""Where a caller wants a file: checked before the work, filled after it."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from everloop.contracts.documents import is_full_disk, write_atomically
from everloop.contracts.errors import EverloopError, ShouldFixArgument, ShouldFreeDisk


def require_place(output: Path, overwrite: bool) -> None:
    """Make sure that a file can be put at ``output``; its folder is made.

    Raises:
        ShouldFixArgument: it is a folder, a file that may not be replaced, or nobody may write there.
    """
    try:
        if output.is_dir():
            raise ShouldFixArgument(f"{output} is a folder.", "Name a file in it.")
        if output.exists() and not overwrite:
            raise ShouldFixArgument(
                f"{output} exists.", "Name another file, or allow it to be replaced (--overwrite)."
            )
        output.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=output.parent, prefix=f".{output.name}."):
            pass
    except OSError as problem:
        raise _refused(output, problem) from problem


def put(file: Path, output: Path) -> Path:
    """Copy a file to ``output``: whoever looks sees what was there before, or the whole file.

    Raises:
        ShouldFixArgument: it cannot be written.
        ShouldFreeDisk: it did not fit.
    """
    half = output.with_name(f".{output.name}.half")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, half)
        half.replace(output)
    except OSError as problem:
        raise _refused(output, problem) from problem
    finally:
        half.unlink(missing_ok=True)
    return output


def put_bytes(data: bytes, output: Path) -> Path:
    """Write bytes to ``output``, as ``put`` copies a file."""
    try:
        return write_atomically(data, output)
    except OSError as problem:
        raise _refused(output, problem) from problem


def _refused(output: Path, problem: OSError) -> EverloopError:
    if is_full_disk(problem):
        return ShouldFreeDisk(f"No room to write {output}.", "Free disk space and ask again.")
    return ShouldFixArgument(
        f"{output} cannot be written ({problem.strerror}).",
        "Name a file in a folder that you may write to.",
    )
