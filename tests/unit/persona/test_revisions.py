"""Feedback moves a persona once; undo gives back every byte."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument, ShouldNameKnownId, ShouldResolveConflict
from everloop.contracts.feedback import (
    AIInterpretation,
    FeedbackInstance,
    FeedbackSource,
    FeedbackStatus,
    FeedbackType,
)
from everloop.contracts.personas import MemoryItem, PersonaRevision
from everloop.contracts.voice_spec import VoiceSpec
from everloop.persona.graph import content_of, graph_of
from everloop.persona.memory import remembered
from everloop.persona.revisions import applied, begun, revised, undo
from tests.memory_personas import MemoryPersonas
from tests.unit.persona.test_adjustment import value, voice

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SPEC = voice()


def feedback(
    adjustment: float = -0.2,
    trait: str = "formality",
    status: str = "accepted",
    person: str = "a",
    weight: float = 0.8,
) -> FeedbackInstance:
    return FeedbackInstance(
        feedback_id=str(uuid.uuid4()),
        log_id=str(uuid.uuid4()),
        user_id=person * 64,
        session_id="b" * 64,
        timestamp=NOW,
        feedback_type=FeedbackType.CATEGORICAL_CHOICE,
        source=FeedbackSource.CATEGORY,
        raw_value="too_formal",
        value="too_formal",
        interpretations=(AIInterpretation("too_formal", trait, adjustment, -0.5),),
        weight=weight,
        confidence=0.5,
        quality=1.0,
        quality_reasons=(),
        status=FeedbackStatus(status),
        agent_id="voice",
        task_type="chat",
        persona="companion",
        model_version="v1",
    )


def let(
    store: MemoryPersonas, said: FeedbackInstance, now: datetime, spec: VoiceSpec = SPEC
) -> PersonaRevision | None:
    """Let a feedback move a persona, as one of all that its person said."""
    store.said.setdefault(said.user_id, set()).add(said.feedback_id)
    return applied(
        *(store, spec, said, now),
        lambda since: store.moved("companion", said.user_id, since),
    )


def newest(store: MemoryPersonas) -> PersonaRevision:
    found = store.newest("companion")
    assert found is not None
    return found


def test_feedback_moves_a_trait_at_once_and_once() -> None:
    store, said = MemoryPersonas(), feedback()
    first = let(store, said, NOW)
    assert first is not None
    assert first.number == 2
    assert first.cause == said.feedback_id
    # rate .5 x adjustment -.2 x weight .8 x confidence .5
    assert value(graph_of(first.content)) == pytest.approx(-0.04)
    assert let(store, said, NOW + timedelta(days=9)) == first
    assert newest(store) == first


@pytest.mark.parametrize("status", ["quarantined", "rejected"])
def test_what_does_not_teach_moves_nothing_until_it_is_released(status: str) -> None:
    store, said = MemoryPersonas(), feedback(status=status)
    assert let(store, said, NOW) is None
    assert store.newest("companion") is None
    released = replace(said, status=FeedbackStatus.RELEASED)
    assert let(store, released, NOW) is not None


def test_feedback_on_another_persona_or_an_unknown_trait_moves_nothing() -> None:
    store = MemoryPersonas()
    assert let(store, replace(feedback(), persona="other"), NOW) is None
    assert let(store, feedback(trait="humor"), NOW) is None
    assert let(store, replace(feedback(), quality=0.0), NOW) is None
    assert store.newest("companion") is None


def test_undo_gives_back_every_byte_and_so_does_its_undo() -> None:
    store = MemoryPersonas()
    before = begun(store, SPEC, NOW)
    after = let(store, feedback(), NOW)
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
    let(store, said, NOW)
    back = undo(store, "companion", "ann", "no", NOW)
    let(store, said, NOW)
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
            let(self, rival, NOW)
        return super().append(revision)


def test_a_lost_race_is_run_again_on_what_won() -> None:
    store = _Late()
    store.rival = feedback(-0.4, person="c")
    found = let(store, feedback(-0.2), NOW)
    assert found is not None
    assert found.number == 3
    # .5 x -.16 and then .5 x mean(-.16, -.08)
    assert value(graph_of(found.content)) == pytest.approx(-0.08 - 0.06)


def test_a_share_that_was_used_in_a_race_is_used() -> None:
    store = _Late()
    store.rival = feedback(-1.0)
    found = let(store, feedback(-1.0), NOW)
    assert found is not None
    assert value(graph_of(found.content)) == pytest.approx(-0.1)


def test_an_undo_that_lost_a_race_is_refused() -> None:
    store = _Late()
    let(store, feedback(), NOW)
    store.rival = feedback()
    with pytest.raises(ShouldResolveConflict):
        undo(store, "companion", "ann", "why", NOW)


def test_many_at_once_lose_nothing() -> None:
    store = MemoryPersonas()
    said = [feedback(0.1) for _ in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda each: let(store, each, NOW), [*said, *said]))
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
    let(store, feedback(), NOW)
    with pytest.raises(ShouldResolveConflict, match="at revision 2 by now, not 1"):
        undo(store, "companion", "ann", "why", NOW, seen=1)
    assert undo(store, "companion", "ann", "why", NOW, seen=2).undoes == 2


def test_one_person_moves_half_the_cap_and_two_move_all_of_it() -> None:
    store, traits = MemoryPersonas(), []
    for person, count in (("a", 20), ("c", 20), ("d", 5)):
        for _ in range(count):
            let(store, feedback(-1.0, person=person, weight=1.0), NOW)
        traits.append(graph_of(newest(store).content).trait("formality"))
    assert [each.value for each in traits if each] == pytest.approx([-0.1, -0.2, -0.2])
    # .1 / rate .5 of each, and nothing of what came after
    assert [each.recent for each in traits if each] == [(-0.2,), (-0.2, -0.2), (-0.2, -0.2, -0.2)]
    tomorrow = NOW + DAY
    let(store, feedback(-1.0, weight=1.0), tomorrow)
    assert value(graph_of(newest(store).content)) == pytest.approx(-0.3)


def test_many_small_asks_after_a_large_one_do_not_ride_on_it() -> None:
    store = MemoryPersonas()
    let(store, feedback(-0.36, weight=1.0), NOW)  # .5 of it is believed: .5 x -.18
    for _ in range(5):
        let(store, feedback(-0.02, weight=0.1), NOW)  # .5 x mean(-.18, -.001) and so on
    assert value(graph_of(newest(store).content)) == pytest.approx(-0.1)


def test_a_used_up_share_is_told_and_changes_no_byte() -> None:
    store = MemoryPersonas()
    first = let(store, feedback(-1.0, weight=1.0), NOW)
    again = let(store, feedback(1.0, weight=1.0), NOW + timedelta(hours=1))
    assert first is not None
    assert again is not None
    assert (again.number, again.content) == (3, first.content)


def test_undo_goes_back_over_what_changed_nothing() -> None:
    store = MemoryPersonas()
    before = begun(store, SPEC, NOW)
    moved = [let(store, feedback(-1.0, weight=1.0), NOW) for _ in range(5)]
    assert undo(store, "companion", "ann", "why", NOW).content == before.content
    again = undo(store, "companion", "ann", "it was right", NOW)
    assert moved[0] is not None
    assert again.content == moved[0].content


def test_what_was_undone_stays_of_the_share() -> None:
    store = MemoryPersonas()
    let(store, feedback(-0.1, person="c"), NOW)
    before = newest(store)
    let(store, feedback(-1.0, weight=1.0), NOW)
    assert undo(store, "companion", "ann", "no", NOW).content == before.content
    for asked in (-1.0, 1.0):
        let(store, feedback(asked, weight=1.0), NOW)
        assert newest(store).content == before.content


def test_what_names_a_trait_twice_counts_once() -> None:
    said = feedback(-0.1)
    twice = replace(said, interpretations=said.interpretations * 2)
    found = let(MemoryPersonas(), twice, NOW)
    assert found is not None
    trait = graph_of(found.content).trait("formality")
    assert trait is not None
    assert trait.recent == pytest.approx((-0.08,))


@settings(max_examples=40, deadline=None)
@given(
    said=st.lists(
        st.tuples(
            st.sampled_from("acd"),
            st.floats(-1, 1),
            st.floats(0.01, 0.5),
            st.sampled_from([0, 1, 300, 1500]),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_nobody_moves_a_trait_by_more_than_their_share_a_day(
    said: list[tuple[str, float, float, int, bool]],
) -> None:
    store, now = MemoryPersonas(), NOW
    begun(store, SPEC, NOW)
    steps: list[tuple[str, datetime, float]] = []
    for person, asked, weight, minutes, undone in said:
        now += timedelta(minutes=minutes)
        before = newest(store).content
        let(store, feedback(asked, person=person, weight=weight), now)
        step = value(graph_of(newest(store).content)) - value(graph_of(before))
        steps.append((person, now, step))
        theirs = [each[1:] for each in steps if each[0] == person]
        late = [abs(step) for at, step in theirs if at > now - DAY]
        assert sum(late) <= 0.5 * SPEC.adjustment.cap + 1e-9
        assert abs(sum(step for _, step in theirs)) <= SPEC.adjustment.cap + 1e-9
        if undone and newest(store).content != before:
            assert undo(store, "companion", "ann", "no", now).content == before


LAST = voice(window=1)
"""The last ask alone decides."""


def asking(
    store: MemoryPersonas,
    days: int,
    asked: float = 1.0,
    begin: datetime = NOW,
    spec: VoiceSpec = SPEC,
) -> float:
    """Where formality is once one person asked the same four times a day."""
    for hour in range(0, 24 * days, 6):
        let(store, feedback(asked, weight=1.0), begin + timedelta(hours=hour), spec)
    return value(graph_of(newest(store).content))


def test_one_person_alone_takes_a_trait_nowhere_however_long_they_ask() -> None:
    store = MemoryPersonas()
    assert asking(store, 1) == pytest.approx(0.1)
    assert asking(store, 20, begin=NOW + DAY) == pytest.approx(0.2)
    for person in "cd":  # others go on from there
        let(store, feedback(1.0, person=person, weight=1.0), NOW + 21 * DAY)
    assert value(graph_of(newest(store).content)) == pytest.approx(0.4)
    let(store, feedback(1.0, weight=1.0), NOW + 25 * DAY)
    assert value(graph_of(newest(store).content)) == pytest.approx(0.4)
    let(store, feedback(1.0, weight=1.0), NOW + 31 * DAY)
    assert value(graph_of(newest(store).content)) == pytest.approx(0.5)


def test_who_went_to_one_side_may_come_back_and_go_as_far_to_the_other() -> None:
    store = MemoryPersonas()
    assert asking(store, 4, spec=LAST) == pytest.approx(0.2)
    assert asking(store, 8, -1.0, NOW + 4 * DAY, LAST) == pytest.approx(-0.2)
    assert asking(store, 8, 1.0, NOW + 12 * DAY, LAST) == pytest.approx(0.2)


def test_what_one_person_leans_does_not_go_on_with_others() -> None:
    """Without the bound on asks, feedback that asks for next to nothing would carry them on."""
    store = MemoryPersonas()
    asking(store, 2)
    before = newest(store).content
    asking(store, 1, begin=NOW + 3 * DAY)
    assert newest(store).content == before
    for _ in range(5):
        let(store, feedback(0.001, person="c", weight=0.1), NOW + 4 * DAY)
    trait = graph_of(newest(store).content).trait("formality")
    assert trait is not None
    assert sum(each for each in trait.recent if each > 0.01) == pytest.approx(0.4)  # reach / rate


def test_small_asks_do_not_carry_on_day_by_day_what_others_asked() -> None:
    store = MemoryPersonas()
    for person in "cd":
        let(store, feedback(1.0, person=person, weight=1.0), NOW)
    for day in range(1, 9):  # .5 x .4 / 3, .5 x .4 / 4 and so on: .28 in all
        let(store, feedback(0.01, weight=0.1), NOW + day * DAY)
    assert value(graph_of(newest(store).content)) == pytest.approx(0.2 + 0.2)


def test_an_undo_gives_nobody_their_reach_back() -> None:
    store = MemoryPersonas()
    begun(store, SPEC, NOW)
    assert asking(store, 2) == pytest.approx(0.2)
    back = undo(store, "companion", "ann", "no", NOW + 2 * DAY, to=1)
    assert back.content == store.revision("companion", 1).content
    assert asking(store, 3, begin=NOW + 3 * DAY) == 0.0
    assert newest(store).content == back.content


def test_a_reach_that_was_made_smaller_lets_who_is_beyond_it_come_back() -> None:
    store = MemoryPersonas()
    asking(store, 2)
    smaller = voice(window=1, person_reach=0.25)
    for asked, at in ((1.0, 0.2), (-1.0, 0.1)):
        let(store, feedback(asked, weight=1.0), NOW + 3 * DAY, smaller)
        assert value(graph_of(newest(store).content)) == pytest.approx(at)
