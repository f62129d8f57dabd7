"""A base model, prepared once for training and serving, and verified at every load.

What is prepared is a flat folder: plain bfloat16 safetensors, ``config.json``, a tokenizer whose EOS ends a
turn of its chat template, and ``manifest.json`` with the checksums.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from everloop.contracts import documents
from everloop.contracts.episodes import canonical_json
from everloop.contracts.errors import ShouldFreeDisk, ShouldRestoreArtefact
from everloop.contracts.model_folders import MANIFEST, files_sha256, folder_sha256
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import BaseSpec
from everloop.speaking.base_sources import Source, find_source
from everloop.speaking.pickles import require_no_pickle

Progress = Callable[[str, float], None]
"""Is told what goes on and how much of the whole is done, in [0, 1]."""

_FORMAT = 2
"""Of what is prepared; part of the folder's name, so that another format is prepared beside it."""


@dataclass(frozen=True, slots=True)
class BaseManifest:
    """What ``manifest.json`` says. ``files``: name -> SHA-256; ``source``: where the weights came from."""

    name: str
    license: str
    context_tokens: int
    sha256: str
    files: dict[str, str]
    source: str = ""


def _quiet(_: str, __: float) -> None:
    """Nobody asked."""


def prepare_base(spec: BaseSpec, cache: Path, progress: Progress = _quiet) -> BaseFolder:
    """The base that a specification names, prepared under ``cache``; made where it is not there yet.

    Two processes that prepare at once make one; whoever is killed leaves nothing that looks prepared.
    A damaged folder is made anew.

    Raises:
        ShouldFixLoopSpec: the source is no folder and no file of an installed package, has no usable chat
            template, or a shorter context than the specification asks for.
        ShouldFixArgument: the source holds a pickle.
        ShouldRestoreArtefact: the source cannot be read.
        ShouldFreeDisk: the weights did not fit; nothing of them is left.
    """
    source = find_source(spec)
    progress("reading the source", 0.0)
    target = cache / _folder_name(spec, source)
    with _alone(cache, target.name):
        if target.is_dir():
            try:
                return open_base(target)
            except ShouldRestoreArtefact as problem:
                progress(f"{problem.message} It is prepared anew.", 0.0)
                shutil.rmtree(target)
        _make(spec, source, target, progress)
    progress("prepared", 1.0)
    return open_base(target)


def open_base(path: Path, expected_sha256: str | None = None) -> BaseFolder:
    """A prepared base, every file of it compared with its checksum.

    Raises:
        ShouldRestoreArtefact: it is not prepared, damaged, or not the expected one.
        ShouldFixArgument: it holds a pickle.
    """
    require_no_pickle(path)
    manifest = documents.read(BaseManifest, path / MANIFEST)
    sha256 = folder_sha256(path)
    for expected in (manifest.sha256, expected_sha256 or sha256):
        if sha256 != expected:
            raise ShouldRestoreArtefact(
                f"{path} is another or a damaged base: its SHA-256 is {sha256}, not {expected}.",
                "Prepare it anew with `everloop voice prepare`.",
            )
    return BaseFolder(
        name=manifest.name,
        path=path,
        sha256=sha256,
        license=manifest.license,
        context_tokens=manifest.context_tokens,
    )


def write_manifest(folder: Path, spec: BaseSpec) -> BaseFolder:
    """Record a folder's files as they are, and what they are called."""
    require_no_pickle(folder)
    manifest = BaseManifest(
        name=spec.name,
        license=spec.license,
        context_tokens=spec.context_tokens,
        sha256=folder_sha256(folder),
        files=files_sha256(folder),
        source=spec.source if spec.source.startswith("wheel:") else "folder",
    )
    documents.write(manifest, folder / MANIFEST)
    return BaseFolder(spec.name, folder, manifest.sha256, spec.license, spec.context_tokens)


def prepared_base(spec: BaseSpec, cache: Path) -> BaseFolder | None:
    """The prepared base, verified; None where nobody prepared it yet. Raises as ``prepare_base`` does."""
    target = cache / _folder_name(spec, find_source(spec))
    return open_base(target) if target.is_dir() else None


def _folder_name(spec: BaseSpec, source: Source) -> str:
    told = canonical_json(
        {"format": _FORMAT, "spec": spec.model_dump(), "source": source.fingerprint()}
    )
    slug = re.sub(r"[^A-Za-z0-9.]+", "-", spec.name).strip("-.")[:60] or "base"
    return f"{slug}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def _make(spec: BaseSpec, source: Source, target: Path, progress: Progress) -> None:
    partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
    try:
        source.write(partial, spec, progress)
        progress("checking", 0.9)
        write_manifest(partial, spec)
        _sync(partial)
        partial.rename(target)
        _sync_names(target.parent)
    except OSError as problem:
        if not documents.is_full_disk(problem):
            raise
        raise ShouldFreeDisk(
            f"No room to prepare {spec.name} in {target.parent}.", "Free disk space and repeat."
        ) from problem
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def _alone(cache: Path, name: str) -> Iterator[None]:
    """Whoever waited finds what the other one prepared. What a killed one left is taken away."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / f".{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for left in cache.glob(f".{name}.partial-*"):
                shutil.rmtree(left, ignore_errors=True)
            yield
    except OSError as problem:
        if not documents.is_full_disk(problem):
            raise
        raise ShouldFreeDisk(f"No room in {cache}.", "Free disk space and repeat.") from problem


def _sync(folder: Path) -> None:
    for path in folder.iterdir():
        _sync_names(path)
    _sync_names(folder)


def _sync_names(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
