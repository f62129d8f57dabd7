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

    ``active``: its adapter serves. ``archived``: it served and does not, or its trial is over or was
    refused. What is left is ``experimental``. Safe to repeat, and to do from several places.

    Args:
        head: of a loop that the persona speaks for.
        rollouts: of the same loop.
    """
    serves = head.serves.get(ADAPTER)
    serving = None if serves is None else serves.checkpoint_id
    mine = [record for record in rollouts if record.subject == ADAPTER]
    open_ = {record.candidate for record in mine if record.state not in OVER}
    tried = {record.candidate for record in mine} - open_
    changed = 0
    for version in voices.versions(persona, None, head.tenant, references=False):
        wanted = version.status
        if version.model_id == serving:
            wanted = VersionStatus.ACTIVE
        elif version.status is VersionStatus.ACTIVE or version.model_id in tried:
            wanted = VersionStatus.ARCHIVED
        if wanted is not version.status:
            voices.set_status(version.model_id, wanted, head.tenant)
            changed += 1
    return changed
