"""A persona's revision as a file, registered as a checkpoint that serves in the role ``prompt``."""

from __future__ import annotations

import hashlib
from pathlib import Path

from everloop.contracts.documents import write_atomically
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.personas import PersonaGraph, PersonaRevision
from everloop.persona.graph import graph_of

FILE = "persona.json"
"""Name of the file among a checkpoint's."""


def write_prompt(revision: PersonaRevision, folder: Path) -> Path:
    """Write a revision's content, byte for byte, and return the file; its SHA-256 is the revision's.

    Raises:
        ShouldRestoreArtefact: the content is no graph.
        ShouldFreeDisk: it did not fit.
    """
    graph_of(revision.content)
    return write_atomically(revision.content, folder / FILE)


def read_prompt(path: Path, sha256: str) -> PersonaGraph:
    """The graph of a file whose checksum is known.

    Raises:
        ShouldRestoreArtefact: the file is missing or damaged, or holds no graph.
    """
    try:
        content = path.read_bytes()
    except OSError as problem:
        raise ShouldRestoreArtefact(
            f"{path} cannot be read ({problem.strerror}).", "Fetch the checkpoint again."
        ) from problem
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ShouldRestoreArtefact(
            f"{path} has checksum {found}, not {sha256}.", "Fetch the checkpoint again."
        )
    return graph_of(content)
