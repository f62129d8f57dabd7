"""Where a base comes from: a folder of safetensors, or a GGUF file that an installed package carries."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from everloop.contracts.documents import sha256_of
from everloop.contracts.errors import ShouldFixLoopSpec, ShouldRestoreArtefact
from everloop.contracts.model_folders import folder_sha256
from everloop.contracts.voice_spec import BaseSpec
from everloop.speaking.pickles import require_no_pickle

WHEEL = "wheel:"


class Source(Protocol):
    """Weights and tokenizer as somebody published them."""

    def fingerprint(self) -> str:
        """SHA-256 of what is read from it."""

    def write(self, folder: Path, spec: BaseSpec, progress: Callable[[str, float], None]) -> None:
        """Write plain bfloat16 safetensors, configuration and tokenizer into an empty folder."""


@dataclass(frozen=True, slots=True)
class FolderSource:
    """A folder with ``config.json``, safetensors and a tokenizer with a chat template."""

    path: Path

    def fingerprint(self) -> str:
        """See ``Source``; every file counts."""
        require_no_pickle(self.path)
        return folder_sha256(self.path)

    def write(self, folder: Path, spec: BaseSpec, progress: Callable[[str, float], None]) -> None:
        """See ``Source``."""
        from everloop.speaking.plain_model import write_from_folder  # noqa: PLC0415  # loads torch

        write_from_folder(self.path, folder, spec, progress)


@dataclass(frozen=True, slots=True)
class GgufSource:
    """A GGUF file."""

    path: Path

    def fingerprint(self) -> str:
        """See ``Source``."""
        return sha256_of(self.path)

    def write(self, folder: Path, spec: BaseSpec, progress: Callable[[str, float], None]) -> None:
        """See ``Source``."""
        from everloop.speaking.plain_model import write_from_gguf  # noqa: PLC0415  # loads torch

        write_from_gguf(self.path, folder, spec, progress)


def find_source(spec: BaseSpec) -> FolderSource | GgufSource:
    """Where the weights lie that a specification names.

    Raises:
        ShouldFixLoopSpec: no such folder, package or file; or neither of the two forms.
    """
    if spec.source.startswith(WHEEL):
        return GgufSource(_file_of_package(spec.source))
    path = Path(spec.source).expanduser()
    if path.is_dir():
        return FolderSource(path)
    raise ShouldFixLoopSpec(
        f"voice.base.source={spec.source!r} is no folder here.",
        "Name a folder with config.json, safetensors and a tokenizer, or wheel:<package>/<file>.gguf.",
    )


def _file_of_package(source: str) -> Path:
    package, _, name = source.removeprefix(WHEEL).partition("/")
    if not package.isidentifier() or not name.endswith(".gguf") or "/" in name:
        raise ShouldFixLoopSpec(
            f"voice.base.source={source!r} names no file of a package.",
            "Write wheel:<package>/<file>.gguf.",
        )
    # The package itself is not imported: its requirements need not be installed.
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise ShouldFixLoopSpec(
            f"voice.base.source={source!r}: there is no installed package {package!r}.",
            f"Run `pip install {package.replace('_', '-')}`.",
        )
    folders = [Path(place) for place in found.submodule_search_locations]
    for folder in folders:
        if (folder / name).is_file():
            return folder / name
    known = sorted(path.name for folder in folders for path in folder.glob("*.gguf"))
    raise ShouldRestoreArtefact(
        f"Package {package} has no file {name!r}.", f"It has: {', '.join(known) or 'no GGUF file'}."
    )
