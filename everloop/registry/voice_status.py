"""The status of a persona's model versions, as what serves and what was tried say it is."""

from __future__ import annotations

from collections.abc import Iterable

from everloop.contracts.errors import ShouldResolveConflict, ShouldRestoreArtefact
from everloop.contracts.ports import Registry
from everloop.contracts.rollouts import ADAPTER, OVER, Head, RolloutRecord
from everloop.contracts.voice_ports import VoiceStore
from everloop.contracts.voices import ModelVersion, VersionStatus


def follow_head(
    voices: VoiceStore,
    persona: str,
    head: Head,
    rollouts: Iterable[RolloutRecord],
    registry: Registry,
) -> int:
    """Give every version of a persona of the product the status that it has; how many changed.

    Versions of another loop with the same persona stay as they are: that loop's head tells of them.

    ``active``: its adapter serves. ``experimental``: it is on trial, or waits for a trial or a person.
    ``archived``: it served and does not, its trial is over or was refused, or it has none: the run that
    registered it ended before. Where that run goes on to the trial, it is ``experimental`` again. Safe to
    repeat, and to do from several places.

    Args:
        head: of a loop that the persona speaks for.
        rollouts: all of the same loop, read after the head.
        registry: tells of which loop a version's adapter is.
    """
    serves = head.serves.get(ADAPTER)
    serving = None if serves is None else serves.checkpoint_id
    mine = [record for record in rollouts if record.subject == ADAPTER]
    on_trial = {record.candidate for record in mine if record.state not in OVER}
    changed = 0
    for version in voices.versions(persona, None, head.tenant, references=False):
        wanted = VersionStatus.ARCHIVED
        if version.model_id == serving:
            wanted = VersionStatus.ACTIVE
        elif version.model_id in on_trial:
            wanted = VersionStatus.EXPERIMENTAL
        if wanted is not version.status and _is_of(head.loop, version, registry):
            voices.set_status(version.model_id, wanted, head.tenant)
            changed += 1
    return changed


def of_loop(
    versions: Iterable[ModelVersion], loop: str, registry: Registry
) -> tuple[ModelVersion, ...]:
    """Those that are not of another loop with the same persona, in their order."""
    return tuple(version for version in versions if _is_of(loop, version, registry))


def require_own_persona(
    voices: VoiceStore, persona: str, loop: str, registry: Registry, tenant: str
) -> None:
    """Refuse a loop whose persona speaks for another one: of a persona one version is active.

    Raises:
        ShouldResolveConflict: a version of another loop serves or may serve.
    """
    for version in voices.versions(persona, None, tenant, references=False):
        archived = version.status is VersionStatus.ARCHIVED
        if not archived and not _is_of(loop, version, registry):
            other = registry.checkpoint(version.model_id).loop
            raise ShouldResolveConflict(
                f"Persona {persona!r} of loop {loop!r} speaks for loop {other!r} already (version "
                f"{version.version_number} is {version.status.value}).",
                "Give this loop's voice a persona of its own (voice.persona).",
            )


def _is_of(loop: str, version: ModelVersion, registry: Registry) -> bool:
    try:
        return registry.checkpoint(version.model_id).loop == loop
    except ShouldRestoreArtefact:  # no loop can serve it
        return True
