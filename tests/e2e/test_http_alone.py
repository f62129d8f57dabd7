"""A whole turn over HTTP alone: events in, training unattended, a model deployed, decisions out.

The service is a process of its own, started by its command line with its default of 1,000 episodes.
The workspace is looked into once, at the end, to compare what HTTP said with what the runs had stored.
"""

from __future__ import annotations

import math
import random
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from everloop import sdk
from everloop.wiring import open_workspace

LOOP = """
name: walks
version: 1
description: Whether to suggest a walk, by how the person feels.
context:
  - {name: mood, kind: category, choices: [bright, dull], interacts: true}
actions:
  - {id: stay, kind: no_action}
  - {id: walk, kind: recommend_hive, event_id: walk}
signals: [{name: click, low: 0, high: 1, weight: 1, silence: zero}]
reward: {attainable_low: 0, attainable_high: 1, half_life_seconds: 3600, closes_after_seconds: 0,
         success_at: 0.5, failure_at: -0.5}
privacy: {epsilon: 1, people_expected: 500, min_people: 50, first_fit_share: 0.9}
training: {iterations: 8, epochs: 4, profiles: 100, environments: 64, rollout_length: 16, hidden: 16,
           learning_rate: 0.01, alternatives: []}
thresholds: {window_days: 3, min_effective_sample: 100}
"""
CLICKS = {
    ("bright", "walk"): 0.9,
    ("bright", "stay"): 0.2,
    ("dull", "walk"): 0.1,
    ("dull", "stay"): 0.7,
}
"""How likely each is clicked; deciding evenly earns 0.475, deciding well 0.8."""

RUN_SECONDS = 400.0
"""For one run on a loaded machine; alone it takes less than a minute."""

T = TypeVar("T")


class People:
    """The product: decides evenly between its actions and logs what became of it."""

    def __init__(self) -> None:
        self.random = random.Random(20_260)
        self.known = 0

    def decide(self, count: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """(episodes, rewards) as their batch routes take them."""
        episodes, rewards = [], []
        start = datetime.now(UTC) - timedelta(seconds=count)
        for offset in range(count):
            mood = self.random.choice(["bright", "dull"])
            action = self.random.choice(["stay", "walk"])
            episode_id = self._id()
            self.known += 1
            episodes.append(
                {
                    "episode_id": episode_id,
                    "user_id": f"person {self.known}",
                    "context_snapshot": {"mood": mood},
                    "action_taken": action,
                    "timestamp": (start + timedelta(seconds=offset)).isoformat(),
                    "model_version": "evenly",
                    "propensity": 0.5,
                }
            )
            if self.random.random() < CLICKS[mood, action]:
                rewards.append(
                    {
                        "signal_id": self._id(),
                        "episode_id": episode_id,
                        "signal_type": "click",
                        "value": 1,
                        "latency": 0,
                    }
                )
        return episodes, rewards

    def _id(self) -> str:
        return str(uuid.UUID(int=self.random.getrandbits(128), version=4))


def everloop(*words: str) -> str:
    line = [sys.executable, "-m", "everloop", *words]
    return subprocess.run(line, check=True, capture_output=True, text=True).stdout


@contextmanager
def served(folder: Path, home: Path) -> Iterator[httpx.Client]:
    """A client with every scope that the turn needs, of a service that is ready."""
    (folder / "walks.yaml").write_text(LOOP)
    everloop("init", "--home", str(home))
    scopes = [w for s in ("ingest", "decide", "read", "train", "deploy") for w in ("--scope", s)]
    key = everloop("keys", "create", "--name", "product", *scopes, "--home", str(home)).strip()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "serve.log").open("wb")
    line = [*(sys.executable, "-m", "everloop", "serve"), "--home", str(home), "--port", str(port)]
    headers = {"Authorization": f"Bearer {key}"}
    base = f"http://127.0.0.1:{port}"
    with (
        log,
        subprocess.Popen(
            [*line, "--loop", "walks.yaml"], cwd=folder, stdout=log, stderr=log
        ) as process,
        httpx.Client(base_url=base, headers=headers, timeout=60) as client,
    ):
        try:
            until(lambda: _ready(client, process), 120)
            yield client
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()


