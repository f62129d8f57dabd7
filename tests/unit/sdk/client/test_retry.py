"""When requests are sent again, after how long, and as which errors they end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts import errors
from everloop.contracts.errors import (
    EverloopError,
    ShouldFixArgument,
    ShouldFreeDisk,
    ShouldProvideKey,
    ShouldRetryLater,
    ShouldSlowDown,
    ShouldUpdateClient,
)
from everloop.sdk import AsyncClient, Client, EpisodeRecord, Retries
from everloop.sdk.client.failures import TRANSIENT, Failure, refused, seconds_of
from everloop.sdk.client.retry import Pause, Sender

Episode = Callable[..., EpisodeRecord]
KEY = "elk_1_secret"
HALF = Retries(attempts=4, base=1.0, longest=3.0)


def problem(status: int, title: str = "ShouldFixInput", **headers: str) -> httpx.Response:
    document = {"title": title, "status": status, "detail": "It is wrong.", "remedy": "Right it."}
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=document, headers=named)


def stored() -> httpx.Response:
    return httpx.Response(201, json={"id": "x", "status": "stored"})


class Scripted:
    """Answers in turn; an exception among them is raised."""

    def __init__(self, *replies: httpx.Response | type[httpx.TransportError]) -> None:
        self.replies = list(replies)
        self.sent: list[httpx.Request] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.sent.append(request)
        reply = self.replies.pop(0)
        if isinstance(reply, httpx.Response):
            return reply
        raise reply("lost", request=request)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Every wait, in seconds; none is waited for, and half of each range is drawn."""
    waited: list[float] = []
    done = Client._do

    def do(made: Client, step: Any) -> Any:
        return waited.append(step.seconds) if isinstance(step, Pause) else done(made, step)

    monkeypatch.setattr(Client, "_do", do)
    monkeypatch.setattr("everloop.sdk.client.session.Sender", _half)
    return waited


def _half(policy: Retries) -> Any:
    return Sender(policy, jitter=lambda: 0.5)


def client(script: Scripted, retries: Retries = HALF, **options: Any) -> Client:
    transport = httpx.MockTransport(script)
    return Client("http://everloop", KEY, retries=retries, transport=transport, **options)


def test_the_same_bytes_are_sent_again(pauses: list[float], episode: Episode) -> None:
    script = Scripted(httpx.ConnectError, httpx.ReadTimeout, problem(503), stored())
    record = episode()
    assert client(script).log_episode(record).ids == (record.episode_id,)
    assert len({request.content for request in script.sent}) == 1
    assert orjson.loads(script.sent[0].content)["episode_id"] == record.episode_id
    assert script.sent[0].headers["authorization"] == f"Bearer {KEY}"
    # Half of 1, of 2, and of 3, which is as long as it gets.
    assert pauses == [0.5, 1.0, 1.5]


def test_a_decision_asked_again_has_the_same_id(pauses: list[float]) -> None:
    script = Scripted(httpx.ReadError, problem(500, "InternalError"), problem(422))
    with pytest.raises(errors.ShouldFixInput):
        client(script).decide("ann", {"x": 1.0})
    ids = {orjson.loads(request.content)["decision_id"] for request in script.sent}
    assert (len(script.sent), len(ids)) == (3, 1)


@pytest.mark.parametrize("status", sorted(TRANSIENT))
def test_the_last_failure_is_told(status: int, pauses: list[float], episode: Episode) -> None:
    script = Scripted(*(problem(status, "Unheard") for _ in range(4)))
    with pytest.raises(ShouldSlowDown if status == 429 else ShouldRetryLater) as told:
        client(script).log_episode(episode())
    assert (told.value.message, told.value.remedy) == ("It is wrong.", "Right it.")
    assert len(script.sent) == 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 413, 422, 501])
def test_others_are_not_sent_again(status: int, pauses: list[float], episode: Episode) -> None:
    script = Scripted(problem(status))
    with pytest.raises(errors.ShouldFixInput):
        client(script).log_episode(episode())
    assert pauses == []


def test_retry_after_is_honoured(pauses: list[float], episode: Episode) -> None:
    script = Scripted(problem(429, Retry_After="7"), problem(503, Retry_After="0"), stored())
    client(script).log_episode(episode())
    assert pauses == [7.0, 1.0]


def test_a_long_wait_is_the_callers_to_decide(pauses: list[float], episode: Episode) -> None:
    script = Scripted(problem(429, "ShouldSlowDown", Retry_After="3600"))
    with pytest.raises(ShouldSlowDown) as told:
        client(script).log_episode(episode())
    assert (told.value.retry_after, pauses) == (3600.0, [])


def test_a_deployment_that_may_have_happened_is_not_repeated(pauses: list[float]) -> None:
    for first in (httpx.ReadTimeout, problem(503, "ShouldRetryLater")):
        with pytest.raises(ShouldRetryLater):
            client(Scripted(first)).deploy("c1", "a test", expected_generation=3)
    answer = {"checkpoint_id": "c1", "loop": "l", "version": "v", "generation": 4}
    done = httpx.Response(200, json=answer | {"previous": None, "ended_rollout": None})
    script = Scripted(httpx.ConnectError, problem(429), done)
    assert client(script).deploy("c1", "a test", expected_generation=3).generation == 4


