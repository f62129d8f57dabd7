"""What the environment says: the only module that reads it.

========================  =====================================================================
``EVERLOOP_HOME``         the workspace folder (default ``.everloop`` in the working directory)
``EVERLOOP_PSEUDONYM_KEY``  at least 32 bytes as hex; people's ids are hashed with it
``EVERLOOP_LEDGER_KEY``   at least 32 bytes as hex; commits the privacy ledger to its people
========================  =====================================================================

On a laptop ``everloop init`` writes the two keys to ``secrets.env`` in the workspace, readable by its
owner alone; variables of the environment win over that file. ``keys.sha256`` beside it tells whether the
keys are still the ones that the workspace's people and budgets were recorded with.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from everloop.contracts import documents
from everloop.contracts.errors import ShouldInitWorkspace, ShouldProvideKey

HOME_VARIABLE = "EVERLOOP_HOME"
PSEUDONYM_KEY = "EVERLOOP_PSEUDONYM_KEY"
LEDGER_KEY = "EVERLOOP_LEDGER_KEY"
SECRETS_FILE = "secrets.env"
FINGERPRINT_FILE = "keys.sha256"
DATABASE_FILE = "state.db"
MIN_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the workspace is and the secrets it needs; secrets never show in ``repr``."""

    home: Path
    pseudonym_key: bytes = field(repr=False)
    ledger_key: bytes = field(repr=False)


def default_home() -> Path:
    """The workspace folder that the environment names, absolute."""
    return Path(os.environ.get(HOME_VARIABLE, ".everloop")).absolute()


def read(home: Path | str | None = None) -> Settings:
    """Settings of an existing workspace.

    Raises:
        ShouldInitWorkspace: there is none at ``home``.
        ShouldProvideKey: a key is missing, not hexadecimal, too short, or not the one that the
            workspace was made with.
    """
    folder = Path(home).absolute() if home else default_home()
    if not folder.is_dir():
        raise ShouldInitWorkspace(
            f"There is no workspace at {folder}.", "Run `everloop init`, or set EVERLOOP_HOME."
        )
    stored = _read_secrets(folder / SECRETS_FILE)
    used = (folder / DATABASE_FILE).exists()
    found = Settings(
        home=folder,
        pseudonym_key=_key(PSEUDONYM_KEY, stored, used),
        ledger_key=_key(LEDGER_KEY, stored, used),
    )
    _check_fingerprints(found)
    return found


def initialise(home: Path | str | None = None) -> tuple[Settings, bool]:
    """Make the workspace folder and its keys where they are missing; (settings, whether new).

    Raises:
        ShouldProvideKey: the workspace has data and its keys are missing, or as ``read`` does.
    """
    folder = Path(home).absolute() if home else default_home()
    new = not (folder / SECRETS_FILE).exists()
    if new and (folder / DATABASE_FILE).exists():
        if not all(os.environ.get(name) for name in (PSEUDONYM_KEY, LEDGER_KEY)):
            raise ShouldProvideKey(
                f"The workspace {folder} has data but no keys.",
                f"Restore {SECRETS_FILE} from a backup: new keys would make everyone a new person "
                "with an unspent budget.",
            )
        read(folder)  # keys of the environment that are not the workspace's are not stored
    folder.mkdir(parents=True, exist_ok=True)
    if new:
        if not (folder / DATABASE_FILE).exists():
            (folder / FINGERPRINT_FILE).unlink(missing_ok=True)
        lines = [
            f"{name}={os.environ.get(name) or secrets.token_hex(MIN_KEY_BYTES)}\n"
            for name in (PSEUDONYM_KEY, LEDGER_KEY)
        ]
        handle = os.open(
            folder / SECRETS_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR
        )
        with os.fdopen(handle, "w") as stream:
            stream.writelines(lines)
    made = read(folder)
    if not (folder / FINGERPRINT_FILE).exists():
        documents.write(_fingerprints(made), folder / FINGERPRINT_FILE)
    return made, new


def _fingerprints(found: Settings) -> dict[str, str]:
    keys = {PSEUDONYM_KEY: found.pseudonym_key, LEDGER_KEY: found.ledger_key}
    return {
        name: hashlib.sha256(b"everloop key fingerprint" + key).hexdigest()[:16]
        for name, key in keys.items()
    }


def _check_fingerprints(found: Settings) -> None:
    path = found.home / FINGERPRINT_FILE
    if not path.exists():
        return
    known = documents.read(dict[str, str], path)
    for name, fingerprint in _fingerprints(found).items():
        if known.get(name) != fingerprint:
            raise ShouldProvideKey(
                f"{name} is not the key that the workspace {found.home} was made with.",
                f"Restore the old key in {SECRETS_FILE} or in the environment: another would make "
                "everyone a new person with an unspent budget.",
            )


def _read_secrets(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _key(name: str, stored: dict[str, str], used: bool) -> bytes:
    text = os.environ.get(name) or stored.get(name, "")
    remedy = (
        f"Restore {SECRETS_FILE} from a backup, or set {name} to the key the workspace was made with."
        if used
        else f"Set {name} to {MIN_KEY_BYTES} or more bytes in hexadecimal, or run `everloop init`."
    )
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise ShouldProvideKey(f"{name} is not hexadecimal.", remedy) from None
    if len(key) < MIN_KEY_BYTES:
        raise ShouldProvideKey(f"{name} has {len(key)} bytes.", remedy)
    return key
