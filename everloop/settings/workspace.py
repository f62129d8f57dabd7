"""The workspace folder and the secrets that its people, budgets and health fields depend on."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from everloop.contracts import documents
from everloop.contracts.errors import ShouldFixArgument, ShouldInitWorkspace, ShouldProvideKey

HOME_VARIABLE = "EVERLOOP_HOME"
DATABASE_URL = "EVERLOOP_DATABASE_URL"
PSEUDONYM_KEY = "EVERLOOP_PSEUDONYM_KEY"
PSEUDONYM_KEY_NEXT = "EVERLOOP_PSEUDONYM_KEY_NEXT"
LEDGER_KEY = "EVERLOOP_LEDGER_KEY"
LEDGER_KEY_PREVIOUS = "EVERLOOP_LEDGER_KEY_PREVIOUS"
HEALTH_KEY = "EVERLOOP_HEALTH_KEY"
KEYS = (PSEUDONYM_KEY, LEDGER_KEY, HEALTH_KEY)
SECRETS_FILE = "secrets.env"
FINGERPRINT_FILE = "keys.sha256"
DATABASE_FILE = "state.db"
RESTORING_FILE = "restoring.json"
"""There while a backup is being restored: the folder is no workspace yet."""
MIN_KEY_BYTES = 32
_RANDOM = f"Give {MIN_KEY_BYTES} or more random bytes in hexadecimal."

_LOST = {
    PSEUDONYM_KEY: "another would make everyone a new person with an unspent budget",
    LEDGER_KEY: "another would make everyone a new person with an unspent budget",
    HEALTH_KEY: "another cannot read the health fields that are stored",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Where the workspace is and the secrets it needs; secrets never show in ``repr``."""

    home: Path
    pseudonym_key: bytes = field(repr=False)
    ledger_key: bytes = field(repr=False)
    health_key: bytes = field(repr=False)
    database_url: str = field(default="", repr=False)
    previous_ledger_keys: tuple[bytes, ...] = field(default=(), repr=False)
    next_pseudonym_key: bytes | None = field(default=None, repr=False)

    @property
    def next_pseudonym_fingerprint(self) -> str | None:
        """Fingerprint of the key that a rotation is to put in the pseudonym key's place, if any."""
        key = self.next_pseudonym_key
        return None if key is None else _fingerprint(key)

    @property
    def fingerprints(self) -> dict[str, str]:
        """What tells whether the keys are the same ones, and nothing else about them."""
        return _fingerprints(self)

    @property
    def replaced(self) -> dict[str, frozenset[str]]:
        """Fingerprints of the keys that today's have replaced, by the key's name."""
        return {LEDGER_KEY: frozenset(_fingerprint(key) for key in self.previous_ledger_keys)}


def default_home() -> Path:
    """The workspace folder that the environment names, absolute."""
    return Path(os.environ.get(HOME_VARIABLE, ".everloop")).absolute()


def read(home: Path | str | None = None, restoring: bool = False) -> Settings:
    """Settings of an existing workspace.

    Args:
        restoring: for whoever restores a backup into it, and for nobody else.

    Raises:
        ShouldInitWorkspace: there is none at ``home``, or a backup is half restored there.
        ShouldProvideKey: a key is missing, not hexadecimal, too short, or not the one that the
            workspace was made with.
    """
    folder = Path(home).absolute() if home else default_home()
    if not folder.is_dir():
        raise ShouldInitWorkspace(
            f"There is no workspace at {folder}.", "Run `everloop init`, or set EVERLOOP_HOME."
        )
    if not restoring:
        _require_restored(folder)
    found = _settings(folder, _read_secrets(folder / SECRETS_FILE))
    _check_fingerprints(found)
    return found


def initialise(home: Path | str | None = None) -> tuple[Settings, bool]:
    """Make the workspace folder and its keys where they are missing; (settings, whether new).

    Raises:
        ShouldProvideKey: the workspace has data and its keys are missing, or as ``read`` does.
        ShouldInitWorkspace: a backup is half restored there.
        ShouldFreeDisk: the keys did not fit; nothing was changed.
    """
    folder = Path(home).absolute() if home else default_home()
    folder.mkdir(parents=True, exist_ok=True)
    _require_restored(folder)
    with _exclusive(folder):
        path = folder / SECRETS_FILE
        used, new = _used(folder), not path.exists()
        if new and not used:
            (folder / FINGERPRINT_FILE).unlink(missing_ok=True)
        stored = _read_secrets(path)
        missing = [name for name in KEYS if name not in stored]
        made = _missing_keys(folder, missing, new, used)
        found = _settings(folder, stored | made)
        _check_fingerprints(found)
        if made:
            kept = path.read_text() if not new else ""
            lines = "".join(f"{name}={text}\n" for name, text in made.items())
            newline = "\n" if kept and not kept.endswith("\n") else ""
            documents.write_atomically(f"{kept}{newline}{lines}".encode(), path)
        if _known_fingerprints(folder).keys() != set(KEYS):
            documents.write(_fingerprints(found), folder / FINGERPRINT_FILE)
        _sync(folder)
    return found, new


