"""Feedback over HTTP, on a workspace of its own: what is understood, stored, answered and refused."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from everloop import settings
from everloop.contracts.access import Scope
from everloop.contracts.episodes import Episode
from everloop.contracts.feedback import FeedbackStatus
from everloop.contracts.loop_spec import LoopSpec
from everloop.serving.access.credentials import make_key
from everloop.serving.app import create_app
from everloop.serving.configuration import ServiceConfig
from everloop.serving.opening import opened
from everloop.serving.service import Service

INTERACTION = "/api/rlhf/interaction"
FEEDBACK = "/api/rlhf/feedback"
ANALYSIS = "/api/rlhf/feedback/analysis"
BOT = {"user_agent": "python-requests/2.32"}


def own_client() -> dict[str, str]:
    """A device that nobody else has."""
    model = str(uuid.uuid4()).translate(str.maketrans("0123456789", "ghijklmnop"))
    return {
        "device_type": "desktop",
        "browser": "firefox",
        "user_agent": f"Mozilla/5.0 (X11; {model}; rv:140.0) Gecko/20100101 Firefox/140.0",
    }


@dataclass
class Door:
    """A caller of the service, and everything that a test asks of the other side."""

    app: FastAPI
    runner: asyncio.Runner
    service: Service
    keys: dict[str, str]
    numbers: Iterator[int] = field(default_factory=itertools.count)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def post(self, path: str, body: Any, key: str = "ingest", status: int = 201) -> Any:
        answer = self.send("POST", path, key, json=body)
        assert answer.status_code == status, answer.text
        return answer.json()

    def get(self, path: str, key: str = "read", status: int = 200, **query: str) -> Any:
        answer = self.send("GET", path, key, params=query)
        assert answer.status_code == status, answer.text
        return answer.json()

    def send(self, method: str, path: str, key: str, **sent: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys[key]}"} if key else {}

        async def exchange() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
                return await client.request(method, path, headers=headers, **sent)

        return self.runner.run(exchange())

    def interaction(self, key: str = "ingest", **changes: Any) -> dict[str, Any]:
        number = next(self.numbers)
        body = {
            "log_id": str(uuid.uuid4()),
            "user_id": f"person {number}",
            "session_id": f"session {number}",
            "timestamp": (self.now - timedelta(minutes=5)).isoformat(),
            "input_data": "what shall I write to her?",
            "output_data": "Kindly find enclosed my sincerest regards.",
            "agent_id": "writer",
            "task_type": "content_generation",
            "persona": "friend",
            "model_version": "voice-3",
            "client": own_client(),
        } | changes
        self.post(INTERACTION, body, key)
        return body

    def feedback(
        self, about: dict[str, Any] | None, kind: str, value: Any, **changes: Any
    ) -> dict[str, Any]:
        body = {
            "feedback_id": str(uuid.uuid4()),
            "timestamp": (self.now - timedelta(minutes=4)).isoformat(),
            "feedback_type": kind,
            "feedback_value": value,
            "client": about["client"] if about else own_client(),
        }
        return body | ({"log_id": about["log_id"]} if about else {}) | changes

    def episode(self, tenant: str = "default") -> str:
        spec: LoopSpec = self.service.loops["companion"]
        made = Episode(
            episode_id=str(uuid.uuid4()),
            user_id="a" * 64,
            loop=spec.name,
            context_snapshot={},
            action_taken="no_action",
            timestamp=self.now - timedelta(minutes=6),
            model_version="p-1",
            propensity=0.5,
            valid_actions=("no_action", "pair-one"),
            tenant=tenant,
        )
        self.service.workspace.log.append_episodes((made,))
        return made.episode_id


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    home: Path = tmp_path_factory.mktemp("feedback") / "home"
    settings.initialise(home)
    with opened(ServiceConfig(home=home, train=False)) as service:
        keys = {"": ""}
        for name, tenant, scopes in (
            ("ingest", "default", (Scope.INGEST,)),
            ("read", "default", (Scope.READ,)),
            ("other", "other", (Scope.INGEST, Scope.READ)),
        ):
            made = make_key(tenant, name, scopes, datetime.now(UTC))
            service.workspace.keys.add(made.record, "test")
            keys[name] = made.text
        with asyncio.Runner() as runner:
            yield Door(create_app(service), runner, service, keys)


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        ("rating", 4, {"value": 4.0, "weight": 0.4, "of": {"value": 0.5, "intent": "rating"}}),
        ("thumb", False, {"value": False, "weight": 0.4, "of": {"value": -1.0}}),
        (
            "categorical_choice",
            "Too formal",
            {
                "value": "too_formal",
                "weight": 0.6,
                "of": {"trait": "formality", "adjustment": -0.2, "intent": "too_formal"},
            },
        ),
        (
            "correction",
            "Warm regards to you.",
            {"weight": 1.0, "of": {"intent": "correction", "adjustment": 0.0}},
        ),
        ("comparison", {"winner": "tie"}, {"weight": 0.8, "of": {"value": 0.0, "intent": "tie"}}),
        (
            "free_text",
            "you used too many big words",
            {"weight": 0.6, "of": {"trait": "vocabulary_complexity", "adjustment": -0.2}},
        ),
        (
            "voice_adjustment",
            {"pitch": -0.5},
            {"weight": 1.0, "of": {"trait": "voice_pitch", "adjustment": -0.5, "value": None}},
        ),
        (
            "implicit_reply",
            "no, that's not right",
            {"weight": 0.2, "of": {"intent": "reply_displeased"}},
        ),
        ("conversion", True, {"value": 1.0, "of": {"value": 1.0}}),
        ("click", True, {"value": 1.0, "of": {"value": 1.0}}),
        ("scroll", 0.75, {"value": 0.75, "of": {"value": 0.75}}),
        ("dwell", 30, {"value": 30.0, "of": {"value": 0.5}}),
        ("trust_survey", 5, {"value": 5.0, "of": {"value": None, "intent": "trust"}}),
    ],
)
def test_every_type_is_understood_and_stored(
    door: Door, kind: str, value: Any, expected: dict[str, Any]
) -> None:
    about = door.interaction()
    body = door.feedback(about, kind, value)
    answer = door.post(FEEDBACK, body)
    of = expected.pop("of")
    assert {name: answer[name] for name in expected} == expected
    assert {name: answer["interpretations"][0][name] for name in of} == of
    assert answer["status"] == "accepted"
    stored = door.service.workspace.feedback.feedback(body["feedback_id"])
    assert (stored.agent_id, stored.task_type) == ("writer", "content_generation")
    assert (stored.persona, stored.model_version) == ("friend", "voice-3")
    assert stored.raw_value == value
    pseudonyms = door.service.workspace.pseudonyms
    assert stored.user_id == pseudonyms.of(about["user_id"])
    assert stored.session_id == pseudonyms.of(f"session:{about['session_id']}")


def test_a_value_outside_its_range_is_clamped_and_the_raw_one_kept(door: Door) -> None:
    body = door.feedback(door.interaction(), "rating", 9)
    answer = door.post(FEEDBACK, body)
    assert (answer["value"], answer["clamped"], answer["confidence"]) == (5.0, True, 0.5)
    stored = door.service.workspace.feedback.feedback(body["feedback_id"])
    assert (stored.raw_value, stored.value, stored.clamped) == (9, 5.0, True)


def test_feedback_on_a_decision_becomes_its_reward_signal(door: Door) -> None:
    episode = door.episode()
    about = door.interaction(episode_id=episode)
    answer = door.post(FEEDBACK, door.feedback(about, "thumb", True))
    (signal,) = answer["signals"]
    assert (signal["signal_type"], signal["value"]) == ("explicit_feedback", 1.0)
    assert signal["confidence"] == pytest.approx(0.4 * answer["quality"])
    (stored,) = door.service.workspace.log.signals_of([episode])[episode]
    assert stored.signal_id == signal["signal_id"]
    assert stored.latency == 120


def test_feedback_on_anothers_interaction_waits_for_a_reviewer(door: Door) -> None:
    episode = door.episode()
    about = door.interaction(episode_id=episode)
    body = door.feedback(about, "rating", 1, user_id="mallory", session_id="m")
    answer = door.post(FEEDBACK, body)
    assert (answer["status"], answer["signals"]) == ("quarantined", [])
    assert "another person's interaction" in answer["quality_reasons"][-1]
    assert answer["quality"] > 0.5
    assert door.service.workspace.log.signals_of([episode]) == {}
    own = door.feedback(about, "rating", 4, user_id=about["user_id"])
    assert door.post(FEEDBACK, own)["status"] == "accepted"


def test_a_behaviour_becomes_the_implicit_signal(door: Door) -> None:
    about = door.interaction(episode_id=door.episode())
    (signal,) = door.post(FEEDBACK, door.feedback(about, "scroll", 0.25))["signals"]
    assert (signal["signal_type"], signal["value"]) == ("engagement", 0.25)


def test_without_a_decision_behind_it_there_is_no_signal(door: Door) -> None:
    assert door.post(FEEDBACK, door.feedback(door.interaction(), "thumb", True))["signals"] == []


def test_a_replay_is_answered_as_before_and_stored_once(door: Door) -> None:
    about = door.interaction(episode_id=door.episode())
    body = door.feedback(about, "free_text", "way too formal")
    first = door.post(FEEDBACK, body)
    for _ in range(3):
        assert door.post(FEEDBACK, body) == first
    stored = door.service.workspace.log.signals_of([about["episode_id"]])
    assert len(stored[about["episode_id"]]) == 1


def test_the_same_id_with_another_payload_is_a_conflict(door: Door) -> None:
    about = door.interaction()
    body = door.feedback(about, "rating", 4)
    door.post(FEEDBACK, body)
    for change in (
        {"feedback_value": 5},
        {"feedback_type": "thumb", "feedback_value": True},
        {"target_element": "word_choice"},
        {"client": {**about["client"], "device_type": "mobile"}},
        {"timestamp": door.now.isoformat()},
        {"session_id": "elsewhere"},
    ):
        problem = door.post(FEEDBACK, body | change, status=409)
        assert problem["title"] == "ShouldResolveConflict", change


def test_without_an_id_the_same_feedback_at_the_same_time_is_a_replay(door: Door) -> None:
    body = door.feedback(door.interaction(), "rating", 2)
    del body["feedback_id"]
    first = door.post(FEEDBACK, body)
    assert door.post(FEEDBACK, body) == first
    later = body | {"timestamp": (door.now - timedelta(minutes=2)).isoformat()}
    assert door.post(FEEDBACK, later)["feedback_id"] != first["feedback_id"]


def test_an_id_needs_a_time_so_that_a_retry_is_the_same(door: Door) -> None:
    body = door.feedback(door.interaction(), "rating", 2)
    del body["timestamp"]
    assert "timestamp" in door.post(FEEDBACK, body, status=422)["detail"]
    del body["feedback_id"]
    door.post(FEEDBACK, body)


def test_orphan_feedback_is_refused(door: Door) -> None:
    body = door.feedback(None, "rating", 4, user_id="ann", session_id="s")
    assert "no interaction" in door.post(FEEDBACK, body, status=422)["detail"]
    unknown = body | {"log_id": str(uuid.uuid4())}
    assert unknown["log_id"] in door.post(FEEDBACK, unknown, status=422)["detail"]
    assert door.post(FEEDBACK, unknown, status=422)["title"] == "ShouldFixFeedback"


def test_another_tenants_interaction_is_out_of_reach(door: Door) -> None:
    theirs = door.interaction(key="other")
    assert door.post(FEEDBACK, door.feedback(theirs, "rating", 4), status=403)["title"] == (
        "ShouldAskForScope"
    )
    ours = door.interaction()
    door.post(FEEDBACK, door.feedback(ours, "rating", 4), key="other", status=403)


def test_a_trust_survey_needs_a_person_and_a_session_alone(door: Door) -> None:
    body = door.feedback(None, "trust_survey", 4, user_id="ann", session_id="s1")
    answer = door.post(FEEDBACK, body)
    assert (answer["value"], answer["signals"]) == (4.0, [])
    for missing in ("user_id", "session_id"):
        less = {name: told for name, told in body.items() if name != missing}
        door.post(FEEDBACK, less | {"feedback_id": str(uuid.uuid4())}, status=422)


def test_the_scope_is_asked_for(door: Door) -> None:
    about = door.interaction()
    door.post(FEEDBACK, door.feedback(about, "rating", 4), key="read", status=403)
    door.post(FEEDBACK, door.feedback(about, "rating", 4), key="", status=401)
    door.get(ANALYSIS, key="ingest", status=403)
    door.post(INTERACTION, {}, key="read", status=403)


def test_the_future_is_refused_and_the_past_is_not(door: Door) -> None:
    about = door.interaction()
    ahead = door.feedback(
        about, "rating", 4, timestamp=(datetime.now(UTC) + timedelta(minutes=6)).isoformat()
    )
    assert "future" in door.post(FEEDBACK, ahead, status=422)["detail"]
    skewed = door.feedback(
        about, "rating", 4, timestamp=(datetime.now(UTC) + timedelta(minutes=4)).isoformat()
    )
    door.post(FEEDBACK, skewed)
    before = door.feedback(
        door.interaction(), "rating", 4, timestamp=(door.now - timedelta(hours=2)).isoformat()
    )
    door.post(FEEDBACK, before)


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59-14:00",
        "9999-12-31T23:59:59Z",
        "2026-01-01T00:00:00",
        "yesterday",
        1767225600,
        "1767225600.5",
    ],
)
def test_a_time_outside_the_calendar_is_refused(door: Door, moment: Any) -> None:
    about = door.interaction()
    door.post(FEEDBACK, door.feedback(about, "rating", 4, timestamp=moment), status=422)
    door.post(INTERACTION, about | {"timestamp": moment}, status=422)


@pytest.mark.parametrize(
    ("kind", "value", "named"),
    [
        ("rating", "five", "'five'"),
        ("thumb", 1, "1"),
        ("categorical_choice", "too_fromal", "too_formal"),
        ("comparison", {"winner": "c"}, "'c'"),
        ("correction", "", "''"),
        ("free_text", "x" * 20_001, "20,001"),
        ("voice_adjustment", {"volume": 1}, "volume"),
        ("rating", None, "None"),
    ],
)
def test_a_wrong_shape_names_the_value_and_the_fix(
    door: Door, kind: str, value: Any, named: str
) -> None:
    problem = door.post(FEEDBACK, door.feedback(door.interaction(), kind, value), status=422)
    assert named in problem["detail"] + problem["remedy"]
    assert problem["remedy"]


def spec_example(log_id: str | None) -> dict[str, Any]:
    return {
        "sessionId": "session_123",
        "userId": 456,
        "agentId": "content_agent_v2",
        "taskType": "content_generation",
        "feedbackType": "implicit",
        "signalType": "scroll_depth_75",
        "signalValue": 0.85,
        "interactionDuration": 45000,
        "deviceType": "desktop",
        "browserInfo": {"browser": "chrome", "version": "120.0"},
        "geoLocation": "New York, NY",
    } | ({"logId": log_id} if log_id else {})


def test_the_specifications_example_is_taken_with_its_interaction(door: Door) -> None:
    about = door.interaction()
    answer = door.post(FEEDBACK, spec_example(about["log_id"]))
    assert answer["value"] == 0.75
    stored = door.service.workspace.feedback.feedback(answer["feedback_id"])
    assert stored.feedback_type == "scroll"
    assert stored.agent_id == "writer"
    assert dict(stored.client) == {
        "device_type": "desktop",
        "browser": "chrome",
        "browser_version": "120.0",
        "location": "New York, NY",
    }
    assert stored.user_id == door.service.workspace.pseudonyms.of("456")
    door.post(FEEDBACK, spec_example(None), status=422)


@pytest.mark.parametrize(
    ("signal", "extra", "kind", "value"),
    [
        ("thumbs_up", {"signalValue": 1.0}, "thumb", True),
        ("thumbs_down", {}, "thumb", False),
        ("conversion", {"signalValue": 1.0}, "conversion", 1.0),
        ("click", {}, "click", 1.0),
        ("click_buy", {"signalValue": 0.5}, "click", 0.5),
        ("scroll_depth_75", {}, "scroll", 0.75),
        ("scroll_depth_75", {"signalValue": 1}, "scroll", 0.75),
        ("scroll", {"signalValue": 0.3}, "scroll", 0.3),
        ("dwell", {"interactionDuration": 45000}, "dwell", 45.0),
        ("time_on_page", {"interactionDuration": 90}, "dwell", 0.09),
    ],
)
def test_signals_of_pages_become_types(
    door: Door, signal: str, extra: dict[str, Any], kind: str, value: Any
) -> None:
    log_id = door.interaction()["log_id"]
    body = {
        "logId": log_id,
        "feedbackType": "implicit",
        "signalType": signal,
        "client": own_client(),
    }
    answer = door.post(FEEDBACK, body | extra)
    assert answer["value"] == value
    assert door.service.workspace.feedback.feedback(answer["feedback_id"]).feedback_type == kind


@pytest.mark.parametrize(
    ("signal", "named"),
    [
        ("scrol", "scroll"),
        ("dwell", "interaction_duration"),
        ("scroll", "signal_value"),
        (None, "signal_type"),
    ],
)
def test_an_unknown_or_empty_signal_is_told(door: Door, signal: str | None, named: str) -> None:
    body = {"logId": door.interaction()["log_id"], "feedbackType": "implicit", "signalType": signal}
    problem = door.post(FEEDBACK, body, status=422)
    assert named in problem["detail"] + problem["remedy"]


def test_undeclared_fields_and_fine_locations_are_not_kept(door: Door) -> None:
    about = door.interaction(
        ssn="123-45-6789",
        context={
            "application": "mail",
            "diagnosis": "private",
            "location": "221B Baker Street, London, UK",
            "previous_turns": [{"role": "user", "text": "hi", "mood": "sad"}],
        },
    )
    kept = door.service.workspace.feedback.interaction(about["log_id"])
    assert set(kept.context) == {"application", "previous_turns", "location"}
    assert "Baker" not in str(kept.context)
    assert "123-45" not in str(kept)
    assert kept.context["previous_turns"] == [{"role": "user", "text": "hi"}]
    body = door.feedback(
        about, "rating", 4, client={**about["client"], "serial": "XYZ-1"}, email="a@b.c"
    )
    door.post(FEEDBACK, body)
    stored = str(door.service.workspace.feedback.feedback(body["feedback_id"]))
    assert "XYZ-1" not in stored
    assert "a@b.c" not in stored


def bot(door: Door) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    about = door.interaction(client={})
    made = [
        door.feedback(
            about,
            "rating",
            5,
            client=BOT,
            timestamp=(
                door.now - timedelta(minutes=4) + timedelta(milliseconds=50 * k)
            ).isoformat(),
        )
        for k in range(12)
    ]
    return about, made


def test_what_looks_like_a_machine_is_quarantined_visibly_and_teaches_nothing(door: Door) -> None:
    episode = door.episode()
    about, made = bot(door)
    about = door.interaction(episode_id=episode, session_id=about["session_id"])
    answers = [door.post(FEEDBACK, one | {"log_id": about["log_id"]}) for one in made]
    last = answers[-1]
    assert last["status"] == "quarantined"
    assert last["quality_reasons"]
    assert last["quality"] <= 0.5
    assert last["signals"] == []
    assert door.post(FEEDBACK, made[-1] | {"log_id": about["log_id"]}) == last
    store = door.service.workspace.feedback
    waiting = {each.feedback_id for each in store.quarantined(1000)}
    assert last["feedback_id"] in waiting
    quarantined = [a["feedback_id"] for a in answers if a["status"] == "quarantined"]
    assert set(quarantined) <= waiting


def test_a_batch_is_judged_in_order_and_stored_whole(door: Door) -> None:
    abouts = [door.interaction() for _ in range(3)]
    made = [
        door.feedback(about, "rating", stars)
        for about, stars in zip(abouts, (1, 3, 5), strict=True)
    ]
    answers = door.post(f"{FEEDBACK}/batch", {"feedback": [*made, made[0]]})["feedback"]
    assert [a["value"] for a in answers] == [1.0, 3.0, 5.0, 1.0]
    assert answers[0] == answers[3]
    assert door.post(f"{FEEDBACK}/batch", {"feedback": made})["feedback"] == answers[:3]


def test_one_wrong_feedback_keeps_the_whole_batch_out(door: Door) -> None:
    good = door.feedback(door.interaction(), "rating", 4)
    bad = door.feedback(door.interaction(), "rating", "many")
    door.post(f"{FEEDBACK}/batch", {"feedback": [good, bad]}, status=422)
    clash = good | {"feedback_value": 1}
    door.post(f"{FEEDBACK}/batch", {"feedback": [good, clash]}, status=409)
    assert door.post(FEEDBACK, clash)["value"] == 1.0


def test_a_batch_has_a_limit(door: Door) -> None:
    one = door.feedback(None, "rating", 4)
    door.post(f"{FEEDBACK}/batch", {"feedback": [one] * 1001}, status=422)
    door.post(f"{FEEDBACK}/batch", {"feedback": []}, status=422)


def test_a_session_that_gives_itself_away_in_a_batch_is_held_whole(door: Door) -> None:
    _, made = bot(door)
    answers = door.post(f"{FEEDBACK}/batch", {"feedback": made})["feedback"]
    assert {a["status"] for a in answers} == {"quarantined"}
    store = door.service.workspace.feedback
    stored = {store.feedback(one["feedback_id"]).status for one in made}
    assert stored == {FeedbackStatus.QUARANTINED}


def test_a_session_is_slowed_down(door: Door) -> None:
    about = door.interaction()
    body = door.feedback(about, "rating", 4)
    burst = int(door.service.config.session_burst)
    codes = [
        door.send("POST", FEEDBACK, "ingest", json=body).status_code for _ in range(burst + 10)
    ]
    assert codes[0] == 201
    assert 429 in codes


def test_each_feedback_of_a_batch_counts_against_its_session(door: Door) -> None:
    about = door.interaction()
    burst = int(door.service.config.session_burst)
    made = [door.feedback(about, "rating", 4) for _ in range(burst + 1)]
    problem = door.post(f"{FEEDBACK}/batch", {"feedback": made}, status=422)
    assert f"at most {burst}" in problem["remedy"]
    door.post(f"{FEEDBACK}/batch", {"feedback": made[:burst]})
    refused = door.send("POST", f"{FEEDBACK}/batch", "ingest", json={"feedback": made[:9]})
    assert refused.status_code == 429
    assert int(refused.headers["retry-after"]) >= 1


def test_feedback_without_a_session_is_of_its_interaction_s(door: Door) -> None:
    """One session is one limit, however many outputs it saw and whether it says who it is."""
    session = f"session {uuid.uuid4()}"
    abouts = [door.interaction(session_id=session) for _ in range(3)]
    half = int(door.service.config.session_burst) // 2
    unnamed = [door.feedback(abouts[n % 2], "rating", 4) for n in range(half)]
    named = [door.feedback(abouts[2], "rating", 3, session_id=session) for _ in range(half)]
    door.post(f"{FEEDBACK}/batch", {"feedback": unnamed + named})
    more = [door.feedback(abouts[n], "thumb", True) for n in range(3)] * 3
    assert door.send(
        "POST", f"{FEEDBACK}/batch", "ingest", json={"feedback": more}
    ).status_code == (429)
    store = door.service.workspace.feedback
    sessions = {store.feedback(one["feedback_id"]).session_id for one in unnamed + named}
    assert sessions == {door.service.workspace.pseudonyms.of(f"session:{session}")}


def quarantined_total(door: Door) -> float:
    page = door.send("GET", "/metrics", "").text
    (line,) = [
        line
        for line in page.splitlines()
        if line.startswith("everloop_feedback_quarantined_total ")
    ]
    return float(line.split()[1])


def test_what_is_quarantined_is_counted_once(door: Door) -> None:
    about, made = bot(door)
    early = (door.now - timedelta(minutes=4, seconds=30)).isoformat()
    first = door.feedback(about, "thumb", True, timestamp=early, client=own_client())
    before = quarantined_total(door)
    made = [first, *made]
    statuses = [door.post(FEEDBACK, one)["status"] for one in made]
    assert statuses[0] == "accepted"
    assert statuses[-1] == "quarantined"
    store = door.service.workspace.feedback
    held = sum(
        store.feedback(one["feedback_id"]).status is FeedbackStatus.QUARANTINED for one in made
    )
    assert held > statuses.count("quarantined")  # earlier ones were held later
    assert quarantined_total(door) - before == held
    door.post(FEEDBACK, made[-1])
    assert quarantined_total(door) - before == held


def test_a_comparison_of_a_text_with_itself_is_refused(door: Door) -> None:
    same = {"chosen": "Dear all", "rejected": "Dear all"}
    body = door.feedback(door.interaction(), "comparison", same)
    assert "chosen" in door.post(FEEDBACK, body, status=422)["detail"]


@pytest.mark.parametrize("kind", ["free_text", "implicit_reply"])
@pytest.mark.parametrize(
    ("text", "good"),
    [("👍", True), ("👎🏽", False), ("❤️", True), ("🙏", True), ("😡😡", False)],
)
def test_emoji_are_understood(door: Door, kind: str, text: str, good: bool) -> None:
    answer = door.post(FEEDBACK, door.feedback(door.interaction(), kind, text))
    (said,) = answer["interpretations"]
    assert (said["value"] > 0.4) if good else (said["value"] < -0.4)


def test_the_analysis_counts_what_was_said(door: Door) -> None:
    persona = "analysed"
    first = door.interaction(persona=persona)
    second = door.interaction(persona=persona)
    early = (door.now - timedelta(minutes=3)).isoformat()
    door.post(FEEDBACK, door.feedback(first, "rating", 5, timestamp=early))
    door.post(FEEDBACK, door.feedback(second, "rating", 2, timestamp=early))
    door.post(FEEDBACK, door.feedback(second, "categorical_choice", "too_formal", timestamp=early))
    found = door.get(ANALYSIS, persona=persona)
    assert found["total"] == 3
    assert found["by_type"] == {"rating": 2, "categorical_choice": 1}
    assert found["by_persona"] == {persona: 3}
    assert found["by_agent"] == {"writer": 3}
    assert found["by_intent"] == {"rating": 2, "too_formal": 1}
    assert found["value"]["mean"] == pytest.approx((1.0 - 0.5 - 0.5) / 3)
    assert (found["value"]["n"], found["value"]["people"]) == (3, 2)
    assert found["value_by_type"]["rating"]["mean"] == pytest.approx(0.25)
    assert found["trait_adjustments"]["formality"] < 0
    assert found["quarantined_share"] == 0.0
    assert door.get(ANALYSIS, persona=persona, agent_id="nobody")["total"] == 0
    assert door.get(ANALYSIS, persona=persona, until=early)["total"] == 0
    assert door.get(ANALYSIS, key="other", persona=persona)["total"] == 0


def test_a_period_must_have_a_length(door: Door) -> None:
    moment = door.now.isoformat()
    door.get(ANALYSIS, since=moment, until=moment, status=422)
    for wrong in ("2026-01-01T00:00:00", "2026-01-01", "0.5", "0001-01-01T00:00:00+14:00"):
        door.get(ANALYSIS, since=wrong, status=422)


def test_interactions_are_stored_once_and_conflicts_are_told(door: Door) -> None:
    body = door.interaction(
        response_ms=812.5, tokens_in=40, tokens_out=120, retries=1, tools=["search"], escalated=True
    )
    answer = door.post(INTERACTION, body)
    assert answer == {"id": body["log_id"], "status": "stored"}
    door.post(INTERACTION, body | {"output_data": "something else"}, status=409)
    kept = door.service.workspace.feedback.interaction(body["log_id"])
    assert (kept.response_ms, kept.tokens_in, kept.tokens_out) == (812.5, 40, 120)
    assert (kept.retries, kept.tools, kept.escalated) == (1, ("search",), True)
    assert kept.user_id != body["user_id"]


def test_an_interaction_names_an_episode_that_is_there(door: Door) -> None:
    body = door.interaction() | {"log_id": str(uuid.uuid4())}
    unknown = str(uuid.uuid4())
    assert unknown in door.post(INTERACTION, body | {"episode_id": unknown}, status=422)["detail"]
    theirs = door.episode(tenant="other")
    door.post(INTERACTION, body | {"episode_id": theirs}, status=403)


def test_many_interactions_are_stored_or_none(door: Door) -> None:
    one, two = (door.interaction() | {"log_id": str(uuid.uuid4())} for _ in range(2))
    path = "/api/rlhf/interactions"
    future = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    door.post(path, {"interactions": [one, two | {"timestamp": future}]}, status=422)
    assert door.post(path, {"interactions": [one, two]}) == {"stored": 2}
    assert door.post(path, {"interactions": [one, two]}) == {"stored": 2}
    door.post(path, {"interactions": [one] * 1001}, status=422)
    long = one | {"log_id": str(uuid.uuid4()), "output_data": "x" * 100_001}
    assert "100,003" in door.post(INTERACTION, long, status=422)["detail"]


def test_a_fleet_that_writes_the_same_text_is_held_though_each_session_is_new(door: Door) -> None:
    client = {
        "user_agent": "Mozilla/5.0 (Fleet) Gecko/20100101 Firefox/140.0",
        "browser": "firefox",
    }
    text = "this is the very best answer that I have ever been given, ten stars from me"
    made = [door.feedback(door.interaction(), "free_text", text, client=client) for _ in range(12)]
    answers = [door.post(FEEDBACK, one) for one in made]
    assert answers[0]["status"] == "accepted"
    assert answers[-1]["status"] == "quarantined"
    assert any(reason.startswith("fleet_text") for reason in answers[-1]["quality_reasons"])
    store = door.service.workspace.feedback
    stored = [store.feedback(one["feedback_id"]) for one in made]
    assert {each.status for each in stored} == {FeedbackStatus.QUARANTINED}
    (review,) = store.reviews(made[0]["feedback_id"])
    assert review.reviewer == "everloop:quality"


def test_feedback_that_is_held_later_takes_its_signal_out_of_training(door: Door) -> None:
    about, made = bot(door)
    about = door.interaction(
        episode_id=door.episode(),
        session_id=about["session_id"],
        timestamp=(door.now - timedelta(minutes=9)).isoformat(),
    )
    first = door.feedback(
        about,
        "thumb",
        True,
        session_id=about["session_id"],
        timestamp=(door.now - timedelta(minutes=8)).isoformat(),
    )
    accepted = door.post(FEEDBACK, first)
    assert accepted["status"] == "accepted"
    for one in made:
        door.post(FEEDBACK, one)
    assert door.post(FEEDBACK, first)["status"] == "quarantined"
    disputed = {each.signal_id for each in door.service.workspace.log.disputes()}
    assert accepted["signals"][0]["signal_id"] in disputed
