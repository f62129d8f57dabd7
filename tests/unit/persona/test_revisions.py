"""Feedback moves a persona once; undo gives back every byte."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId, ShouldResolveConflict
from everloop.contracts.feedback import (
    AIInterpretation,
    FeedbackInstance,
    FeedbackSource,
    FeedbackStatus,
    FeedbackType,
)
from everloop.contracts.personas import MemoryItem, PersonaRevision
from everloop.persona.graph import content_of, graph_of
from everloop.persona.memory import remembered
from everloop.persona.revisions import applied, begun, revised, undo
from tests.memory_personas import MemoryPersonas
from tests.unit.persona.test_adjustment import value, voice

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
SPEC = voice()


def feedback(
    adjustment: float = -0.2, trait: str = "formality", status: str = "accepted"
) -> FeedbackInstance:
    return FeedbackInstance(
        feedback_id=str(uuid.uuid4()),
        log_id=str(uuid.uuid4()),
        user_id="a" * 64,
        session_id="b" * 64,
        timestamp=NOW,
        feedback_type=FeedbackType.CATEGORICAL_CHOICE,
        source=FeedbackSource.CATEGORY,
        raw_value="too_formal",
        value="too_formal",
        interpretations=(AIInterpretation("too_formal", trait, adjustment, -0.5),),
        weight=0.8,
        confidence=0.5,
        quality=1.0,
        quality_reasons=(),
        status=FeedbackStatus(status),
        agent_id="voice",
        task_type="chat",
        persona="companion",
        model_version="v1",
    )


def newest(store: MemoryPersonas) -> PersonaRevision:
    found = store.newest("companion")
    assert found is not None
    return found


def test_feedback_moves_a_trait_at_once_and_once() -> None:
    store, said = MemoryPersonas(), feedback()
    first = applied(store, SPEC, said, NOW)
    assert first is not None
    assert first.number == 2
    assert first.cause == said.feedback_id
    # rate .5 x adjustment -.2 x weight .8 x confidence .5
    assert value(graph_of(first.content)) == pytest.approx(-0.04)
    assert applied(store, SPEC, said, NOW + timedelta(days=9)) == first
    assert newest(store) == first


@pytest.mark.parametrize("status", ["quarantined", "rejected"])
def test_what_does_not_teach_moves_nothing_until_it_is_released(status: str) -> None:
    store, said = MemoryPersonas(), feedback(status=status)
    assert applied(store, SPEC, said, NOW) is None
    assert store.newest("companion") is None
    released = replace(said, status=FeedbackStatus.RELEASED)
    assert applied(store, SPEC, released, NOW) is not None


def test_feedback_on_another_persona_or_an_unknown_trait_moves_nothing() -> None:
    store = MemoryPersonas()
    assert applied(store, SPEC, replace(feedback(), persona="other"), NOW) is None
    assert applied(store, SPEC, feedback(trait="humor"), NOW) is None
    assert applied(store, SPEC, replace(feedback(), quality=0.0), NOW) is None
    assert store.newest("companion") is None


def test_undo_gives_back_every_byte_and_so_does_its_undo() -> None:
    store = MemoryPersonas()
    before = begun(store, SPEC, NOW)
    after = applied(store, SPEC, feedback(), NOW)
    assert after is not None
    assert after.content != before.content
    back = undo(store, "companion", "ann", "too early", NOW)
    assert (back.number, back.undoes, back.content) == (3, 2, before.content)
    assert back.sha256 == before.sha256
    again = undo(store, "companion", "ann", "it was right", NOW)
    assert (again.number, again.undoes, again.content) == (4, 3, after.content)
    far = undo(store, "companion", "ann", "to the beginning", NOW, to=1)
    assert (far.undoes, far.content) == (4, before.content)
    changed = bytearray(far.content)
    changed[len(changed) // 2] ^= 1
    assert bytes(changed) != before.content


def test_feedback_that_was_undone_does_not_come_back() -> None:
    store, said = MemoryPersonas(), feedback()
    applied(store, SPEC, said, NOW)
    back = undo(store, "companion", "ann", "no", NOW)
    applied(store, SPEC, said, NOW)
    assert newest(store) == back


def test_what_cannot_be_undone_is_refused() -> None:
    store = MemoryPersonas()
    with pytest.raises(ShouldFixArgument, match="no change"):
        undo(store, "companion", "ann", "why", NOW)
    begun(store, SPEC, NOW)
    with pytest.raises(ShouldFixArgument, match="no change"):
        undo(store, "companion", "ann", "why", NOW)
    with pytest.raises(ShouldFixArgument, match="what serves"):
        undo(store, "companion", "ann", "why", NOW, to=1)
    with pytest.raises(ShouldNameKnownId):
        undo(store, "companion", "ann", "why", NOW, to=7)
    with pytest.raises(ShouldFixArgument, match="who undoes"):
        undo(store, "companion", "", "why", NOW)


class _Late(MemoryPersonas):
    """Somebody else writes just before the first append of a change."""

    def __init__(self) -> None:
        super().__init__()
        self.rival: FeedbackInstance | None = None

    def append(self, revision: PersonaRevision) -> PersonaRevision:
        if self.rival is not None and revision.number > 1:
            rival, self.rival = self.rival, None
            applied(self, SPEC, rival, NOW)
        return super().append(revision)


def test_a_lost_race_is_run_again_on_what_won() -> None:
    store = _Late()
    store.rival = feedback(-0.4)
    found = applied(store, SPEC, feedback(-0.2), NOW)
    assert found is not None
    assert found.number == 3
    # .5 x -.16 and then .5 x mean(-.16, -.08)
    assert value(graph_of(found.content)) == pytest.approx(-0.08 - 0.06)


def test_an_undo_that_lost_a_race_is_refused() -> None:
    store = _Late()
    applied(store, SPEC, feedback(), NOW)
    store.rival = feedback()
    with pytest.raises(ShouldResolveConflict):
        undo(store, "companion", "ann", "why", NOW)


def test_many_at_once_lose_nothing() -> None:
    store = MemoryPersonas()
    said = [feedback(0.1) for _ in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: applied(store, SPEC, each, NOW), [*said, *said]))
    causes = [row.cause for row in store.revisions("companion")]
    assert sorted(causes) == sorted([*(each.feedback_id for each in said), "specification"])


def test_a_persons_own_graph_is_apart() -> None:
    store = MemoryPersonas()
    item = MemoryItem("has a dog", "note", "ann")
    revised(store, SPEC, lambda g: remembered(g, item), "me", "why", NOW, "ann")
    own = store.newest("companion", "ann")
    assert own is not None
    assert graph_of(own.content).memory == (item,)
    assert content_of(graph_of(own.content)) == own.content
    assert store.newest("companion") is None
    with pytest.raises(ShouldFixArgument, match="empty"):
        revised(store, SPEC, lambda g: g, " ", "why", NOW)


def test_what_was_not_looked_at_is_not_undone() -> None:
    store = MemoryPersonas()
    applied(store, SPEC, feedback(), NOW)
    with pytest.raises(ShouldResolveConflict, match="at revision 2 by now, not 1"):
        undo(store, "companion", "ann", "why", NOW, seen=1)
    assert undo(store, "companion", "ann", "why", NOW, seen=2).undoes == 2