def rotate_ledger_key(home: Path | str | None = None) -> Settings:
    """Give the ledger a new key; the one before stays among the previous ones.

    The secrets file is replaced in one step, and whoever is killed after it leaves a workspace that
    opens: a key that today's has replaced is known by its fingerprint.

    Raises:
        ShouldFixArgument: the key is the environment's, which no command can change.
        ShouldProvideKey: as ``read`` does.
        ShouldFreeDisk: the file did not fit; nothing was changed.
    """
    found = read(home)
    given = [name for name in (LEDGER_KEY, LEDGER_KEY_PREVIOUS) if os.environ.get(name)]
    if given:
        raise ShouldFixArgument(
            f"{' and '.join(given)} stands in the environment, not in {SECRETS_FILE}.",
            f"Put a new key into {LEDGER_KEY} there, and the old one into {LEDGER_KEY_PREVIOUS}.",
        )
    with _exclusive(found.home):
        path = found.home / SECRETS_FILE
        stored = _read_secrets(path)
        older = [stored[LEDGER_KEY], *_listed(stored.get(LEDGER_KEY_PREVIOUS, ""))]
        changed: dict[str, str | None] = {
            LEDGER_KEY: secrets.token_hex(MIN_KEY_BYTES),
            LEDGER_KEY_PREVIOUS: ",".join(older),
        }
        _change_secrets(path, changed)
        rotated = _settings(found.home, _read_secrets(path))
        documents.write(_fingerprints(rotated), found.home / FINGERPRINT_FILE)
        _sync(found.home)
    return rotated


def stage_pseudonym_key(home: Path | str | None = None) -> Settings:
    """Settings with the next pseudonym key: the environment's, the file's or a new one in the file.

    Nothing uses it yet, and asking again gives the same one, also where ``replace_pseudonym_key`` was
    cut short.

    Raises:
        ShouldFixArgument: the key itself is the environment's, and the next one is not.
        ShouldInitWorkspace, ShouldProvideKey, ShouldFreeDisk: as ``rotate_ledger_key`` does.
    """
    folder = Path(home).absolute() if home else default_home()
    if not folder.is_dir():
        return read(home)
    with _exclusive(folder):
        path = folder / SECRETS_FILE
        found = _settings(folder, _read_secrets(path))
        if _known_fingerprints(folder).get(PSEUDONYM_KEY) != found.next_pseudonym_fingerprint:
            _check_fingerprints(found)
        if found.next_pseudonym_key is None:
            if os.environ.get(PSEUDONYM_KEY):
                raise ShouldFixArgument(
                    f"{PSEUDONYM_KEY} stands in the environment, not in {SECRETS_FILE}.",
                    f"Put the new key into {PSEUDONYM_KEY_NEXT} there. {_RANDOM}",
                )
            _change_secrets(path, {PSEUDONYM_KEY_NEXT: secrets.token_hex(MIN_KEY_BYTES)})
            _sync(folder)
            found = _settings(folder, _read_secrets(path))
    return found


def replace_pseudonym_key(staged: Settings) -> bool:
    """Put the next pseudonym key in the key's place, once the workspace's rows are of the next one.

    Returns whether the environment holds the old one and has to be changed, too. After a kill within,
    ``stage_pseudonym_key`` reads what is left, and this function finishes it.

    Raises:
        ShouldFixArgument: nothing was staged.
        ShouldFreeDisk: a file did not fit; repeat.
    """
    key, fingerprint = staged.next_pseudonym_key, staged.next_pseudonym_fingerprint
    if key is None or fingerprint is None:
        raise ShouldFixArgument("There is no next pseudonym key.", "Stage one first.")
    with _exclusive(staged.home):
        known = _known_fingerprints(staged.home) | {PSEUDONYM_KEY: fingerprint}
        documents.write(known, staged.home / FINGERPRINT_FILE)
        path = staged.home / SECRETS_FILE
        if not {PSEUDONYM_KEY, PSEUDONYM_KEY_NEXT}.isdisjoint(_read_secrets(path)):
            _change_secrets(path, {PSEUDONYM_KEY: key.hex(), PSEUDONYM_KEY_NEXT: None})
        _sync(staged.home)
    return os.environ.get(PSEUDONYM_KEY, key.hex()).lower() != key.hex()


def _change_secrets(path: Path, changed: Mapping[str, str | None]) -> None:
    """Replace lines of the secrets file in one step; None leaves one out."""
    before = path.read_text().splitlines() if path.exists() else []
    kept = [line for line in before if line.partition("=")[0].strip() not in changed]
    lines = [*kept, *(f"{name}={text}" for name, text in changed.items() if text is not None)]
    documents.write_atomically("".join(f"{line}\n" for line in lines).encode(), path)


