"""The judge's key leaves to the host that is named, and in clear text to no other machine."""

from __future__ import annotations

import httpx
import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.sandboxes import Criterion, CriterionKind
from everloop.sandbox.judges.llm import LlmJudge


def asked(url: str) -> list[httpx.Request]:
    """What goes out when a judge at an address is asked."""
    sent: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(401)

    judge = LlmJudge(url, "secret", "m", httpx.MockTransport(reply), lambda _: None)
    question = Criterion(kind=CriterionKind.LLM_JUDGE, values=("Is it kind?",))
    judge.judge(question, (), "Yes.", ())
    judge.close()
    return sent


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost.attacker.example/v1",
        "http://localhostattacker.example/v1",
        "http://127.0.0.1.attacker.example/v1",
        "http://localhost@attacker.example/v1",
        "http://localhost:8080@attacker.example/v1",
        "https://name:password@judge.example/v1",
        "ftp://localhost/v1",
        "https:///v1",
        "https://judge.example:port/v1",
        "localhost/v1",
    ],
)
def test_an_address_that_is_not_safe_is_refused(url: str) -> None:
    with pytest.raises(ShouldFixArgument, match="judge's address") as refused:
        asked(url)
    assert "password" not in refused.value.message.replace("a name or a password", "")


@pytest.mark.parametrize(
    "url",
    [
        "https://judge.example/v1",
        "http://localhost:8080/v1",
        "http://127.0.0.1/v1",
        "http://[::1]:8080/v1",
        "HTTP://LOCALHOST/v1",
    ],
)
def test_an_address_with_https_or_of_this_machine_is_asked(url: str) -> None:
    (sent,) = asked(url)
    assert sent.url.host == httpx.URL(url).host
    assert sent.headers["authorization"] == "Bearer secret"
