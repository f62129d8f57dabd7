"""Context snapshots at rest: health fields are sealed into one entry, and opened where they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from everloop.contracts.canonical import Json
from everloop.contracts.errors import ShouldProvideKey

SEALED = "$health"
"""Entry that holds a context's sealed fields; no field of a loop can have this name."""


class ContextOpener(Protocol):
    """Turns stored contexts of one tenant and loop back into what was logged."""

    def __call__(self, record_id: str, context: Mapping[str, Json]) -> Mapping[str, Json]:
        """The context of an episode or decision with its sealed fields restored.

        Constraints: a context without sealed fields comes back as it is; sealed fields that were
        altered, moved from another record or sealed under another key are ``ShouldRestoreArtefact``.
        """


def plain(record_id: str, context: Mapping[str, Json]) -> Mapping[str, Json]:
    """``ContextOpener`` of logs without health fields.

    Raises:
        ShouldProvideKey: the context has sealed fields.
    """
    if SEALED in context:
        raise ShouldProvideKey(
            f"The context of {record_id} has sealed health fields.",
            "Read it through the workspace, which holds the key.",
        )
    return context
