"""What a person may do to a persona: move a trait, undo a change. Each is a revision and an audit entry."""

from __future__ import annotations

import uuid
from datetime import datetime

from everloop.contracts.access import without_people
from everloop.contracts.personas import PersonaRevision
from everloop.contracts.voice_spec import VoiceSpec
from everloop.persona.adjustment import adjusted
from everloop.persona.revisions import revised, undo
from everloop.wiring import Workspace


def adjust(
    place: Workspace,
    spec: VoiceSpec,
    trait: str,
    adjustment: float,
    actor: str,
    reason: str,
    now: datetime,
    tenant: str = "default",
) -> PersonaRevision:
    """Adjust a trait as feedback of full weight would: damped and capped alike.

    Raises:
        ShouldNameKnownId, ShouldFixArgument: as ``adjusted``, or no reason is given.
        ShouldResolveConflict: others keep changing the persona.
    """
    made = revised(
        place.personas,
        spec,
        lambda graph: adjusted(graph, spec, trait, adjustment, 1.0, now),
        f"{actor} {uuid.uuid4()}",
        reason,
        now,
        tenant=tenant,
    )
    detail = {"trait": trait, "adjustment": adjustment, "reason": without_people(reason)}
    place.audit.append(tenant, actor, "persona.adjust", f"{spec.persona}/{made.number}", 1, detail)
    return made


def undo_change(
    place: Workspace,
    spec: VoiceSpec,
    to: int | None,
    actor: str,
    reason: str,
    now: datetime,
    tenant: str = "default",
) -> PersonaRevision:
    """Return to an earlier revision, to the byte; as ``undo`` of ``everloop.persona.revisions``."""
    made = undo(place.personas, spec.persona, actor, reason, now, to, tenant=tenant)
    detail = {"undoes": made.undoes, "reason": without_people(reason)}
    place.audit.append(tenant, actor, "persona.undo", f"{spec.persona}/{made.number}", 1, detail)
    return made
