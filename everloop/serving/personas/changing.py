"""What a person may do to a persona: move a trait, undo a change, let it remember and forget.

Each is a revision and an audit entry. What one person told is kept in a graph of their own.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from everloop.contracts.access import without_people
from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.personas import MemoryItem, PersonaGraph, PersonaRevision
from everloop.contracts.voice_spec import VoiceSpec
from everloop.persona.adjustment import adjusted
from everloop.persona.exemplars import without_exemplar
from everloop.persona.memory import forgotten, remembered
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
    """Adjust a trait as feedback of full weight would: damped alike, with the whole cap.

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
    seen: int | None = None,
) -> PersonaRevision:
    """Return to an earlier revision, to the byte; as ``undo`` of ``everloop.persona.revisions``."""
    made = undo(place.personas, spec.persona, actor, reason, now, to, tenant=tenant, seen=seen)
    detail = {"undoes": made.undoes, "reason": without_people(reason)}
    place.audit.append(tenant, actor, "persona.undo", f"{spec.persona}/{made.number}", 1, detail)
    return made


def remember(
    place: Workspace,
    spec: VoiceSpec,
    text: str,
    actor: str,
    now: datetime,
    person: str | None = None,
    tenant: str = "default",
) -> tuple[PersonaRevision, str]:
    """Let a persona remember a fact; the revision, and the source id by which it is forgotten.

    Args:
        person: pseudonym of whose conversations alone may meet it; None: everybody's.

    Raises:
        ShouldFixArgument: the text is empty.
        ShouldResolveConflict: others keep changing the persona.
    """
    source = f"note {uuid.uuid4()}"
    item = MemoryItem(text.strip(), source, person)
    made = revised(
        place.personas,
        spec,
        lambda graph: remembered(graph, item),
        f"{actor} {source}",
        "A fact to remember.",
        now,
        person,
        tenant,
    )
    _tell(place, "persona.remember", spec, made, actor)
    return made, source


def forget(
    place: Workspace,
    spec: VoiceSpec,
    source: str,
    actor: str,
    reason: str,
    now: datetime,
    person: str | None = None,
    tenant: str = "default",
) -> PersonaRevision:
    """Let a persona forget the facts and exemplars of a source; earlier revisions still hold them.

    Raises:
        ShouldNameKnownId: it remembers nothing of that source.
        ShouldResolveConflict: others keep changing the persona.
    """

    def changed(graph: PersonaGraph) -> PersonaGraph:
        left = without_exemplar(forgotten(graph, source), source)
        if left is graph:
            raise ShouldNameKnownId(
                f"Persona {spec.persona!r} remembers nothing of source {source!r}.",
                "See what it remembers: everloop persona show.",
            )
        return left

    cause = f"{actor} {uuid.uuid4()}"
    made = revised(place.personas, spec, changed, cause, reason, now, person, tenant)
    _tell(place, "persona.forget", spec, made, actor)
    return made


def _tell(
    place: Workspace, action: str, spec: VoiceSpec, made: PersonaRevision, actor: str
) -> None:
    whose = "" if made.user_id is None else " of a person"
    place.audit.append(made.tenant, actor, action, f"{spec.persona}/{made.number}{whose}")
