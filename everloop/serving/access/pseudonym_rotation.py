"""A new pseudonym key for a workspace: every row, every tenant and the ledger, or nothing.

The order makes it safe to be killed anywhere. The next key is staged, where nothing uses it; one
transaction renames every row, moves everyone's spending and notes the key; then the next key takes the
place of the old one. Between the last two the workspace refuses to open, and the command again ends it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection, Engine

from everloop import settings, wiring
from everloop.contracts.errors import ShouldFixArgument, ShouldWaitForWorker
from everloop.privacy.ledger import Ledger
from everloop.privacy.pseudonyms import Pseudonyms
from everloop.privacy.renaming import renamed_arguments
from everloop.storage.local.clock import SystemClock
from everloop.storage.sql.audit import append_audit
from everloop.storage.sql.engine import is_postgresql, open_database, reading, writing
from everloop.storage.sql.key_marks import check_keys, key_of, note_key
from everloop.storage.sql.ledger_store import JoinedLedgerStore
from everloop.storage.sql.pseudonym_change import forget_datasets, jobs_at_work
from everloop.storage.sql.renaming import SESSIONS, Renaming

Listed = tuple[str, str]
"""(tenant, the product's id of a person, or ``session:`` and its id of a session)."""

_IN_WORDS = {
    SESSIONS: "sessions",
    "action_arguments": "people whom decisions were about",
    "privacy_people": "people whose privacy was charged",
    "synthetic_profiles": "profiles made from people's own data",
    "erasures": "people who were erased",
    "persona_graphs": "people whom persona graphs name",
}


@dataclass(frozen=True, slots=True)
class RotatedPseudonyms:
    """What a rotation did.

    Attributes:
        fingerprint: of the new key.
        charged: people whose spending moved.
        rows: renamed rows by table; empty where an earlier command had renamed them.
        unrecognised: rows whose repetition will be refused as another event.
        environment: whether the environment still holds the old key, and must be changed.
    """

    fingerprint: str
    charged: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    unrecognised: int = 0
    environment: bool = False


def listed_people(path: Path, tenant: str) -> Iterator[Listed]:
    """The people and sessions of a file: an id a line, or a tenant, a tab and an id.

    Args:
        path: of UTF-8 text; empty lines are skipped.
        tenant: of the lines that name none.

    Raises:
        ShouldFixArgument: the file cannot be read, or a line has a tenant or an id alone.
    """
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, 1):
                said = line.removesuffix("\n").removesuffix("\r")
                if not said:
                    continue
                owner, tab, name = said.partition("\t")
                if tab and not (owner and name):
                    raise ShouldFixArgument(
                        f"{path}:{number} lacks the tenant or the id.",
                        "Write an id, or a tenant, a tab and an id.",
                    )
                yield (owner, name) if tab else (tenant, said)
    except (OSError, UnicodeDecodeError) as problem:
        raise ShouldFixArgument(
            f"{path} cannot be read ({problem}).", "Give a file of UTF-8 text."
        ) from None


def check_rotation(home: str | None, listed: Iterable[Listed], retire_sessions: bool) -> int:
    """Look whether a rotation would leave somebody behind, and change nothing; how many are listed.

    Raises:
        ShouldFixArgument: somebody is not listed.
        ShouldInitWorkspace, ShouldProvideKey: as ``settings.read`` does.
    """
    place = wiring.open_workspace(home)
    names = {}
    for tenant, name in listed:
        pseudonym = place.pseudonyms.of(name, tenant)
        names[pseudonym] = pseudonym
    with reading(place.engine) as connection:
        _require_everyone(Renaming(connection, names, renamed_arguments, _same(retire_sessions)))
    return len(names)


