"""What serves has changed: the versions of its voice say so, and a persona that was taken back is back."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint, ModelType
from everloop.contracts.personas import PersonaRevision
from everloop.contracts.rollouts import Head, RolloutRecord
from everloop.contracts.voice_spec import VoiceSpec
from everloop.persona.prompt_artefact import FILE, read_prompt
from everloop.persona.revisions import revised
from everloop.registry.loading import active_alias, load
from everloop.registry.voice_status import follow_head
from everloop.wiring import Workspace

REVISION = "revision"
"""Lineage of a prompt's checkpoint: which revision of the persona it is."""


def follow_voice(
    workspace: Workspace, spec: LoopSpec, head: Head, records: Iterable[RolloutRecord]
) -> None:
    """Bring versions and persona of a loop's voice in step with its head; safe to repeat.

    Raises:
        ShouldRestoreArtefact: the prompt that serves again is missing or damaged.
    """
    if spec.voice is None:
        return
    follow_head(workspace.voices, spec.voice.persona, head, records, workspace.registry)
    take_back_persona(workspace, spec.voice, spec.name, head.tenant)


def take_back_persona(
    workspace: Workspace, voice: VoiceSpec, loop: str, tenant: str
) -> PersonaRevision | None:
    """Where the prompt that serves went back to an earlier revision, write that one anew, byte for byte.

    What people move afterwards moves it from there. Each change of what serves does so once.

    Returns:
        The revision that the change caused; None where nothing went back.
    """
    alias = active_alias(ModelType.PROMPT)
    moves = [
        move for move in workspace.registry.deployment_log(loop, tenant) if move["alias"] == alias
    ]
    last = max(moves, key=lambda move: int(move["generation"] or 0), default=None)
    if last is None or last["checkpoint_id"] is None or last["previous_checkpoint_id"] is None:
        return None
    now = workspace.registry.checkpoint(str(last["checkpoint_id"]))
    before = workspace.registry.checkpoint(str(last["previous_checkpoint_id"]))
    returned, left = _revision(now), _revision(before)
    if returned is None or left is None or returned >= left:
        return None
    cause = f"rollback {loop} {last['generation']}"
    known = workspace.personas.caused_by(voice.persona, cause, None, tenant)
    if known is not None:
        return known
    found = load(now.checkpoint_id, workspace.registry, workspace.blobs)
    graph = read_prompt(found.file(FILE), found.checkpoint.files[FILE])
    return revised(
        workspace.personas,
        voice,
        lambda _: graph,
        cause,
        f"What serves went back to revision {returned}.",
        datetime.now(UTC),
        tenant=tenant,
    )


def _revision(prompt: ModelCheckpoint) -> int | None:
    """Which revision a prompt is; None for one that was made by hand and does not say."""
    told = prompt.lineage.get(REVISION, "")
    return int(told) if told.isdigit() else None