def test_the_asynchronous_client_waits_alike(
    monkeypatch: pytest.MonkeyPatch, episode: Episode
) -> None:
    waited: list[float] = []
    done = AsyncClient._do

    async def do(made: AsyncClient, step: Any) -> Any:
        return waited.append(step.seconds) if isinstance(step, Pause) else await done(made, step)

    monkeypatch.setattr(AsyncClient, "_do", do)
    monkeypatch.setattr("everloop.sdk.client.session.Sender", _half)
    script = Scripted(httpx.ConnectError, problem(429, Retry_After="2"), stored())

    async def run() -> None:
        transport = httpx.MockTransport(script)
        async with AsyncClient("http://e", KEY, retries=HALF, transport=transport) as made:
            await made.log_episode(episode())

    asyncio.run(run())
    assert waited == [0.5, 2.0]


@given(
    sent=st.integers(1, 60),
    jitter=st.floats(0, 1),
    asked=st.none() | st.floats(0, 30),
    status=st.none() | st.sampled_from(sorted(TRANSIENT)),
)
def test_waits_are_bounded(
    sent: int, jitter: float, asked: float | None, status: int | None
) -> None:
    policy = Retries(attempts=100, base=0.2, longest=5.0)
    wait = policy.wait(sent, Failure(EverloopError("x"), status, asked), lambda: jitter)
    assert wait is not None
    assert (asked or 0.0) <= wait <= max(5.0, asked or 0.0)
    assert wait <= max(asked or 0.0, 0.2 * 2 ** (sent - 1))


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("12", 12.0),
        ("Sat, 21 Nov 2026 13:00:30 GMT", 30.0),
        ("Sat, 21 Nov 2026 12:00:00 GMT", 0.0),
        ("soon", None),
        ("-3", None),
        (None, None),
    ],
)
def test_both_forms_of_retry_after(header: str | None, seconds: float | None) -> None:
    assert seconds_of(header, datetime(2026, 11, 21, 13, tzinfo=UTC)) == seconds


def test_every_error_of_ours_comes_back_as_itself() -> None:
    kinds = [
        k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, EverloopError)
    ]
    assert ShouldFreeDisk in kinds
    for kind in kinds:
        body = orjson.dumps({"title": kind.__name__, "detail": "d", "remedy": "r"})
        told = refused(503, {"retry-after": "30"}, body)
        assert type(told.error) is kind
        assert (told.error.message, told.error.remedy, told.retry_after) == ("d", "r", 30.0)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (302, ShouldFixArgument),
        (401, errors.ShouldAuthenticate),
        (404, ShouldFixArgument),
        (413, ShouldFixArgument),
        (502, ShouldRetryLater),
    ],
)
def test_what_is_not_the_service_is_told_apart(status: int, kind: type[EverloopError]) -> None:
    for body in (b"<html>", b'["a"]', b""):
        told = refused(status, {}, body)
        assert type(told.error) is kind
        assert "base_url" in told.error.remedy
        assert not told.final


def test_answers_are_read_strictly() -> None:
    bodies: Sequence[tuple[Any, str]] = [
        ({"status": "live"}, "answer.version is missing"),
        ({"status": "live", "version": 3}, "answer.version is not of type str but int"),
        ([], "answer is not an object but list"),
    ]
    for body, message in bodies:
        with pytest.raises(ShouldUpdateClient, match=message):
            client(Scripted(httpx.Response(200, json=body))).live()
    with pytest.raises(ShouldUpdateClient, match="no JSON"):
        client(Scripted(httpx.Response(200, text="<html>"))).live()
    newer = {"status": "live", "version": "9", "mood": "fine"}
    assert client(Scripted(httpx.Response(200, json=newer))).live().version == "9"


def test_arguments_are_checked_before_anything_is_sent(episode: Episode) -> None:
    for url in ("everloop:8000", "ftp://x", "http://", "http://user:secret@x"):
        with pytest.raises(ShouldFixArgument) as told:
            Client(url, KEY)
        assert "secret" not in str(told.value)
    for key in ("", "a b", "ключ", "a\nb"):
        with pytest.raises(ShouldProvideKey):
            Client("http://x", key)
    script = Scripted()
    with pytest.raises(ShouldFixArgument, match="finite JSON"):
        client(script).log_episode(episode(context_snapshot={"x": float("nan")}))
    with pytest.raises(ShouldFixArgument, match="UUID"):
        episode(episode_id="seven")
    with pytest.raises(ShouldFixArgument, match="time zone"):
        episode(timestamp=datetime(2026, 1, 1))  # noqa: DTZ001
    for user in ("", "a/b", ".."):
        with pytest.raises(ShouldFixArgument, match="address"):
            list(client(script).episodes_of(user))
    assert script.sent == []


def test_the_key_is_never_shown() -> None:
    made = client(Scripted(httpx.ConnectError), Retries(attempts=1))
    with pytest.raises(ShouldRetryLater) as told:
        made.live()
    assert KEY not in repr(made) + str(told.value) + repr(made._session.__dict__.get("delivery"))


def test_records_do_not_show_what_people_said(episode: Episode) -> None:
    assert "70.0" not in repr(episode())
