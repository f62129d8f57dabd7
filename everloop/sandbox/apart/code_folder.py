"""Which code the sandbox may import: what its parent can, without whatever else lies beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path


def linked(folder: Path, paths: Iterable[str] | None = None) -> tuple[Path, ...]:
    """Fill a folder with links to the packages and modules of this process' own places of code.

    Places inside the Python installation are left out: they are readable as a whole. A place such as a
    checkout may hold a workspace with keys beside its packages, so only what can be imported is linked.

    Args:
        folder: made here; the sandbox has it first on its path.
        paths: places; None: ``sys.path``.

    Returns:
        what the links lead to.
    """
    folder.mkdir()
    installed = [Path(each).resolve() for each in (sys.prefix, sys.base_prefix)]
    found: dict[str, Path] = {}
    for text in sys.path if paths is None else paths:
        place = (Path(text) if text else Path.cwd()).resolve()
        if not place.is_dir() or any(place.is_relative_to(each) for each in installed):
            continue
        for each in sorted(place.iterdir()):
            if each.name not in found and _importable(each):
                found[each.name] = each
    for name, each in found.items():
        (folder / name).symlink_to(each)
    return tuple(found.values())


def _importable(path: Path) -> bool:
    if path.is_dir():
        return path.name.isidentifier() and next(path.glob("*.py"), None) is not None
    return path.suffix == ".py" and path.stem.isidentifier()
