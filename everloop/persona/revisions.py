"""Changes of persona graphs: each a revision, each applied once, each undone to the byte."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from everloop.contracts.errors import ShouldFixArgument, ShouldResolveConflict
from everloop.contracts.feedback import FeedbackInstance, FeedbackStatus
from everloop.contracts.personas import PersonaGraph, PersonaRevision, PersonaStore
from everloop.contracts.voice_spec import TraitSpec, VoiceSpec
from everloop.persona.adjustment import adjusted
from everloop.persona.graph import content_of, first_graph, graph_of
from everloop.persona.shares import Earlier, used

BEGINNING = "specification"
"""Cause of the first revision."""
TEACHES = frozenset({FeedbackStatus.ACCEPTED, FeedbackStatus.RELEASED})
_TRIES = 20
_LOOKED_THROUGH = 1000
"""Revisions, for one that is another than the newest."""
Change = Callable[[PersonaGraph], PersonaGraph]


def begun(
    store: PersonaStore,
    spec: VoiceSpec,
    now: datetime,
    user_id: str | None = None,
    tenant: str = "default",
) -> PersonaRevision:
    """The newest revision; the first one is written where there is none."""
    for _ in range(_TRIES):
        newest = store.newest(spec.persona, user_id, tenant)
        if newest is not None:
            return newest
        first = _revision(
            *(1, spec.persona, content_of(first_graph(spec, user_id, tenant)), BEGINNING),
            *("As the specification says.", now, user_id, tenant),
        )
        try:
            return store.append(first)
        except ShouldResolveConflict:
            continue
    raise _restless(spec.persona)


def revised(
    store: PersonaStore,
    spec: VoiceSpec,
    change: Change,
    cause: str,
    reason: str,
    now: datetime,
    user_id: str | None = None,
    tenant: str = "default",
) -> PersonaRevision:
    """Change a graph once for each cause, however often and from how many places it is asked.

    Args:
        change: gives the next graph from the newest; asked again where somebody else changed it meanwhile.
        cause: the feedback, run or person behind it; asked a second time it changes nothing and gives the
            revision that it caused.
        reason: for people to read.
        user_id: whose own graph; None: the persona's.

    Raises:
        ShouldResolveConflict: others keep changing it.
        Whatever ``change`` raises; nothing is written then.
    """
    if not cause.strip() or not reason.strip():
        raise ShouldFixArgument(f"cause={cause!r}, reason={reason!r}: one is empty.", "Say both.")
    for _ in range(_TRIES):
        newest = begun(store, spec, now, user_id, tenant)
        known = store.caused_by(spec.persona, cause, user_id, tenant)
        if known is not None:
            return known
        content = content_of(change(graph_of(newest.content)))
        after = _revision(
            *(newest.number + 1, spec.persona, content, cause, reason, now, user_id, tenant)
        )
        try:
            return store.append(after)
        except ShouldResolveConflict:
            continue
    raise _restless(spec.persona)


def applied(
    store: PersonaStore,
    spec: VoiceSpec,
    feedback: FeedbackInstance,
    now: datetime,
    earlier: Earlier,
) -> PersonaRevision | None:
    """Let a feedback move the persona's traits; None where it moves none.

    Each trait of the voice that interpretations name is adjusted once, by their sum within [-1, 1],
    weighted by the feedback's weight x confidence x quality, as far as the person's share reaches;
    where it is used up, the revision changes nothing. Quarantined and rejected
    feedback moves nothing; the same feedback again moves nothing, also after its effect was undone.

    Args:
        earlier: what the same person's feedback did; read again where somebody else changed the graph.
    """
    weight = feedback.weight * feedback.confidence * feedback.quality
    asked = _asked(spec, feedback)
    teaches = feedback.persona == spec.persona and feedback.status in TEACHES
    if not teaches or not asked or weight <= 0.0:
        return None

    def moved(graph: PersonaGraph) -> PersonaGraph:
        theirs = used(spec.adjustment, now, earlier)
        for trait, adjustment in asked:
            share = theirs.of(trait)
            graph = adjusted(graph, spec, trait.name, adjustment, weight, now, share)
        return graph

    told = ", ".join(f"{trait.name} {adjustment:+.2g}" for trait, adjustment in asked)
    return revised(
        *(store, spec, moved, feedback.feedback_id, f"Feedback asks for {told}.", now),
        tenant=feedback.tenant,
    )


def _asked(spec: VoiceSpec, feedback: FeedbackInstance) -> list[tuple[TraitSpec, float]]:
    """Traits of the voice that a feedback names, with what it asks of each."""
    found: dict[str, float] = {}
    for each in feedback.interpretations:
        if each.trait is not None:
            wanted = found.get(each.trait, 0.0) + each.adjustment
            found[each.trait] = max(-1.0, min(1.0, wanted))
    return [(trait, found[trait.name]) for trait in spec.traits if trait.name in found]


def undo(
    store: PersonaStore,
    persona: str,
    actor: str,
    reason: str,
    now: datetime,
    to: int | None = None,
    user_id: str | None = None,
    tenant: str = "default",
    seen: int | None = None,
) -> PersonaRevision:
    """Write a revision whose content is, byte for byte, an earlier one's. Feedback that came after that
    one moves nothing again.

    Args:
        to: number of that revision; None: the newest whose content is another, so that undoing twice leaves
            what there was before.
        seen: number of the newest revision that who undoes has looked at; None: whatever it is.

    Raises:
        ShouldNameKnownId: there is no such revision.
        ShouldFixArgument: there is nothing to undo, or no actor or reason.
        ShouldResolveConflict: the persona was changed meanwhile: look again at what is to be undone.
        ShouldRestoreArtefact: the earlier revision's bytes are no graph.
    """
    if not actor.strip() or not reason.strip():
        raise ShouldFixArgument(f"actor={actor!r}, reason={reason!r}.", "Say who undoes and why.")
    newest = store.newest(persona, user_id, tenant)
    if newest is None:
        raise _unchanged(persona)
    if seen is not None and seen != newest.number:
        raise ShouldResolveConflict(
            f"Persona {persona!r} is at revision {newest.number} by now, not {seen}.",
            "Look again at what is to be undone: everloop persona history.",
        )
    number = _before(store, newest) if to is None else to
    if number == newest.number:
        raise ShouldFixArgument(
            f"Revision {number} of persona {persona!r} is what serves.", "Name an earlier one."
        )
    target = store.revision(persona, number, user_id, tenant)
    graph_of(target.content)
    cause = f"{actor} returns {newest.number} to {number}"
    return store.append(
        _revision(
            *(newest.number + 1, persona, target.content, cause, reason, now, user_id, tenant),
            undoes=newest.number,
        )
    )


def _before(store: PersonaStore, newest: PersonaRevision) -> int:
    """Number of the newest revision whose content is another than the newest one's."""
    earlier = store.revisions(newest.persona, newest.user_id, newest.tenant, _LOOKED_THROUGH)
    for revision in earlier:
        if revision.content != newest.content:
            return revision.number
    raise _unchanged(newest.persona)


def _unchanged(persona: str) -> ShouldFixArgument:
    return ShouldFixArgument(
        f"Persona {persona!r} has no change to undo.",
        "See everloop persona history, and name a revision.",
    )


def _revision(
    number: int,
    persona: str,
    content: bytes,
    cause: str,
    reason: str,
    now: datetime,
    user_id: str | None,
    tenant: str,
    undoes: int | None = None,
) -> PersonaRevision:
    return PersonaRevision(
        number=number,
        persona=persona,
        content=content,
        cause=cause,
        reason=reason,
        recorded_at=now.astimezone(UTC),
        user_id=user_id,
        undoes=undoes,
        tenant=tenant,
    )


def _restless(persona: str) -> ShouldResolveConflict:
    return ShouldResolveConflict(
        f"Persona {persona!r} changed {_TRIES} times while it was to be changed.", "Try again."
    )
