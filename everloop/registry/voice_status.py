"""The status of a persona's model versions, as what serves and what was tried say it is."""

from __future__ import annotations

from collections.abc import Iterable

from everloop.contracts.rollouts import ADAPTER, OVER, Head, RolloutRecord
from everloop.contracts.voice_ports import VoiceStore
from everloop.contracts.voices import VersionStatus


def follow_head(
    voices: VoiceStore, persona: str, head: Head, rollouts: Iterable[RolloutRecord]
) -> int:
    """Give every version of a persona of the product the status that it has; how many changed.

    ``active``: its adapter serves. ``experimental``: it is on trial, or waits for a trial or a person.
    ``archived``: it served and does not, its trial is over or was refused, or it has none: the run that
    registered it ended before. Where that run goes on to the trial, it is ``experimental`` again. Safe to
    repeat, and to do from several places.

    Args:
        head: of a loop that the persona speaks for.
        rollouts: all of the same loop, read after the head.
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
        if wanted is not version.status:
            voices.set_status(version.model_id, wanted, head.tenant)
            changed += 1
    return changed
