"""Flagged episodes over HTTP: seen with what is strange about them, decided one by one and together."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.oversight import ReviewItem, ReviewKind, ReviewState, review_id_of
from tests.two_tenants import OURS, THEIRS, Sent, World, two_tenants

LIST, ONE = "/api/ml/reviews", "/api/ml/reviews/{review_id}"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with two_tenants(tmp_path) as made:
        yield made


def get(world: World, expect: int = 200, **query: str) -> Any:
    answer = world.send("GET", LIST, Sent(query=query), world.keys[OURS])
    assert answer.status_code == expect, answer.text
    return answer.json()


def decide(world: World, decision: str, review_id: str = "", expect: int = 200) -> Any:
    body = {"decision": decision, "reason": "looked at it"}
    sent = Sent(path={"review_id": review_id or world.ours.review}, body=body)
    answer = world.send("POST", ONE, sent, world.keys[OURS])
    assert answer.status_code == expect, answer.text
    return answer.json()


def decide_many(world: World, expect: int = 200, **body: Any) -> Any:
    told = {"decision": "release", "reason": "fine"} | body
    answer = world.send("POST", LIST, Sent(body=told), world.keys[OURS])
    assert answer.status_code == expect, answer.text
    return answer.json()


@pytest.fixture
def second(world: World) -> str:
    """Another review, of the same episode for another reason, flagged later."""
    queue = world.service.workspace.reviews
    first = queue.item(world.ours.review, OURS)
    made = ReviewItem(
        review_id=review_id_of("coach", ReviewKind.OUTLIER_ACTION, first.episode_id, OURS),
        kind=ReviewKind.OUTLIER_ACTION,
        loop="coach",
        episode_id=first.episode_id,
        reason="walk was taken 40 times",
        score=7.25,
        flagged_at=first.flagged_at + timedelta(minutes=1),
        tenant=OURS,
    )
    assert queue.flag([made]) == 1
    return made.review_id


def test_an_answer_shows_the_episode_its_evidence_and_no_one_s_name(world: World) -> None:
    answer = get(world)
    (row,) = answer["reviews"]
    assert answer["next_after"] is None
    episode = world.service.workspace.log.episodes([world.ours.episode], OURS)[world.ours.episode]
    assert {name: row[name] for name in ("review_id", "kind", "state", "loop", "episode_id")} == {
        "review_id": world.ours.review,
        "kind": "anomaly",
        "state": "open",
        "loop": "coach",
        "episode_id": world.ours.episode,
    }
    assert (row["score"], row["reason"]) == (6.5, "signals contradict each other: ours")
    assert (row["action"], row["propensity"], row["arm"]) == ("walk", 0.25, "active")
    assert row["model_version"] == "ours"
    assert row["timestamp"].startswith(episode.timestamp.isoformat()[:19])
    assert row["signals"] == [
        {"signal_type": "engagement", "value": 0.5, "confidence": 0.75, "latency": 60}
    ]
    assert (row["decided_by"], row["decided_at"], row["decision_reason"]) == ("", None, "")
    assert row["person"] == episode.user_id[:12]
    text = str(answer)
    assert world.ours.user not in text
    assert episode.user_id not in text


def test_a_decision_is_kept_with_its_name_and_reason_and_audited_once(world: World) -> None:
    last = world.audited(OURS)[-1].sequence
    first = decide(world, "reject")
    assert (first["state"], first["decision_reason"]) == ("rejected", "looked at it")
    assert first["decided_by"].startswith("key:")
    assert decide(world, "reject") == first
    (entry,) = world.audited(OURS, last)
    assert (entry.action, entry.actor) == ("review.reject", first["decided_by"])
    assert entry.resource == world.ours.review
    path = {"review_id": world.ours.review}
    assert world.send("GET", ONE, Sent(path=path), world.keys[OURS]).json() == first


def test_each_decision_leads_to_its_state(world: World) -> None:
    for decision, state in (("release", "released"), ("reject", "rejected"), ("reopen", "open")):
        assert decide(world, decision)["state"] == state
        for shown in ("open", "released", "rejected"):
            assert len(get(world, state=shown)["reviews"]) == (shown == state)
    assert len(get(world, state="all")["reviews"]) == 1


def test_pages_go_on_after_the_last_review(world: World, second: str) -> None:
    whole = get(world)
    assert [row["review_id"] for row in whole["reviews"]] == [world.ours.review, second]
    first = get(world, limit="1")
    assert first["reviews"] == whole["reviews"][:1]
    assert first["next_after"] == world.ours.review
    rest = get(world, limit="1", after=first["next_after"])
    assert rest == {"reviews": whole["reviews"][1:], "next_after": None}
    assert get(world, limit="2")["next_after"] is None


def test_several_are_decided_together_and_each_once(world: World, second: str) -> None:
    ids = [second, world.ours.review.upper(), second]
    rows = decide_many(world, review_ids=ids)["reviews"]
    assert [(r["review_id"], r["state"]) for r in rows] == [
        (second, "released"),
        (world.ours.review, "released"),
    ]
    assert get(world)["reviews"] == []


def test_an_unknown_or_foreign_one_among_several_decides_none(world: World, second: str) -> None:
    unknown = decide_many(world, 404, review_ids=[second, str(uuid.uuid4())])
    assert unknown["title"] == "ShouldNameKnownId"
    foreign = decide_many(world, 403, review_ids=[second, world.theirs.review])
    assert "another tenant's" in foreign["detail"]
    assert len(get(world)["reviews"]) == 2
    theirs = world.service.workspace.reviews.item(world.theirs.review, THEIRS)
    assert theirs.state is ReviewState.OPEN


@pytest.mark.parametrize(
    "wrong",
    [
        {"decision": "forget"},
        {"reason": ""},
        {"reason": "  "},
        {"reason": "a\x00b"},
        {"reason": "x" * 501},
        {"review_ids": []},
        {"review_ids": [str(uuid.uuid4())] * 501},
        {"surprise": 1},
    ],
)
def test_malformed_decisions_are_refused(world: World, wrong: dict[str, Any]) -> None:
    decide_many(world, 422, **({"review_ids": [world.ours.review]} | wrong))
    assert len(get(world)["reviews"]) == 1


def test_unknown_ids_states_and_loops_are_named(world: World) -> None:
    missing = str(uuid.uuid4())
    assert missing in decide(world, "release", missing, 404)["detail"]
    assert missing in get(world, 404, after=missing)["detail"]
    get(world, 403, after=world.theirs.review)
    get(world, 422, state="closed")
    get(world, 422, limit="0")
    get(world, 422, limit="501")
    assert "nowhere" in get(world, 404, loop="nowhere")["detail"]
    assert get(world, loop="coach")["reviews"]


def test_an_episode_that_was_erased_takes_its_review_along(world: World) -> None:
    place = world.service.workspace
    episode = place.log.episodes([world.ours.episode], OURS)[world.ours.episode]
    place.people.erase(episode.user_id, "cli:test", episode.timestamp, OURS)
    assert get(world, state="all")["reviews"] == []
    decide(world, "release", expect=404)
