"""``POST /api/ml/decide`` under the companion's limits: what a client that hammers one person gets."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from everloop.contracts.access import Scope
from everloop.serving.api import decide
from tests.deciding import CONTEXT, Served, asked, serving

STEPPING_IN = {"intervene-calm", "intervene-cheerful", "intervene-practical"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("limits") / "home", decide.router) as made:
        made.deploy("companion-1")  # likes interventions best
        yield made


@pytest.fixture(scope="module")
def headers(served: Served) -> dict[str, str]:
    return served.key(Scope.DECIDE)


def post(served: Served, headers: dict[str, str], body: Any, path: str = "") -> httpx.Response:
    return served.post(f"/api/ml/decide{path}", headers, json=body)


def logged(served: Served, user: str) -> list[tuple[str, str]]:
    person = served.service.workspace.pseudonyms.of(user, "default")
    rows = served.rows(
        f"SELECT action_taken, valid_actions FROM decisions WHERE user_id = '{person}' ORDER BY seq"
    )
    return [(action, valid) for action, valid in rows]


def test_one_after_the_other(served: Served, headers: dict[str, str]) -> None:
    answers = [post(served, headers, asked(user_id="one")).json() for _ in range(40)]
    taken = [answer["action"] in STEPPING_IN for answer in answers]
    assert sum(taken) == 1, "the cool-down of four hours is longer than the test"
    first = taken.index(True)
    for place, answer in enumerate(answers):
        met = STEPPING_IN & set(answer["valid_actions"])
        assert met == (STEPPING_IN if place <= first else set())
        assert answer["action"] in answer["valid_actions"]
    stored = logged(served, "one")
    assert [action for action, _ in stored] == [answer["action"] for answer in answers]
    assert sum("intervene" in valid for _, valid in stored) == first + 1


def test_all_at_once(served: Served, headers: dict[str, str]) -> None:
    async def hammer() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app=served.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            sent = [
                client.post("/api/ml/decide", headers=headers, json=asked(user_id="two"))
                for _ in range(40)
            ]
            return list(await asyncio.gather(*sent))

    answers = [response.json() for response in served.runner.run(hammer())]
    assert sum(answer["action"] in STEPPING_IN for answer in answers) == 1
    assert sum(action in STEPPING_IN for action, _ in logged(served, "two")) == 1


def test_in_one_batch(served: Served, headers: dict[str, str]) -> None:
    many = {"decisions": [asked(user_id="three") for _ in range(40)]}
    for _ in range(3):
        answer = post(served, headers, many, "/batch")
        assert answer.status_code == 200, answer.text
    assert sum(action in STEPPING_IN for action, _ in logged(served, "three")) <= 1


def test_asking_again_under_the_id_gives_the_intervention_again(
    served: Served, headers: dict[str, str]
) -> None:
    question = asked(
        user_id="four", decision_id=str(uuid.uuid4()), valid_actions=["intervene-practical"]
    )
    first = post(served, headers, question)
    assert first.json()["action"] == "intervene-practical"
    assert post(served, headers, question).json() == first.json()
    other = post(served, headers, {**question, "decision_id": str(uuid.uuid4())})
    assert other.status_code == 422
    assert "take away all of intervene-practical" in other.json()["detail"]
    assert "four" not in other.text
    changed = post(served, headers, {**question, "valid_actions": ["intervene-calm"]})
    assert changed.status_code == 409


@pytest.mark.parametrize(("pulse", "cheered"), [(149.9, True), (150, False)])
def test_a_high_pulse_is_never_cheered(
    served: Served, headers: dict[str, str], pulse: float, cheered: bool
) -> None:
    context = {**CONTEXT, "heart_rate": pulse}
    answer = post(served, headers, asked(user_id=f"pulse {pulse}", context=context)).json()
    assert ("intervene-cheerful" in answer["valid_actions"]) == cheered
    assert "intervene-calm" in answer["valid_actions"]
