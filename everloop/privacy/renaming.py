"""Stored arguments of actions under other pseudonyms."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from everloop.contracts.canonical import Json
from everloop.privacy.pseudonyms import names_people

_PSEUDONYM = re.compile(r"[0-9a-f]{64}")


def renamed_arguments(
    arguments: Mapping[str, Json], rename: Callable[[str], str]
) -> dict[str, Json]:
    """What an action was about, with other pseudonyms in the places of ``Pseudonyms.in_arguments``.

    Args:
        arguments: as they are stored.
        rename: old pseudonym -> new pseudonym; called for every pseudonym that the arguments hold.
    """
    return {
        name: _renamed(item, rename, below=names_people(name)) for name, item in arguments.items()
    }


def _renamed(value: Json, rename: Callable[[str], str], *, below: bool) -> Json:
    if isinstance(value, Mapping):
        return {
            name: _renamed(item, rename, below=below or names_people(name))
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_renamed(item, rename, below=below) for item in value]
    if below and isinstance(value, str) and _PSEUDONYM.fullmatch(value):
        return rename(value)
    return value
