"""A fake Kubeflow, a platform that names it, and a client that waits for nobody."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.platform import Platform
from everloop.sdk.kubeflow.client import Kubeflow
from everloop.sdk.kubeflow.failures import Attempts
from everloop.sdk.kubeflow.questions import Question
from everloop.sdk.kubeflow.records import RunRequest
from tests.fake_kubeflow import FakeKubeflow, kubeflow

IMAGE = "r.example/everloop-python:7"
NEVER_ANSWERED = (1.0, 0.4)


@dataclass
class World:
    fake: FakeKubeflow
    pauses: list[float] = field(default_factory=list)

    def platform(self, **changes: Any) -> Platform:
        plain = {
            "host": self.fake.url,
            "image": IMAGE,
            "pipeline_root": "gs://bucket/root",
            "service_account": "robot",
        }
        return Platform.model_validate(plain | changes)

    def client(self, most: int = 4, **changes: Any) -> Kubeflow:
        return Kubeflow(
            self.platform(**changes), Attempts(most, sleep=self.pauses.append), NEVER_ANSWERED
        )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    for name in ("EVERLOOP_KUBEFLOW_TOKEN", "EVERLOOP_KUBEFLOW_TOKEN_PATH", "EVERLOOP_PLATFORM"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("everloop.sdk.kubeflow.client.SETTLE_S", 0.0)
    with kubeflow() as fake:
        yield World(fake)


PACKAGE = """\
pipelineInfo: {name: daily-learning}
root:
  inputDefinitions:
    parameters:
      product: {parameterType: STRING}
      logical_date: {parameterType: STRING, isOptional: true}
"""


@pytest.fixture
def request_of(tmp_path: Path) -> Callable[..., RunRequest]:
    """Builds requests for a graph of two parameters."""
    package = tmp_path / "daily-learning.yaml"
    package.write_text(PACKAGE)

    def build(**parameters: str) -> RunRequest:
        given = {"product": "{}", "logical_date": "2026-03-28"} | parameters
        name = "walk-daily-learning-2026-03-28-abcd"
        return RunRequest("daily-learning", package, "v1", name, given)

    return build


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Schedules and submissions of a small graph file in place of the compiled one, of a given version."""
    from everloop.sdk.kubeflow import questions, schedules

    version = ["v1"]

    def compiled(platform: Platform, name: str, folder: Path) -> tuple[Path, str]:
        package = folder / f"{name}.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        names = questions.graph(name).component_spec.inputs
        package.write_text(
            "pipelineInfo: {name: "
            + name
            + "}\nroot:\n  inputDefinitions:\n    parameters:\n"
            + "".join(
                f"      {n}: {{isOptional: {str(bool(s.optional)).lower()}}}\n"
                for n, s in names.items()
            )
        )
        return package, version[0]

    monkeypatch.setattr("everloop.sdk.kubeflow.client.SETTLE_S", 0.0)
    monkeypatch.setattr(questions, "compiled", compiled)
    monkeypatch.setattr(schedules, "compiled", compiled)

    def release(name: str) -> None:
        version[0] = name

    return release


@pytest.fixture
def question() -> Question:
    return Question("companion")