def rotate_pseudonyms(
    home: str | None,
    listed: Iterable[Listed],
    retire_sessions: bool,
    actor: str,
    now: datetime,
) -> RotatedPseudonyms:
    """Rename everyone under the next key, or finish what an earlier command began.

    Args:
        listed: everyone whom the workspace knows.
        retire_sessions: whether sessions that are not listed get names that nothing leads to.
        actor: for the audit log.

    Raises:
        ShouldFixArgument: somebody is not listed; nothing was changed.
        ShouldWaitForWorker: a job is at work; nothing was changed.
        ShouldInitWorkspace, ShouldProvideKey: as ``settings.stage_pseudonym_key`` does.
        ShouldRepairLedger: the ledger does not verify; nothing was changed.
    """
    staged = settings.stage_pseudonym_key(home)
    engine = _opened(staged)
    done = RotatedPseudonyms(str(staged.next_pseudonym_fingerprint))
    if not _is_renamed(staged, engine):
        held = {settings.PSEUDONYM_KEY}
        check_keys(engine, staged.fingerprints, staged.replaced, held)
        before = staged.fingerprints[settings.PSEUDONYM_KEY]
        wiring.keep_datasets(staged.home, before, settings.storage())
        with writing(engine) as connection:
            done = _renamed(connection, staged, listed, retire_sessions, actor, now)
    elsewhere = settings.replace_pseudonym_key(staged)
    wiring.keep_datasets(staged.home, done.fingerprint, settings.storage())
    return RotatedPseudonyms(
        done.fingerprint, done.charged, done.rows, done.unrecognised, environment=elsewhere
    )


def _opened(staged: settings.Settings) -> Engine:
    return open_database(staged.database_url, staged.home / settings.DATABASE_FILE)


def _is_renamed(staged: settings.Settings, engine: Engine) -> bool:
    following = staged.next_pseudonym_fingerprint
    return following is not None and key_of(engine, settings.PSEUDONYM_KEY) == following


def _renamed(
    connection: Connection,
    staged: settings.Settings,
    listed: Iterable[Listed],
    retire_sessions: bool,
    actor: str,
    now: datetime,
) -> RotatedPseudonyms:
    key, fingerprint = staged.next_pseudonym_key, staged.next_pseudonym_fingerprint
    if key is None or fingerprint is None:
        raise ShouldFixArgument("There is no next pseudonym key.", "Stage one first.")
    working = jobs_at_work(connection, now)
    if working:
        raise ShouldWaitForWorker(
            f"{working} jobs are at work on people by their old pseudonyms.",
            "Let them end and stop the service and its workers, then repeat.",
        )
    if not is_postgresql(connection.engine):
        connection.exec_driver_sql("PRAGMA secure_delete=ON")
    old, new = Pseudonyms(staged.pseudonym_key), Pseudonyms(key)
    names, people = {}, Counter[str]()
    for tenant, name in listed:
        names[old.of(name, tenant)] = new.of(name, tenant)
        people[tenant] += 1
    renaming = Renaming(
        connection, names, renamed_arguments, _retired(key) if retire_sessions else None
    )
    _require_everyone(renaming)
    renamed = renaming.carry_out()
    ledger = Ledger(
        JoinedLedgerStore(connection),
        staged.ledger_key,
        SystemClock(),
        staged.previous_ledger_keys,
        wiring.open_journal(staged.home),
    )
    charged = ledger.rename(names, fingerprint)
    for tenant in forget_datasets(connection):
        said = {"key": "pseudonyms"}
        append_audit(
            connection, tenant, actor, "keys.rotate", fingerprint, people[tenant], said, now
        )
    note_key(connection, settings.PSEUDONYM_KEY, fingerprint)
    return RotatedPseudonyms(fingerprint, charged, renamed.rows, renamed.unrecognised)


def _require_everyone(renaming: Renaming) -> None:
    missing = renaming.uncovered()
    if missing:
        counts = ", ".join(
            f"{count:,} {_IN_WORDS.get(place, f'people of {place}')}"
            for place, count in missing.items()
        )
        sessions = (
            " List sessions as session:ID, or give those a new name with --retire-sessions."
            if SESSIONS in missing
            else ""
        )
        raise ShouldFixArgument(
            f"Not in the list: {counts}. Under a new key they would be strangers with an unspent "
            "budget and no word of what they allow; nothing was changed.",
            "List everyone of every tenant, also those who left or were erased; augment anew where "
            f"profiles lack their people.{sessions}",
        )


def _retired(key: bytes) -> Callable[[str], str]:
    """A name for a session whose id is lost: the same for all its rows, and nobody can lead to it."""

    def name(session_id: str) -> str:
        return hmac.new(key, b"retired session" + session_id.encode(), hashlib.sha256).hexdigest()

    return name


def _same(retire_sessions: bool) -> Callable[[str], str] | None:
    return (lambda session_id: session_id) if retire_sessions else None
