"""``everloop doctor``: is this machine and this workspace fit to run?"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from everloop.cli.output import Home, Json, print_json, print_table
from everloop.contracts.errors import EverloopError, ShouldFreeDisk, ShouldInitWorkspace

MIN_FREE_GIB = 2.0
PACKAGES = ("torch", "ray", "kfp", "opacus", "onnxruntime", "duckdb", "great_expectations")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: ``ok`` and what was seen, or what to do. ``warning``: it works, and has a risk
    that ``seen`` names."""

    check: str
    ok: bool
    seen: str
    warning: bool = False


class _Risk(Exception):
    """What works, and should be otherwise where it matters."""


def doctor(home: Home = None, as_json: Json = False) -> None:
    """Check Python, packages, disk, secrets, storage, database, privacy ledger and its journal, voices.

    1 names what to fix; `warn` names a risk that you may accept.
    """
    checks: dict[str, Callable[[str | None], str]] = {
        "python": lambda _: platform.python_version(),
        "packages": _packages,
        "cores": lambda _: f"{os.cpu_count()} cores",
        "workspace": _workspace,
        "disk": _disk,
        "storage": _storage,
        "database": _database,
        "privacy ledger": _ledger,
        "spending journal": _journal,
        "bigquery": _bigquery,
        "voices": _voices,
    }
    findings = [_look(name, check, home) for name, check in checks.items()]
    if as_json:
        print_json(findings)
    else:
        rows = [(_label(f), f.check, f.seen) for f in findings]
        print_table("", ("", "check", "seen"), rows)
    if not all(finding.ok for finding in findings):
        sys.exit(1)


def _look(name: str, check: Callable[[str | None], str], home: str | None) -> Finding:
    try:
        return Finding(name, True, check(home))
    except _Risk as risk:
        return Finding(name, True, str(risk), warning=True)
    except (EverloopError, PackageNotFoundError, OSError) as problem:
        return Finding(name, False, str(problem))
    except Exception as problem:  # whatever is broken is what a doctor is asked about
        return Finding(name, False, f"{type(problem).__name__}: {problem}")


def _label(finding: Finding) -> str:
    if not finding.ok:
        return "FIX"
    return "warn" if finding.warning else "ok"


def _packages(_: str | None) -> str:
    return ", ".join(f"{name} {version(name)}" for name in PACKAGES)


def _workspace(home: str | None) -> str:
    from everloop import settings

    found = settings.read(home)
    mode = (found.home / settings.SECRETS_FILE).stat().st_mode & 0o077
    if mode:
        raise ShouldInitWorkspace(
            f"{found.home / settings.SECRETS_FILE} can be read by others.", "Run chmod 600 on it."
        )
    return str(found.home)


def _disk(home: str | None) -> str:
    from everloop import settings

    place = Path(home) if home else settings.default_home()
    free = shutil.disk_usage(place if place.exists() else Path.cwd()).free / 2**30
    if free < MIN_FREE_GIB:
        raise ShouldFreeDisk(f"{free:.1f} GiB are free.", f"Keep {MIN_FREE_GIB:g} GiB free.")
    return f"{free:.0f} GiB free"


def _storage(_: str | None) -> str:
    from everloop import wiring

    return wiring.look_at_storage()


def _database(home: str | None) -> str:
    from everloop.storage.sql.engine import database_name, verify_pages
    from everloop.wiring import open_workspace

    place = open_workspace(home)
    verify_pages(place.engine)
    return f"{len(place.runs.runs(None, 1000))} runs in {database_name(place.engine)}"


def _ledger(home: str | None) -> str:
    from everloop.wiring import open_workspace

    return f"{open_workspace(home).ledger.verify()} rows verify"


def _journal(home: str | None) -> str:
    from everloop import settings
    from everloop.storage.local.journal import FolderJournal
    from everloop.storage.sql.engine import is_postgresql
    from everloop.wiring import open_workspace

    workspace = open_workspace(home)
    place = settings.ledger_journal(workspace.home)
    if not isinstance(place, Path):
        return f"gs://{place.name}/{place.prefix}".rstrip("/")
    FolderJournal(place).require_links()
    if not is_postgresql(workspace.engine) and _disk_of(place) == _disk_of(workspace.home):
        raise _Risk(
            f"{place} is on the database's disk: a snapshot of it that is put back forgets what was spent "
            "since, and a copy of all of it spends the budget twice; nothing notices either. Name another "
            "disk or a bucket in EVERLOOP_LEDGER_JOURNAL, and move the journal there."
        )
    return str(place)


def _disk_of(place: Path) -> int:
    while not place.exists():
        place = place.parent
    return place.stat().st_dev


def _voices(home: str | None) -> str:
    from everloop.storage.sql.engine import reading
    from everloop.storage.sql.voice_versions import to_forget
    from everloop.wiring import open_workspace

    with reading(open_workspace(home).engine) as connection:
        found = to_forget(connection)
    if not found:
        return "none has anybody to forget"
    told = "; ".join(
        f"{one.persona} version {one.version_number} (tenant {one.tenant}) learned from "
        f"{one.forgets:,} examples of people erased since"
        for one in found
    )
    raise _Risk(f"{told}. Run everloop run voice: it begins anew, without them.")


def _bigquery(_: str | None) -> str:
    from everloop.wiring import look_at_bigquery

    return look_at_bigquery()