def _missing_keys(folder: Path, missing: list[str], new: bool, used: bool) -> dict[str, str]:
    """Keys to add to the secrets file: the environment's, or new ones where nothing depends on them."""
    known = _known_fingerprints(folder)
    given = {name: os.environ[name] for name in missing if os.environ.get(name)}
    absent = [name for name in missing if name not in given]
    lost = [name for name in absent if name in known or (used and name != HEALTH_KEY)]
    if new and lost:
        raise ShouldProvideKey(
            f"The workspace {folder} has data but no keys.",
            f"Restore {SECRETS_FILE} from a backup: new keys would make everyone a new person "
            "with an unspent budget, and stored health fields unreadable.",
        )
    if not new:  # of a file that exists, only what it could not know may be added
        given = {name: text for name, text in given.items() if name == HEALTH_KEY}
        absent = [name for name in absent if name == HEALTH_KEY and name not in known]
    return given | {name: secrets.token_hex(MIN_KEY_BYTES) for name in absent}


def _settings(folder: Path, stored: Mapping[str, str]) -> Settings:
    used = _used(folder)
    following = os.environ.get(PSEUDONYM_KEY_NEXT) or stored.get(PSEUDONYM_KEY_NEXT, "")
    return Settings(
        home=folder,
        pseudonym_key=_key(PSEUDONYM_KEY, stored, used),
        ledger_key=_key(LEDGER_KEY, stored, used),
        health_key=_key(HEALTH_KEY, stored, used and HEALTH_KEY in _known_fingerprints(folder)),
        database_url=os.environ.get(DATABASE_URL) or stored.get(DATABASE_URL, ""),
        previous_ledger_keys=tuple(
            _decoded(LEDGER_KEY_PREVIOUS, text, "Separate keys in hexadecimal by commas.")
            for text in _listed(
                os.environ.get(LEDGER_KEY_PREVIOUS) or stored.get(LEDGER_KEY_PREVIOUS, "")
            )
        ),
        next_pseudonym_key=_decoded(PSEUDONYM_KEY_NEXT, following, _RANDOM) if following else None,
    )


def _require_restored(folder: Path) -> None:
    if (folder / RESTORING_FILE).exists():
        raise ShouldInitWorkspace(
            f"A backup is half restored in {folder}: an empty database made now would pass for its own.",
            "Repeat `everloop backup restore` until it ends.",
        )


def _used(folder: Path) -> bool:
    """Whether something was recorded with the workspace's keys, here or on a server."""
    if (folder / DATABASE_FILE).exists():
        return True
    return bool(os.environ.get(DATABASE_URL)) and (folder / FINGERPRINT_FILE).exists()


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Two that initialise at once must not each keep keys of their own."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _fingerprints(found: Settings) -> dict[str, str]:
    keys = {
        PSEUDONYM_KEY: found.pseudonym_key,
        LEDGER_KEY: found.ledger_key,
        HEALTH_KEY: found.health_key,
    }
    return {name: _fingerprint(key) for name, key in keys.items()}


def _fingerprint(key: bytes) -> str:
    return hashlib.sha256(b"everloop key fingerprint" + key).hexdigest()[:16]


def _known_fingerprints(folder: Path) -> dict[str, str]:
    path = folder / FINGERPRINT_FILE
    return documents.read(dict[str, str], path) if path.exists() else {}


def _check_fingerprints(found: Settings) -> None:
    known = _known_fingerprints(found.home)
    if (
        known.get(PSEUDONYM_KEY)
        not in {
            None,
            found.fingerprints[PSEUDONYM_KEY],
        }
        and known.get(PSEUDONYM_KEY) == found.next_pseudonym_fingerprint
    ):
        raise unfinished_rotation(found.home)
    for name, fingerprint in _fingerprints(found).items():
        if known.get(name, fingerprint) not in {fingerprint, *found.replaced.get(name, ())}:
            raise ShouldProvideKey(
                f"{name} is not the key that the workspace {found.home} was made with.",
                f"Restore the old key in {SECRETS_FILE} or in the environment: {_LOST[name]}.",
            )


def unfinished_rotation(home: Path) -> ShouldProvideKey:
    """What a workspace says whose rows have the next pseudonym key already."""
    return ShouldProvideKey(
        f"A rotation of the pseudonym key of {home} was cut short.",
        f"Finish it by `everloop keys rotate-pseudonyms` with --yes. If {PSEUDONYM_KEY} stands in the "
        f"environment, put there what {PSEUDONYM_KEY_NEXT} holds.",
    )


def _read_secrets(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    pairs = (line.partition("=") for line in path.read_text().splitlines() if "=" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _key(name: str, stored: Mapping[str, str], used: bool) -> bytes:
    text = os.environ.get(name) or stored.get(name, "")
    remedy = (
        f"Restore {SECRETS_FILE} from a backup, or set {name} to the key the workspace was made with."
        if used
        else f"Set {name} to {MIN_KEY_BYTES} or more bytes in hexadecimal, or run `everloop init`."
    )
    return _decoded(name, text, remedy)


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _decoded(name: str, text: str, remedy: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        raise ShouldProvideKey(f"{name} is not hexadecimal.", remedy) from None
    if len(key) < MIN_KEY_BYTES:
        raise ShouldProvideKey(f"{name} has {len(key)} bytes.", remedy)
    return key
