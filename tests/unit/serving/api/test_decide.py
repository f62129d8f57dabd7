"""``POST /api/ml/decide``: answered once, written down first, known by keyed forms alone."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from everloop.contracts.access import Scope
from everloop.contracts.contexts import SEALED
from everloop.contracts.episodes import Consent
from everloop.serving.api import decide
from everloop.serving.bodies import ConfirmedDecision
from everloop.serving.events import confirmed_episode
from tests.deciding import CONTEXT, Served, asked, serving


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("decide") / "home"
    with serving(home, decide.router, loops=("companion", "open_bandit")) as made:
        yield made


@pytest.fixture(scope="module")
def headers(served: Served) -> dict[str, str]:
    return served.key(Scope.DECIDE)


def post(served: Served, headers: dict[str, str], body: Any) -> httpx.Response:
    return served.post("/api/ml/decide", headers, json=body)


def test_the_answer_says_what_to_do_and_is_on_disk_before_it_leaves(
    served: Served, headers: dict[str, str]
) -> None:
    served.deploy("companion-1")
    answer = post(served, headers, asked(valid_actions=["intervene-calm"]))
    assert answer.status_code == 200, answer.text
    found = answer.json()
    decision_id = found.pop("decision_id")
    assert found == {
        "loop": "companion",
        "action": "intervene-calm",
        "kind": "intervention",
        "people": None,
        "event_id": None,
        "tone": "calm",
        "message": "Take a breath with me for a minute?",
        "arguments": {},
        "propensity": 1.0,
        "valid_actions": ["intervene-calm"],
        "model_version": "companion-1",
        "arm": "active",
        "epsilon": 0.3,
        "fallback": "",
        "slate": None,
    }
    ((action, version),) = served.rows(
        f"SELECT action_taken, model_version FROM decisions WHERE decision_id = '{decision_id}'"
    )
    assert (action, version) == ("intervene-calm", "companion-1")
    pair = post(served, headers, asked(valid_actions=["pair-three"])).json()
    assert (pair["kind"], pair["people"], pair["tone"]) == ("suggest_pairing", 3, None)
    hive = post(served, headers, asked(valid_actions=["hive-walk"])).json()
    assert (hive["kind"], hive["event_id"]) == ("recommend_hive", "walk")


def test_asking_again_gives_the_same_answer_and_another_question_is_a_conflict(
    served: Served, headers: dict[str, str]
) -> None:
    question = asked(decision_id=str(uuid.uuid4()), action_arguments={"about": "a walk"})
    first = post(served, headers, question).json()
    assert first["arguments"] == {"about": "a walk"}
    assert all(post(served, headers, question).json() == first for _ in range(12))
    served.deploy("companion-2")
    assert post(served, headers, question).json() == first, "a new model changes no old answer"
    for other in (
        {"user_id": "bob"},
        {"valid_actions": ["no_action"]},
        {"action_arguments": {}},
        {"context": {**CONTEXT, "hour": 14}},
        {"context": {**CONTEXT, "heart_rate": 72.5}},
    ):
        answer = post(served, headers, {**question, **other})
        assert answer.status_code == 409, other
    stored = served.rows(
        f"SELECT count(*) FROM decisions WHERE decision_id = '{question['decision_id']}'"
    )
    assert stored == [(1,)]


def test_neither_the_person_nor_their_health_is_stored_in_the_clear(
    served: Served, headers: dict[str, str]
) -> None:
    context = {**CONTEXT, "heart_rate": 123.4375, "emotion": [0.328125] * 128}
    question = asked(user_id="carla@example.com", context=context)
    decision_id = post(served, headers, question).json()["decision_id"]
    ((row,),) = served.rows(
        "SELECT user_id || context_snapshot || action_arguments || fallback FROM decisions "
        f"WHERE decision_id = '{decision_id}'"
    )
    for secret in ("carla", "123.4375", "0.328125", "heart_rate", "emotion"):
        assert secret not in row
    assert SEALED in row
    stored = served.service.workspace.decisions.decision(decision_id)
    opened_again = served.service.vault.open(
        "default", decision_id, "companion", stored.context_snapshot
    )
    assert opened_again == context


def test_only_what_is_stored_anew_counts_as_decided(
    served: Served, headers: dict[str, str]
) -> None:
    def total() -> int:
        return sum(served.service.decisions.counts().decisions.values())

    before = total()
    question = asked(decision_id=str(uuid.uuid4()))
    codes = [post(served, headers, question).status_code for _ in range(5)]
    other = {**question, "valid_actions": ["no_action"]}
    codes += [post(served, headers, other).status_code for _ in range(3)]
    assert codes == [200] * 5 + [409] * 3
    assert total() - before == 1
    fresh = [asked(decision_id=str(uuid.uuid4())) for _ in range(2)]
    mixed = {"decisions": [question, *fresh, fresh[0]]}
    for _ in range(2):
        answer = served.post("/api/ml/decide/batch", headers, json=mixed)
        assert answer.status_code == 200, answer.text
        assert total() - before == 3


def test_a_batch_answers_in_order_and_is_whole_or_refused(
    served: Served, headers: dict[str, str]
) -> None:
    def batch(questions: list[dict[str, Any]]) -> httpx.Response:
        return served.post("/api/ml/decide/batch", headers, json={"decisions": questions})

    ids = [str(uuid.uuid4()) for _ in range(40)]  # large enough for a thread
    questions = [asked(user_id=f"p{n}", decision_id=i) for n, i in enumerate(ids)]
    answers = batch(questions).json()["decisions"]
    assert [answer["decision_id"] for answer in answers] == ids
    assert batch(questions).json()["decisions"] == answers
    assert batch(questions[:2]).json()["decisions"] == answers[:2], "few are decided in place"
    fresh = asked(decision_id=str(uuid.uuid4()))
    wrong = batch([fresh, asked(context={**CONTEXT, "hour": 99})])
    assert wrong.status_code == 422
    assert wrong.json()["detail"].startswith("decisions[1]: context.hour=99 is outside")
    wrong = batch([fresh, asked(decision_id="x" * 32)])
    assert wrong.status_code == 422
    assert wrong.json()["detail"].startswith("decisions[1]: decision_id=")
    conflict = batch([fresh, {**questions[0], "user_id": "another"}])
    assert conflict.status_code == 409
    assert not served.rows(f"SELECT 1 FROM decisions WHERE decision_id = '{fresh['decision_id']}'")
    assert batch([]).status_code == 422
    assert batch([fresh] * 1001).status_code == 422


@pytest.mark.parametrize(
    ("changes", "detail"),
    [
        ({"context": {"hour": 1}}, "context.emotion=None is missing"),
        ({"valid_actions": []}, "valid_actions=[] leaves nothing to decide"),
        ({"valid_actions": ["sing"]}, "valid_actions names 'sing'"),
        ({"decision_id": "f" * 31 + "g"}, "is not a UUID"),
        ({"user_id": ""}, "user_id"),
        ({"colour": "red"}, "colour"),
        ({"loop": None}, "loop is missing"),
        (
            {"context": {**CONTEXT, "$health": "1.xx"}},
            "context.$health='1.xx' is not a context field",
        ),
        ({"context": {**CONTEXT, "hour": float("nan")}}, "context.hour=nan is not"),
        ({"context": {**CONTEXT, "heart_rate": float("inf")}}, "context.heart_rate=inf is not"),
        ({"action_arguments": {"share": float("nan")}}, "not finite JSON"),
        ({"action_arguments": {"big": 2**70}}, "not finite JSON"),
    ],
)
def test_questions_that_do_not_fit_are_refused_with_the_reason(
    served: Served, headers: dict[str, str], changes: dict[str, Any], detail: str
) -> None:
    answer = served.post("/api/ml/decide", headers, content=json.dumps(asked(**changes)))
    assert answer.status_code == 422, answer.text
    assert detail in answer.json()["detail"]


def test_an_unknown_loop_is_404_and_a_caller_without_the_scope_403(
    served: Served, headers: dict[str, str]
) -> None:
    assert post(served, headers, asked(loop="chess")).status_code == 404
    assert post(served, served.key(Scope.INGEST), asked()).status_code == 403
    assert post(served, {}, asked()).status_code == 401


def test_whoever_withdrew_from_serving_gets_no_decision(
    served: Served, headers: dict[str, str]
) -> None:
    person = served.service.workspace.pseudonyms.of("dora", "default")
    now = datetime.now(UTC)
    served.service.consents.record(Consent(person, "serve", False, now))
    refused = post(served, headers, asked(user_id="dora"))
    assert refused.status_code == 403
    body = {"decisions": [asked(user_id="ann"), asked(user_id="dora")]}
    refused = served.post("/api/ml/decide/batch", headers, json=body)
    assert refused.status_code == 403
    served.service.consents.record(Consent(person, "serve", True, now))
    assert post(served, headers, asked(user_id="dora")).status_code == 200


def test_tenants_have_models_ids_and_people_of_their_own(
    served: Served, headers: dict[str, str]
) -> None:
    theirs = served.key(Scope.DECIDE, tenant="theirs")
    question = asked(decision_id=str(uuid.uuid4()))
    ours = post(served, headers, question).json()
    first = post(served, theirs, question).json()
    assert first["model_version"] == "no_action", "another tenant has no model yet"
    assert ours["model_version"].startswith("companion-")
    people = served.rows(
        f"SELECT DISTINCT user_id FROM decisions WHERE decision_id = '{question['decision_id']}'"
    )
    assert len(people) == 2
    served.deploy("theirs-1", tenant="theirs")
    assert post(served, theirs, asked()).json()["model_version"] == "theirs-1"
    assert post(served, theirs, question).json() == first
    assert post(served, {**theirs, "X-Everloop-Tenant": "default"}, asked()).status_code == 403


def test_exploration_follows_the_log(served: Served, headers: dict[str, str]) -> None:
    place, decisions = served.service.workspace, served.service.decisions
    before = decisions.state("default", "companion")
    answers = [post(served, headers, asked(user_id=f"e{n}")).json() for n in range(30)]
    for answer in answers:
        decision = place.decisions.decision(answer["decision_id"])
        place.log.append_episodes([confirmed_episode(decision, ConfirmedDecision(**_id(answer)))])
    decisions.refresh()
    after = decisions.state("default", "companion")
    assert after.episodes == before.episodes + 30
    assert after.epsilon == pytest.approx(0.1 + 0.2 * 2 ** (-after.episodes / 10_000))
    assert after.epsilon < before.epsilon
    assert post(served, headers, asked()).json()["epsilon"] == after.epsilon


def _id(answer: dict[str, Any]) -> dict[str, str]:
    return {"decision_id": answer["decision_id"]}
