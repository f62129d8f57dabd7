"""What the environment says: the only module that reads it.

========================  =====================================================================
``EVERLOOP_HOME``         the workspace folder (default ``.everloop`` in the working directory)
``EVERLOOP_PSEUDONYM_KEY``  at least 32 bytes as hex; people's ids are hashed with it
``EVERLOOP_LEDGER_KEY``   at least 32 bytes as hex; commits the privacy ledger to its people
========================  =====================================================================

On a laptop ``everloop init`` writes the two keys to ``secrets.env`` in the workspace, readable by its
owner alone; variables of the environment win over that file.
"""

from __future__ import annotations

import os
import secrets
import stat
from dataclasses import dataclass, field
from pathlib import Path

from everloop.contracts.errors import ShouldInitWorkspace, ShouldProvideKey

HOME_VARIABLE = "EVERLOOP_HOME"
PSEUDONYM_KEY = "EVERLOOP_PSEUDONYM_KEY"
LEDGER_KEY = "EVERLOOP_LEDGER_KEY"
SECRETS_FILE = "secrets.env"
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
        ShouldProvideKey: a key is missing, not hexadecimal or too short.
    """
    folder = Path(home).absolute() if home else default_home()
    if not folder.is_dir():
        raise ShouldInitWorkspace(
            f"There is no workspace at {folder}.", "Run `everloop init`, or set EVERLOOP_HOME."
        )
    stored = _read_secrets(folder / SECRETS_FILE)
    return Settings(
        home=folder,
        pseudonym_key=_key(PSEUDONYM_KEY, stored),
        ledger_key=_key(LEDGER_KEY, stored),
    )


def initialise(home: Path | str | None = None) -> tuple[Settings, bool]:
    """Make the workspace folder and its keys where they are missing; (settings, whether new)."""
    folder = Path(home).absolute() if home else default_home()
    new = not (folder / SECRETS_FILE).exists()
    folder.mkdir(parents=True, exist_ok=True)
    if new:
        lines = [
            f"{name}={os.environ.get(name) or secrets.token_hex(MIN_KEY_BYTES)}\n"
            for name in (PSEUDONYM_KEY, LEDGER_KEY)
        ]
        handle = os.open(
            folder / SECRETS_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR
        )
        with os.fdopen(handle, "w") as stream:
            stream.writelines(lines)
    return read(folder), new


def _read_secrets(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _key(name: str, stored: dict[str, str]) -> bytes:
    text = os.environ.get(name) or stored.get(name, "")
    remedy = f"Set {name} to {MIN_KEY_BYTES} or more bytes in hexadecimal, or run `everloop init`."
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise ShouldProvideKey(f"{name} is not hexadecimal.", remedy) from None
    if len(key) < MIN_KEY_BYTES:
        raise ShouldProvideKey(f"{name} has {len(key)} bytes.", remedy)
    return key
