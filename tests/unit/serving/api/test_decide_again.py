"""What serves changes between a decision and its storing: the question is decided anew."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from everloop.contracts.access import Scope
from everloop.contracts.serving import Receipt, Submission
from everloop.serving.api import decide
from tests.deciding import Served, asked, serving

ONE, MANY = "/api/ml/decide", "/api/ml/decide/batch"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("again") / "home", decide.router) as made:
        yield made


@pytest.fixture(scope="module")
def headers(whole: Served) -> dict[str, str]:
    return whole.key(Scope.DECIDE)


@pytest.fixture
def served(whole: Served) -> Served:
    whole.deploy(f"companion-{uuid.uuid4().hex[:8]}")
    return whole


class Busy:
    """Changes what serves before the first submissions reach the database; sees all of them."""

    def __init__(self, served: Served, monkeypatch: pytest.MonkeyPatch, changes: int) -> None:
        self.seen: list[Submission] = []
        self._served = served
        self._left = changes
        self._store = served.service.door.store
        monkeypatch.setattr(served.service.door, "store", self.store)

    async def store(self, submission: Submission) -> Receipt:
        self.seen.append(submission)
        if self._left:
            self._left -= 1
            self.change()
        return await self._store(submission)

    def change(self) -> None:
        place = self._served.service.workspace
        registry = place.registry
        active, generation = registry.alias("companion", "active")
        before = [row for row in registry.checkpoints("companion") if row.checkpoint_id != active]
        registry.set_alias("companion", "active", before[0].checkpoint_id, generation, "a test")


def serving_version(served: Served) -> str:
    state = served.service.decisions.state("default", "companion")
    return str(state.active)


def test_a_decision_of_what_was_withdrawn_neither_leaves_nor_is_stored(
    served: Served, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served.deploy("companion-better")
    withdrawn = serving_version(served)
    busy = Busy(served, monkeypatch, 1)
    decision_id = str(uuid.uuid4())
    answer = served.post(ONE, headers, json=asked(decision_id=decision_id))
    assert answer.status_code == 200, answer.text
    versions = [submission.decisions[0].model_version for submission in busy.seen]
    assert versions[0] == withdrawn
    assert versions[1] == answer.json()["model_version"] == serving_version(served) != withdrawn
    revisions = [submission.decided_under["companion"] for submission in busy.seen]
    assert revisions[1] == revisions[0] + 1
    stored = served.rows(f"SELECT model_version FROM decisions WHERE decision_id = '{decision_id}'")
    assert stored == [(versions[1],)]
    assert served.post(ONE, headers, json=asked(decision_id=decision_id)).json() == answer.json()


def test_a_batch_is_decided_anew_as_a_whole(
    served: Served, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served.deploy("companion-better")
    busy = Busy(served, monkeypatch, 1)
    questions = [asked(user_id=name, decision_id=str(uuid.uuid4())) for name in ("ann", "ben")]
    answer = served.post(MANY, headers, json={"decisions": questions})
    assert answer.status_code == 200, answer.text
    found = answer.json()["decisions"]
    assert [row["decision_id"] for row in found] == [q["decision_id"] for q in questions]
    assert {row["model_version"] for row in found} == {serving_version(served)}
    assert len(busy.seen) == 2


def test_a_replay_is_answered_as_before_without_deciding_anew(
    served: Served, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    question = asked(decision_id=str(uuid.uuid4()))
    first = served.post(ONE, headers, json=question).json()
    served.deploy("companion-better")
    busy = Busy(served, monkeypatch, 9)
    assert served.post(ONE, headers, json=question).json() == first
    assert len(busy.seen) == 1


@pytest.mark.parametrize(("changes", "status"), [(4, 200), (5, 503)])
def test_what_never_holds_still_is_told_after_five_times(
    served: Served,
    headers: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    changes: int,
    status: int,
) -> None:
    served.deploy("companion-better")
    busy = Busy(served, monkeypatch, changes)
    decision_id = str(uuid.uuid4())
    answer = served.post(ONE, headers, json=asked(decision_id=decision_id))
    assert answer.status_code == status, answer.text
    assert len(busy.seen) == 5
    stored = served.rows(f"SELECT 1 FROM decisions WHERE decision_id = '{decision_id}'")
    assert len(stored) == (status == 200)
    if status == 503:
        assert "retry-after" in answer.headers


def test_only_what_was_stored_is_counted(
    served: Served, headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served.deploy("companion-better")
    Busy(served, monkeypatch, 2)

    def counted() -> int:
        return sum(served.service.decisions.counts().decisions.values())

    before = counted()
    assert served.post(ONE, headers, json=asked()).status_code == 200
    assert counted() == before + 1


def test_whoever_catches_up_first_does_it_for_all(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = served.service.decisions
    place = served.service.workspace
    reads: list[int] = []
    head = place.deployments.head

    def read(*arguments: Any) -> Any:
        if (
            threading.current_thread() is threading.main_thread()
        ):  # the service looks for itself, too
            reads.append(1)
        return head(*arguments)

    monkeypatch.setattr(place.deployments, "head", read)
    seen = head("companion").revision
    engine.catch_up("default", {"companion": seen})
    assert len(reads) == 1
    engine.catch_up("default", {"companion": seen - 1})
    assert len(reads) == 1, "somebody had looked since"
