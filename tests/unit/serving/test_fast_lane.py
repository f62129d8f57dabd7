"""The hot routes' own way of reading, answering and failing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest

from everloop.contracts.ids import event_id
from everloop.serving.app import Application, create_app
from everloop.serving.configuration import ServiceConfig
from everloop.serving.opening import opened
from everloop.serving.reading import LARGEST_BODY, LARGEST_EVENT
from everloop.serving.service import Service
from everloop.settings import initialise
from tests.served import new_key

FAST = ("/api/ml/episode", "/api/ml/reward", "/api/ml/decide")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, Path]]:
    home = tmp_path_factory.mktemp("w")
    initialise(home)
    with opened(ServiceConfig(home=home, train=False)) as service:
        yield service, home


async def post(
    app: Application, path: str, key: str, content: bytes | AsyncIterator[bytes]
) -> httpx.Response:
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with httpx.AsyncClient(transport=transport, base_url="http://w") as client:
        return await client.post(path, content=content, headers=headers)


@pytest.mark.parametrize("path", FAST)
def test_a_body_beyond_the_limit_is_413(running: tuple[Service, Path], path: str) -> None:
    service, home = running
    answer = asyncio.run(post(create_app(service), path, new_key(home), b" " * (LARGEST_EVENT + 1)))
    assert answer.status_code == 413
    assert "1 MiB" in answer.json()["detail"]


def test_batches_have_a_limit_of_their_own(running: tuple[Service, Path]) -> None:
    service, home = running
    path = "/api/ml/episode/batch"
    answer = asyncio.run(post(create_app(service), path, new_key(home), b" " * (LARGEST_BODY + 1)))
    assert answer.status_code == 413
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", FAST)
def test_a_stranger_s_body_is_never_read(running: tuple[Service, Path], path: str) -> None:
    service, _ = running
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(True)
        yield b"{}"

    answer = asyncio.run(post(create_app(service), path, "", body()))
    assert (answer.status_code, read) == (401, [])


def test_a_body_in_pieces_is_put_together(running: tuple[Service, Path]) -> None:
    service, home = running
    signal_id = event_id()

    async def body() -> AsyncIterator[bytes]:
        for piece in (
            f'{{"signal_id":"{signal_id}","episode_id":"{event_id()}",',
            '"signal_type":"engagement",',
            '"value":1,"latency":3}',
        ):
            yield piece.encode()

    answer = asyncio.run(post(create_app(service), "/api/ml/reward", new_key(home), body()))
    assert answer.status_code == 422
    assert signal_id in answer.json()["detail"]  # it was read whole: only its episode is unknown


def test_a_fault_of_ours_is_500_and_tells_nothing(
    running: tuple[Service, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    service, home = running

    def broken(*_: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(type(service.limits), "admit", broken)
    answer = asyncio.run(post(create_app(service), FAST[0], new_key(home), b"{}"))
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert "same ids" in answer.json()["remedy"]


def test_answers_are_counted_by_route(running: tuple[Service, Path]) -> None:
    service, home = running
    app = create_app(service)
    asyncio.run(post(app, FAST[1], new_key(home), b"{}"))
    page = service.exchange.page().decode()
    assert (
        'everloop_request_seconds_count{method="POST",route="/api/ml/reward",status="422"}' in page
    )
