"""The pseudonym key is replaced under a service that runs: it stores nothing more until it is restarted."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import func, select

from everloop.contracts.ids import event_id
from everloop.serving.access.pseudonym_rotation import rotate_pseudonyms
from everloop.storage.schema import training_episodes
from everloop.storage.service_tables import decisions
from everloop.storage.sql.engine import reading
from everloop.wiring import open_workspace
from tests.faults.service_load import CONTEXT
from tests.served import Served

LISTED = [("default", name) for name in ("ann", "ben")]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    service = Served(tmp_path / "w")
    yield service
    service.kill()


def test_a_running_service_stops_storing_and_knows_everyone_once_restarted(served: Served) -> None:
    served.start()
    asked = {"user_id": "ann", "context": CONTEXT, "decision_id": event_id()}
    status, answer, _ = served.ask("POST", "/api/ml/decide", asked)
    assert status == 200
    logged = {
        "episode_id": event_id(),
        "user_id": "ann",
        "context_snapshot": CONTEXT,
        "action_taken": "no_action",
        "timestamp": datetime.now(UTC).isoformat(),
        "model_version": "own-1",
        "propensity": 0.5,
        "action_arguments": {"participants": ["ben"]},
    }
    assert served.ask("POST", "/api/ml/episode", logged)[0] == 201
    refusal = {"user_id": "ben", "purpose": "serve", "granted": False}
    assert served.ask("PUT", "/api/rlhf/privacy/consent", refusal)[0] == 200

    rotate_pseudonyms(str(served.home), LISTED, False, "cli:test", datetime.now(UTC))
    for path, body in (
        ("/api/ml/episode", logged | {"episode_id": event_id()}),
        ("/api/ml/decide", asked | {"decision_id": event_id()}),
        ("/api/ml/decide", asked | {"user_id": "ben", "decision_id": event_id()}),
    ):
        status, said, _ = served.ask("POST", path, body)
        assert status in {403, 503}, said
    assert served.ask("GET", "/health/ready")[0] == 503
    assert served.stop() == 0

    served.start()
    assert served.ask("POST", "/api/ml/decide", asked)[:2] == (200, answer)
    assert served.ask("POST", "/api/ml/episode", logged)[0] in {200, 201}
    status, said, _ = served.ask("POST", "/api/ml/decide", asked | {"user_id": "ben"})
    assert status == 403, said
    with reading(open_workspace(served.home).engine) as connection:
        for table in (training_episodes, decisions):
            assert connection.scalar(select(func.count()).select_from(table)) == 1
