"""A process whose key was replaced while it ran writes nothing more.

What such a process would store is under pseudonyms that nobody has any longer. It finds out within the
write transaction itself, from which the one that replaces the key is kept out.
"""

from __future__ import annotations

from sqlalchemy import Connection, Engine, select

from everloop.contracts.errors import ShouldRetryLater
from everloop.storage.service_tables import key_fingerprints

_OPTION = "everloop_held_keys"
_WAIT_S = 30.0


def hold(engine: Engine, name: str, fingerprint: str) -> None:
    """Let an engine write only as long as a key is the database's.

    Args:
        name: of the key.
        fingerprint: of the key that this process has.
    """
    held = dict(engine.get_execution_options().get(_OPTION, {}))
    engine.update_execution_options(**{_OPTION: held | {name: fingerprint}})


def hold_as(engine: Engine, other: Engine) -> None:
    """Hold what another engine holds."""
    for name, fingerprint in other.get_execution_options().get(_OPTION, {}).items():
        hold(engine, name, fingerprint)


def require(connection: Connection) -> None:
    """Refuse to write under a key that was replaced.

    Args:
        connection: whose write transaction has begun, and excludes others.

    Raises:
        ShouldRetryLater: it was; this process has to start again.
    """
    held = connection.get_execution_options().get(_OPTION, {})
    for name, fingerprint in held.items():
        query = select(key_fingerprints.c.fingerprint).where(key_fingerprints.c.name == name)
        if connection.scalar(query) != fingerprint:
            raise ShouldRetryLater(
                f"{name} was replaced while this process ran; nothing was stored.",
                "Start it again with the new key.",
                _WAIT_S,
            )
