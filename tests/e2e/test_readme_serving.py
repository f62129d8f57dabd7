"""The README's lines about the service, as a newcomer would type them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from everloop.contracts.ports import Extraction
from everloop.loops import load
from everloop.wiring import open_workspace
from tests.served import Served

ROOT = Path(__file__).parents[2]
CURL = re.compile(
    r'^curl -H "Authorization: Bearer \$KEY" localhost:8200(\S+) -d @(\S+)$', re.MULTILINE
)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    service = Served(tmp_path / "w")
    service.start()
    yield service
    service.stop()


def test_three_lines_log_a_decision_and_its_reward(served: Served) -> None:
    lines = CURL.findall((ROOT / "README.md").read_text())
    assert [path for path, _ in lines] == ["/api/ml/decide", "/api/ml/episode", "/api/ml/reward"]
    answers = []
    for _ in range(2):  # typed twice by mistake
        for path, file in lines:
            status, answer, _ = served.ask("POST", path, json.loads((ROOT / file).read_text()))
            assert status in (200, 201), answer
            answers.append(answer)
    assert answers[:3] == answers[3:]
    assert 0 < answers[0]["propensity"] <= 1
    status, page, _ = served.ask("GET", "/api/ml/episodes/ann")
    assert status == 200
    (episode,) = page["episodes"]
    assert episode["action_taken"] == answers[0]["action"]
    assert [signal["value"] for signal in episode["signals"]] == [0.8]
    assert episode["context_snapshot"]["heart_rate"] == 72


def test_the_day_s_run_knows_of_them(served: Served) -> None:
    for path, file in CURL.findall((ROOT / "README.md").read_text()):
        served.ask("POST", path, json.loads((ROOT / file).read_text()))
    today = datetime.now(UTC).date()
    version = open_workspace(served.home).datasets.extract(
        Extraction(load("companion"), today, window_days=1)
    )
    assert version.manifest.episodes_per_day[today.isoformat()] == 1
    # Its feedback window is open for a day.
    assert version.manifest.exclusions.open_episodes == 1