def _ready(client: httpx.Client, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None
    try:
        return client.get("/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def until(look: Callable[[], T], seconds: float) -> T:
    give_up = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < give_up, "it took too long"
        time.sleep(0.25)
    return found


def sent(client: httpx.Client, path: str, body: Any, status: int = 201) -> Any:
    answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def got(client: httpx.Client, path: str) -> Any:
    answer = client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


def logged(client: httpx.Client, episodes: Sequence[Any], rewards: Sequence[Any]) -> None:
    for name, records in (("episode", episodes), ("reward", rewards)):
        for start in range(0, len(records), 250):
            chunk = records[start : start + 250]
            sent(client, f"/api/ml/{name}/batch", {f"{name}s": chunk})


def finished(client: httpx.Client, job_id: str) -> Any:
    def look() -> Any:
        job = got(client, f"/api/ml/train/{job_id}")
        assert job["state"] != "failed", job
        return job if job["state"] == "succeeded" else None

    return until(look, RUN_SECONDS)


def decided(client: httpx.Client, mood: str, people: int) -> list[Any]:
    questions = [{"user_id": f"{mood} {n}", "context": {"mood": mood}} for n in range(people)]
    answers = sent(client, "/api/ml/decide/batch", {"decisions": questions}, 200)["decisions"]
    assert all(0 < one["propensity"] <= 1 for one in answers)
    return list(answers)


def share_of_walks(answers: Sequence[Any]) -> float:
    return sum(one["action"] == "walk" for one in answers) / len(answers)


def compare(told: Any, run_id: str, home: Path) -> None:
    """What HTTP told of a model against what its run had stored."""
    run = sdk.open_run(run_id, home)
    assert told["run_id"] == run_id
    assert told["checkpoint_id"] == run.checkpoint.checkpoint_id
    assert told["version"] == run.checkpoint.lineage["version"]
    assert told["performance_metrics"] == dict(run.checkpoint.performance_metrics)
    assert told["performance_metrics"]["difference"] == run.evaluation.difference.value
    for name in ("difference", "baseline"):
        shown, stored = told["evaluation"][name], getattr(run.evaluation, name)
        for part in ("value", "low", "high", "confidence", "n", "method"):
            expected = getattr(stored, part)
            finite = not isinstance(expected, float) or math.isfinite(expected)
            assert shown[part] == (expected if finite else None), (name, part)
        assert shown["people"] == stored.clusters
    assert [e["name"] for e in told["evaluation"]["estimates"]] == [
        e.name for e in run.evaluation.estimates
    ]
    assert told["evaluation"]["held_out"] == run.evaluation.held_out
    assert told["reasons"] == list(run.verdict.reasons)
    assert [c["status"] for c in told["checks"]] == [c.status.value for c in run.verdict.checks]


def policies(client: httpx.Client) -> list[dict[str, Any]]:
    """The loop's policies, newest first, without the other models that each night leaves."""
    made = got(client, "/api/ml/models?loop=walks")["models"]
    assert {model["model_type"] for model in made} >= {"emotion", "intervention"}
    return [model for model in made if model["model_type"] == "intervention"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_http_alone_carries_a_whole_turn(tmp_path: Path) -> None:
    home, people = tmp_path / "home", People()
    with served(tmp_path, home) as client:
        episodes, rewards = people.decide(1000)
        last = episodes.pop()
        logged(client, episodes, [r for r in rewards if r["episode_id"] != last["episode_id"]])
        logged(client, episodes[:250], [])  # replays count once
        time.sleep(7)
        assert got(client, "/api/ml/train")["jobs"] == []
        assert {one["fallback"] for one in decided(client, "bright", 10)} != {""}

        sent(client, "/api/ml/episode", last)
        (job,) = until(lambda: got(client, "/api/ml/train?loop=walks")["jobs"], 60)
        assert (job["cause"], job["logical_date"]) == ("episodes", job["created_at"][:10])
        first = finished(client, job["job_id"])
        assert (first["attempts"], first["error"]) == (1, "")

        (model,) = policies(client)
        checkpoint_id, version = model["checkpoint_id"], model["version"]
        reasons = got(client, f"/api/ml/metrics/{checkpoint_id}")["reasons"]
        assert (model["verdict"], model["active"]) == ("continue", False), reasons
        made = sent(
            client,
            f"/api/ml/deploy/{checkpoint_id}",
            {"reason": "first", "expected_generation": 0},
            200,
        )
        assert (made["version"], made["generation"], made["previous"]) == (version, 1, None)
        until(lambda: decided(client, "dull", 1)[0]["model_version"] == version, 60)
        bright, dull = decided(client, "bright", 200), decided(client, "dull", 200)
        assert {one["model_version"] for one in (*bright, *dull)} == {version}
        assert share_of_walks(bright) > share_of_walks(dull) + 0.2

        told = got(client, f"/api/ml/metrics/{checkpoint_id}")
        assert told["active"]
        assert told["decisions"] >= 400
        assert told["performance_metrics"]["difference_low"] > 0
        assert got(client, f"/api/ml/metrics/{version}")["checkpoint_id"] == checkpoint_id
        compare(told, first["run_id"], home)

        logged(client, *people.decide(300))
        asked = sent(client, "/api/ml/train", {"loop": "walks"}, 202)
        second = finished(client, asked["job_id"])
        assert second["run_id"] != first["run_id"]
        newest, oldest = policies(client)
        assert oldest["checkpoint_id"] == checkpoint_id
        other = got(client, f"/api/ml/metrics/{newest['checkpoint_id']}")
        compare(other, second["run_id"], home)
        assert other["evaluation"]["difference"] != told["evaluation"]["difference"]
        assert other["evaluation"]["held_out"] > told["evaluation"]["held_out"]
        assert got(client, f"/api/ml/metrics/{checkpoint_id}")["evaluation"] == told["evaluation"]
        assert len(got(client, "/api/ml/train")["jobs"]) == 2

        early, late = (sdk.open_run(job["run_id"], home) for job in (first, second))
        assert early.manifest.episodes == 1000
        assert late.manifest.episodes == 1300
        spent = [r for r in open_workspace(home).ledger.history() if r.status == "spent"]
        nights = {run.record.logical_date for run in (early, late)}
        stages = Counter(row.stage for row in spent)
        assert stages == {"user_model": len(nights), "quality": len(nights), "profiles": 1}
        assert (home / "training" / f"{second['job_id']}.log").exists()
