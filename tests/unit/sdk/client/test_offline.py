"""The service goes away and comes back: nothing is lost, doubled or overtaken."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from everloop.contracts.errors import (
    ShouldDeliverBuffer,
    ShouldFixArgument,
    ShouldFixInput,
    ShouldRestoreArtefact,
    ShouldRetryLater,
)
from everloop.contracts.feedback import FeedbackType
from everloop.sdk import (
    AsyncClient,
    Buffer,
    Client,
    EpisodeRecord,
    FeedbackRecord,
    Question,
    Retries,
    RewardRecord,
    event_id,
)
from everloop.sdk.client.delivery import MOST_FAULTS
from tests.two_tenants import OURS, two_tenants
from tests.unit.sdk.client.conftest import FAST, listening

Episode = Callable[..., EpisodeRecord]
CONTEXT = {"x": 0.5, "pulse": 70.0}
KEY = "elk_1_secret"


class Service:
    """Keeps the bodies that it was sent; ``status`` 0 is a service that is away."""

    def __init__(self) -> None:
        self.status = 0
        self.refuses: set[bytes] = set()
        self.fails_at: set[bytes] = set()
        self.got: list[bytes] = []
        self.asked = 0

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked += 1
        body = request.content
        if self.status == 0:
            raise httpx.ConnectError("away", request=request)
        if self.status >= 400:
            return _problem(self.status, "ShouldRetryLater")
        if any(word in body for word in self.refuses):
            return _problem(422, "ShouldFixInput")
        if any(word in body for word in self.fails_at):
            return _problem(500, "InternalError")
        self.got.append(body)
        return httpx.Response(201, json={"id": "x", "status": "stored"})

    def ids(self, name: str = "signal_id") -> list[str]:
        return [orjson.loads(body)[name] for body in self.got]

    def client(self, buffer: Buffer | Path | None, **options: Any) -> Client:
        values: dict[str, Any] = {"retries": FAST, "transport": httpx.MockTransport(self)}
        return Client("http://everloop", KEY, buffer=buffer, **(values | options))


def _problem(status: int, title: str) -> httpx.Response:
    return httpx.Response(status, json={"title": title, "detail": "No.", "remedy": "Yes."})


def reward(value: float = 0.5, episode_id: str | None = None) -> RewardRecord:
    return RewardRecord(
        episode_id=episode_id or event_id(), signal_type="engagement", value=value, latency=1
    )


def test_down_then_up_delivers_once_and_in_order(
    tmp_path: Path, free_port: int, buffer_path: Path, episode: Episode
) -> None:
    url = f"http://127.0.0.1:{free_port}"
    with (
        two_tenants(tmp_path) as world,
        Client(url, world.keys[OURS], buffer=buffer_path, retries=FAST) as client,
    ):
        logged = [episode("olaf") for _ in range(4)]
        for each in logged:
            assert client.log_episode(each).buffered
            assert client.log_reward(reward(episode_id=each.episode_id)).buffered
        assert client.buffer is not None
        assert len(client.buffer) == 8
        stopped = client.flush()
        assert (stopped.delivered, stopped.left) == (0, 8)
        assert isinstance(stopped.problem, ShouldRetryLater)
        with listening(world.app, free_port):
            # An episode must be known before its reward is taken: none overtook another.
            done = client.flush()
            assert (done.delivered, done.refused, done.left, done.problem) == (8, 0, 0, None)
            assert client.log_episode(logged[0]).buffered is False
            found = list(client.episodes_of("olaf"))
    assert sorted(e.episode_id for e in found) == sorted(e.episode_id for e in logged)
    assert [len(each.signals) for each in found] == [1, 1, 1, 1]


def test_later_records_go_behind_what_waits(buffer_path: Path, tmp_path: Path) -> None:
    service = Service()
    with service.client(buffer_path) as client:
        early = [reward() for _ in range(3)]
        for each in early:
            assert client.log_reward(each).buffered
        service.status = 201
        # Within the pause after the failure nothing is tried: it must not overtake the others.
        late = reward()
        asked = service.asked
        assert client.log_reward(late).buffered
        assert service.asked == asked
        client._session.delivery._not_before = 0.0
        last = reward()
        assert not client.log_reward(last).buffered
    assert service.ids() == [each.signal_id for each in [*early, late, last]]


def test_pauses_grow_and_end(buffer_path: Path) -> None:
    service, now = Service(), [0.0]
    with service.client(buffer_path, retries=Retries(attempts=1)) as client:
        client._session.delivery._clock = lambda: now[0]
        tried = []
        for second in range(200):
            now[0] = float(second)
            before = service.asked
            client.log_reward(reward())
            if service.asked > before:
                tried.append(second)
        # 1, 2, 4, 8, 16, 32 and then 60 s apart.
        assert tried == [0, 1, 3, 7, 15, 31, 63, 123, 183]
        service.status = 201
        assert client.flush().delivered == 200
        assert not client.log_reward(reward()).buffered


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_full_service_is_one_that_is_away(status: int, buffer_path: Path) -> None:
    service = Service()
    service.status = status
    with service.client(buffer_path) as client:
        assert client.log_reward(reward()).buffered
        assert service.asked == FAST.attempts
    with service.client(None) as bare, pytest.raises(ShouldRetryLater):
        bare.log_reward(reward())


def test_what_is_wrong_is_told_at_once_and_not_kept(buffer_path: Path) -> None:
    service = Service()
    service.status, service.refuses = 201, {b"signal_id"}
    with service.client(buffer_path) as client:
        with pytest.raises(ShouldFixInput):
            client.log_reward(reward())
        assert client.buffer is not None
        assert (len(client.buffer), client.buffer.refused()) == (0, ())


def test_refused_entries_are_put_aside_and_seen(buffer_path: Path) -> None:
    service = Service()
    with service.client(buffer_path) as client:
        wrong, right = reward(), reward()
        client.log_reward(wrong)
        client.log_reward(right)
        service.status, service.refuses = 201, {wrong.signal_id.encode()}
        done = client.flush()
        assert (done.delivered, done.refused, done.left) == (1, 1, 0)
        assert service.ids() == [right.signal_id]
        assert client.buffer is not None
        (aside,) = client.buffer.refused()
        assert (aside.path, aside.error, aside.reason) == (
            "/api/ml/reward",
            "ShouldFixInput",
            "No. Yes.",
        )
        assert orjson.loads(aside.body)["signal_id"] == wrong.signal_id
        assert wrong.signal_id not in repr(aside)
        service.refuses = set()
        client.buffer.resubmit(aside.sequence)
        assert client.flush().delivered == 1
        assert service.ids() == [right.signal_id, wrong.signal_id]
        with pytest.raises(ShouldFixArgument, match="no refused entry"):
            client.buffer.discard(aside.sequence)


def test_a_revoked_key_or_a_login_page_refuses_nothing(buffer_path: Path) -> None:
    service = Service()
    with service.client(buffer_path) as client:
        client.log_reward(reward())
    replies = [
        _problem(401, "ShouldAuthenticate"),
        _problem(403, "ShouldAskForScope"),
        httpx.Response(403, text="<html>blocked"),
        httpx.Response(302, headers={"location": "http://login"}),
        httpx.Response(200, text="<html>log in"),
    ]
    for reply in replies:
        transport = httpx.MockTransport(lambda _, reply=reply: reply)
        with service.client(buffer_path, transport=transport) as client:
            done = client.flush()
            assert (done.delivered, done.refused, done.left) == (0, 0, 1)
            assert done.problem is not None


def test_an_entry_of_a_person_who_withdrew_is_put_aside(buffer_path: Path) -> None:
    service = Service()
    with service.client(buffer_path) as client:
        client.log_reward(reward())
    transport = httpx.MockTransport(lambda _: _problem(403, "ShouldRespectConsent"))
    with service.client(buffer_path, transport=transport) as client:
        done = client.flush()
        assert (done.delivered, done.refused, done.left, done.problem) == (0, 1, 0, None)
        assert client.buffer is not None
        assert client.buffer.refused()[0].error == "ShouldRespectConsent"


def test_an_entry_that_breaks_the_service_does_not_block_the_others(buffer_path: Path) -> None:
    service = Service()
    with service.client(buffer_path, retries=Retries(attempts=1)) as client:
        poison, right = reward(), reward()
        client.log_reward(poison)
        client.log_reward(right)
        service.status, service.fails_at = 201, {poison.signal_id.encode()}
        for _ in range(MOST_FAULTS - 1):
            assert client.flush().left == 2
        assert (client.flush().refused, service.ids()) == (1, [right.signal_id])


def test_decisions_are_never_buffered(buffer_path: Path) -> None:
    service = Service()
    with service.client(buffer_path) as client:
        with pytest.raises(ShouldRetryLater):
            client.decide("ann", CONTEXT)
        answer = client.decide("ann", CONTEXT, default_action="wait", valid_actions=["wait"])
        assert (answer.action, answer.offline, answer.propensity) == ("wait", True, None)
        many = client.decide_many([Question(user_id="a", context={})] * 2, default_action="wait")
        assert [each.offline for each in many] == [True, True]
        with pytest.raises(ShouldFixArgument, match="offline"):
            client.confirm(answer)
        service.status = 422
        with pytest.raises(ShouldRetryLater):  # the title that this service gives everything
            client.decide("ann", CONTEXT, default_action="wait")
        assert client.buffer is not None
        assert len(client.buffer) == 0


def test_feedback_waits_like_the_rest(buffer_path: Path) -> None:
    service = Service()
    with service.client(buffer_path) as client:
        said = FeedbackRecord(
            feedback_type=FeedbackType.RATING, feedback_value=4, log_id=event_id()
        )
        receipt = client.give_feedback(said)
        assert (receipt.feedback_id, receipt.buffered) == (said.feedback_id, True)
        assert [r.buffered for r in client.give_much_feedback([said])] == [True]
        with pytest.raises(ShouldRetryLater):
            client.set_consent("ann", "train", granted=False)
        service.status = 201
        assert client.flush().delivered == 2
    assert orjson.loads(service.got[0])["timestamp"] == said.timestamp.isoformat()


def test_the_buffer_is_its_owners_alone_and_forgets(buffer_path: Path) -> None:
    service = Service()
    before = os.umask(0)
    try:
        with service.client(buffer_path) as client:
            client.log_episode(
                EpisodeRecord(
                    user_id="canary-person",
                    context_snapshot={},
                    action_taken="walk",
                    model_version="v1",
                )
            )
            files = list(buffer_path.parent.glob(f"{buffer_path.name}*"))
            assert len(files) >= 3
            assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
            assert any(b"canary-person" in file.read_bytes() for file in files)
            service.status = 201
            client.flush()
            files = list(buffer_path.parent.glob(f"{buffer_path.name}*"))
            assert not any(b"canary-person" in file.read_bytes() for file in files)
    finally:
        os.umask(before)


def test_it_is_bounded(buffer_path: Path) -> None:
    service = Service()
    buffer = Buffer(buffer_path, largest_bytes=128 * 1024)
    kept = 0
    with service.client(buffer) as client:
        with pytest.raises(ShouldDeliverBuffer, match="may hold 131,072"):  # noqa: PT012
            while kept < 5000:
                client.log_rewards([reward() for _ in range(20)])
                kept += 1
        assert 10 < kept < 50
        assert len(buffer) == kept
        assert buffer_path.stat().st_size <= 160 * 1024
        service.status = 201
        assert client.flush().delivered == kept
        service.status = 0
        client._session.delivery._not_before = 0.0
        assert client.log_reward(reward()).buffered
    buffer.close()


def test_other_files_are_not_touched(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("no database " * 100)
    with pytest.raises(ShouldRestoreArtefact, match="Move it away"):
        Buffer(text)
    other = tmp_path / "other.db"
    made = sqlite3.connect(other)
    made.execute("CREATE TABLE t (x)")
    made.close()
    with pytest.raises(ShouldFixArgument, match="path of its own"):
        Buffer(other)
    with pytest.raises(ShouldFixArgument, match="cannot be written"):
        Buffer(tmp_path / "absent" / "buffer.db")
    with pytest.raises(ShouldFixArgument, match="too small"):
        Buffer(tmp_path / "b", largest_bytes=10)


def test_one_client_delivers_at_a_time(buffer_path: Path) -> None:
    first, second = Buffer(buffer_path), Buffer(buffer_path)
    with first.delivering() as mine, second.delivering() as also:
        assert (mine, also) == (True, False)
    with second.delivering() as now:
        assert now
    first.close()
    second.close()


LOGGER = """
import sys
from everloop.sdk import Client, RewardRecord, Retries
path, url, first, count = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with Client(url, "elk_1_secret", buffer=path, retries=Retries(attempts=1)) as client:
    for n in range(first, first + count):
        name = f"00000000-0000-7000-8000-{n:012d}"
        client.log_reward(
            RewardRecord(signal_id=name, episode_id=name, signal_type="s", value=0.0, latency=1)
        )
        print(n, flush=True)
