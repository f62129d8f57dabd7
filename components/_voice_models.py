"""The base, the adapters and the persona graph that a voice's steps load, each by its checksum."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from everloop.contracts.documents import read
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelType
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voices import AdapterFigures
from everloop.loops.sections import voice_of
from everloop.registry.loading import active_alias, load
from everloop.settings import voice_cache
from everloop.speaking.adapters import open_adapter, require_base, unpack_adapter
from everloop.speaking.base import prepare_base
from everloop.speaking.engine import Engine
from everloop.wiring import Workspace

ADAPTER = "adapter"
"""Folder of the adapter in a training's output."""
FIGURES = "figures.json"


def base_of(spec: LoopSpec, workspace: Workspace) -> BaseFolder:
    """The base of the loop's voice; prepared where it is not yet."""
    return prepare_base(voice_of(spec).base, voice_cache(workspace.home) / "bases", _tell)


def _tell(what: str, share: float) -> None:
    print(f"@progress {what} {share:.0%}", flush=True)


@dataclass(frozen=True, slots=True)
class ActiveVoice:
    """The adapter that serves; ``checkpoint_id`` empty and ``adapter`` None where the base alone does."""

    checkpoint_id: str = ""
    adapter: AdapterFolder | None = None

    @property
    def version(self) -> str:
        """As it is asked for; "" is the base alone."""
        return "" if self.adapter is None else self.adapter.version


def active_voice(
    spec: LoopSpec, workspace: Workspace, tenant: str, base: BaseFolder
) -> ActiveVoice:
    """What serves now, its files verified.

    Raises:
        ShouldRestoreArtefact: a file is missing or damaged.
        ShouldFixArgument: it was trained on another base.
    """
    checkpoint, _ = workspace.registry.alias(spec.name, active_alias(ModelType.ADAPTER), tenant)
    if checkpoint is None:
        return ActiveVoice()
    found = load(checkpoint, workspace.registry, workspace.blobs)
    require_base(found.checkpoint, base)
    version = found.checkpoint.lineage["version"]
    cache = voice_cache(workspace.home) / "adapters"
    return ActiveVoice(checkpoint, unpack_adapter(found.files, base, version, cache))


def trained_adapter(folder: Path, base: BaseFolder, version: str) -> AdapterFolder:
    """The adapter of a training's output, verified against its figures' checksum."""
    figures = read(AdapterFigures, folder / FIGURES)
    return open_adapter(folder / ADAPTER, base, version, figures.adapter_sha256)


def version_of(spec: LoopSpec, figures: AdapterFigures) -> str:
    """What answers of a trained adapter carry: persona and the first 16 digits of its checksum."""
    return f"{voice_of(spec).persona}-{figures.adapter_sha256[:16]}"


def speaker_with(base: BaseFolder, *adapters: AdapterFolder | None) -> Engine:
    """An engine on the base with the adapters that are there."""
    engine = Engine(base)
    for adapter in adapters:
        if adapter is not None:
            engine.load(adapter)
    return engine
