"""What the service says of itself is true: every route, fuzzed from its own document."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi import checks

from everloop.serving.app import create_app
from everloop.serving.configuration import ServiceConfig
from everloop.serving.opening import opened
from everloop.settings import initialise
from tests.fake_voices import fake_voices
from tests.served import new_key

EXAMPLES = {GenerationMode.POSITIVE: 12, GenerationMode.NEGATIVE: 12}
NOT_CLAIMED = [
    # A well-formed request may name an unknown id, or an action that the loop doesn't have.
    checks.positive_data_acceptance,
]


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FastAPI, str]]:
    home = tmp_path_factory.mktemp("workspace")
    initialise(home)
    with (
        opened(ServiceConfig(home=home, train=False)) as service,
        fake_voices(service.workspace) as service.voices,
    ):
        yield create_app(service), new_key(home)


@pytest.mark.parametrize("mode", EXAMPLES, ids=lambda mode: mode.value)
def test_every_route_is_what_its_document_says(
    application: tuple[FastAPI, str],
    mode: GenerationMode,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)  # the fuzzer keeps notes where it runs
    app, key = application
    document = copy.deepcopy(app.openapi())
    for methods in document["paths"].values():
        for route in methods.values():
            route.pop("security", None)  # every request here carries the key
    schema = schemathesis.openapi.from_dict(document)
    schema.app = app
    tried = 0
    problems: list[str] = []
    for operation in schema.get_all_operations():
        api = operation.ok()
        tried += 1

        @settings(
            max_examples=EXAMPLES[mode],
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )
        @given(case=api.as_strategy(generation_mode=mode))
        def fuzzed(case: Any) -> None:
            case.call_and_validate(
                headers={"Authorization": f"Bearer {key}"}, excluded_checks=NOT_CLAIMED
            )

        try:
            fuzzed()
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, api.label
            assert not api.body, api.label  # takes nothing that could be wrong
        except BaseExceptionGroup as failed:
            problems.append(f"{api.label}: {failed.exceptions[0]}")
        except Exception as failed:
            problems.append(f"{api.label}: {failed}")
    assert not problems, "\n\n".join(problems)
    assert tried == sum(len(methods) for methods in app.openapi()["paths"].values())