"""
FLUSHER = """
import sys
from everloop.sdk import Client
with Client(sys.argv[2], "elk_1_secret", buffer=sys.argv[1]) as client:
    while client.flush().left:
        pass
"""


class Recorder:
    """An ASGI application that stores what it is sent, slowly."""

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.numbers: list[int] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        self.numbers.append(int(orjson.loads(body)["signal_id"][-12:]))
        await asyncio.sleep(self.pause)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"id":"x","status":"stored"}'})


def script(code: str, *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_two_processes_share_a_buffer(buffer_path: Path, free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}"
    loggers = [script(LOGGER, buffer_path, url, first, 60) for first in (0, 1000)]
    assert [process.wait(60) for process in loggers] == [0, 0]
    for process in loggers:
        process.communicate()
    buffer = Buffer(buffer_path)
    assert len(buffer) == 120
    recorder = Recorder(0.001)
    with listening(recorder, free_port):
        flushers = [script(FLUSHER, buffer_path, url) for _ in range(2)]
        assert [process.wait(60) for process in flushers] == [0, 0]
        for process in flushers:
            process.communicate()
    assert len(buffer) == 0
    buffer.close()
    assert len(recorder.numbers) == 120  # exactly once, although both delivered
    assert [n for n in recorder.numbers if n < 1000] == list(range(60))
    assert [n for n in recorder.numbers if n >= 1000] == list(range(1000, 1060))


def test_what_was_buffered_survives_kill_9(buffer_path: Path, free_port: int) -> None:
    logger = script(LOGGER, buffer_path, f"http://127.0.0.1:{free_port}", 0, 1_000_000)
    assert logger.stdout is not None
    told = 0
    while told < 40:
        told = int(logger.stdout.readline())
    logger.send_signal(signal.SIGKILL)
    rest, _ = logger.communicate(timeout=30)
    told = max([told, *(int(line) for line in rest.split("\n")[:-1])])
    buffer = Buffer(buffer_path)
    assert len(buffer) in {told + 1, told + 2}  # it may have died between keeping and telling
    buffer.close()


def test_kill_9_during_a_delivery_loses_and_reorders_nothing(
    buffer_path: Path, free_port: int
) -> None:
    url = f"http://127.0.0.1:{free_port}"
    logger = script(LOGGER, buffer_path, url, 0, 60)
    logger.communicate(timeout=60)
    recorder = Recorder(0.01)
    with listening(recorder, free_port):
        for goal in (5, 20):
            flusher = script(FLUSHER, buffer_path, url)
            while len(recorder.numbers) < goal:
                time.sleep(0.002)
            flusher.kill()
            flusher.communicate()
        with Client(url, KEY, buffer=buffer_path) as client:
            done = client.flush()
        assert (done.left, done.problem) == (0, None)
    # What was under way when it died is sent again under the same id, and nothing else is.
    assert sorted(set(recorder.numbers)) == list(range(60))
    assert recorder.numbers == sorted(recorder.numbers)
    assert len(recorder.numbers) <= 62


def test_threads_share_a_client(buffer_path: Path) -> None:
    service = Service()
    with service.client(buffer_path) as client:
        threads = [
            threading.Thread(target=lambda: [client.log_reward(reward()) for _ in range(20)])
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        service.status = 201
        assert client.flush().delivered == 80
    assert len(set(service.ids())) == 80


def test_the_asynchronous_client_buffers_alike(buffer_path: Path) -> None:
    service = Service()

    async def run() -> None:
        transport = httpx.MockTransport(service)
        async with AsyncClient(
            "http://everloop", KEY, buffer=buffer_path, retries=FAST, transport=transport
        ) as client:
            records = [reward() for _ in range(3)]
            for each in records:
                assert (await client.log_reward(each)).buffered
            assert (await client.decide("a", {}, default_action="wait")).offline
            service.status = 201
            assert (await client.flush()).delivered == 3
            assert service.ids() == [each.signal_id for each in records]

    asyncio.run(run())
