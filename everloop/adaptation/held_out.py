"""Who judges and never trains: a share of people, told by a hash of their pseudonym.

A person is held out where the first 8 bytes of SHA-256(salt, pseudonym), as a fraction of 2^64, are below
the share, when the voice first sees them. That follows nobody else, no seed and no date. It is recorded
(``VoiceStore.judging``), since another key gives everyone another pseudonym and a share can be changed:
nobody who once trained ever judges. The price is that few people may all be on one side: then there is
nothing to judge by, or nothing to learn.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from everloop.contracts.errors import ShouldFixArgument


def salt_of(tenant: str, persona: str) -> str:
    """What the hash of a voice's people is salted with; no secret, since pseudonyms are keyed."""
    return f"{tenant}\0{persona}"


def is_held_out(user_id: str, salt: str, share: float) -> bool:
    """Whether a person judges.

    Raises:
        ShouldFixArgument: the share is not within (0, 1).
    """
    if not 0.0 < share < 1.0:
        raise ShouldFixArgument(f"held_out_share={share!r} leaves (0, 1).", "Give .2.")
    digest = hashlib.sha256(f"{salt}\0{user_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64 < share


@dataclass(frozen=True, slots=True)
class Judging:
    """Who of a collection's people judges, as it is recorded of each: sorted pseudonyms."""

    people: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PeopleSplit:
    """Who trains and who judges; nobody does both. ``reason``: why it cannot be used, or ""."""

    training: frozenset[str]
    held_out: frozenset[str]
    reason: str = ""


def split_people(people: Iterable[str], salt: str, share: float) -> PeopleSplit:
    """Part people as ``is_held_out`` says; an empty side stays empty, and is named."""
    everybody = frozenset(people)
    held_out = frozenset(each for each in everybody if is_held_out(each, salt, share))
    training = everybody - held_out
    reason = ""
    if not held_out:
        reason = f"None of {len(everybody)} people is held out: nobody can judge."
    elif not training:
        reason = f"All {len(everybody)} people are held out: nobody is left to learn from."
    return PeopleSplit(training, held_out, reason)
