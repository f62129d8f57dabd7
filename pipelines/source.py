"""The checksum of our own code: part of every cache key, since kfp's key ignores the package."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

PACKAGES = ("everloop", "rl", "synthetic", "components", "pipelines")
SUFFIXES = frozenset({".py", ".sql", ".yaml", ".j2", ".html", ".css"})


@cache
def code_sha256() -> str:
    """SHA-256 over the names and contents of our packages' source files, in sorted order."""
    total = hashlib.sha256()
    for package in PACKAGES:
        found = find_spec(package)
        roots = list(found.submodule_search_locations or []) if found else []
        for root in map(Path, roots):
            for path in sorted(p for p in root.rglob("*") if p.suffix in SUFFIXES):
                total.update(f"{package}/{path.relative_to(root).as_posix()}\0".encode())
                total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()
