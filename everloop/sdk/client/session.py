"""What both clients are made of: where the service is, who calls, and the steps of each kind of request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx

from everloop import __version__
from everloop.contracts.canonical import Json
from everloop.contracts.errors import ShouldFixArgument, ShouldProvideKey
from everloop.contracts.ids import event_id
from everloop.sdk.client.answers.learning import Decision, Decisions
from everloop.sdk.client.buffer import Buffer
from everloop.sdk.client.call import Call
from everloop.sdk.client.calls import learning as calls
from everloop.sdk.client.delivery import Delivery
from everloop.sdk.client.failures import Failure, refused, unreachable
from everloop.sdk.client.records import Candidate, Question
from everloop.sdk.client.retry import Reply, Retries, Sender, Steps

Retrying = Retries | int
"""A policy, or how many attempts at most under the default one."""


class Session:
    """A checked address and key, and the buffer.

    Raises:
        ShouldFixArgument: base_url is no http address.
        ShouldProvideKey: the key is empty or can't be one.
    """

    def __init__(
        self, base_url: str, api_key: str, buffer: Buffer | Path | str | None, retries: Retrying
    ) -> None:
        parts = urlsplit(base_url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ShouldFixArgument(
                f"base_url={base_url!r} is no address.", "Give it as https://host:port."
            )
        if parts.username is not None or parts.password is not None:
            raise ShouldFixArgument("base_url holds a credential.", "Give it as api_key.")
        if not api_key or not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise ShouldProvideKey(
                "api_key is empty or has characters that no key has.",
                "Make one with everloop keys create.",
            )
        self.base_url = base_url
        self.headers: Mapping[str, str] = {
            "Authorization": f"Bearer {api_key}",
            "User-Agent": f"everloop-python/{__version__}",
            "Content-Type": "application/json",
        }
        self.buffer = Buffer(buffer) if isinstance(buffer, str | Path) else buffer
        self.owns_buffer = self.buffer is not buffer
        policy = retries if isinstance(retries, Retries) else Retries(attempts=retries)
        self.delivery = Delivery(Sender(policy), self.buffer)

    def answered(self, call: Call[Any], response: httpx.Response) -> Reply:
        """The body of a success, or the failure that the answer tells of."""
        if response.is_success or response.status_code in call.accepted:
            return response.content
        return refused(response.status_code, response.headers, response.content)

    def lost(self, problem: httpx.RequestError) -> Failure:
        """No answer came."""
        return unreachable(problem, self.base_url)

    def decide(self, question: Question, default_action: str | None) -> Steps[Decision]:
        """A decision; the default, marked, where the service can't be asked."""
        call = calls.decide(question)
        if default_action is None:
            return self.delivery.ask(call)
        return self.delivery.ask_or(call, lambda: _offline(question, default_action))

    def decide_many(
        self, questions: Sequence[Question], default_action: str | None
    ) -> Steps[Decisions]:
        """As ``decide``, for each."""
        call = calls.decide_many(questions)
        if default_action is None:
            return self.delivery.ask(call)
        return self.delivery.ask_or(
            call, lambda: Decisions(tuple(_offline(each, default_action) for each in questions))
        )


def timeout_of(call: Call[Any], usual: httpx.Timeout) -> httpx.Timeout:
    """How long an attempt may take: the client's own timeout, longer where an answer takes longer."""
    if call.longest is None or usual.read is None or usual.read >= call.longest:
        return usual
    return httpx.Timeout(
        connect=usual.connect, read=call.longest, write=usual.write, pool=usual.pool
    )


def question_of(
    user_id: str,
    context: Mapping[str, Json],
    loop: str | None,
    valid_actions: Sequence[str] | None,
    action_arguments: Mapping[str, Json] | None,
    candidates: Sequence[Candidate] | None,
    decision_id: str | None,
) -> Question:
    """A question whose id is made here when the caller has none."""
    return Question(
        user_id=user_id,
        context=context,
        loop=loop,
        valid_actions=valid_actions,
        action_arguments=action_arguments or {},
        candidates=candidates,
        decision_id=decision_id or event_id(),
    )


def _offline(question: Question, action: str) -> Decision:
    return Decision(
        decision_id="",
        loop=question.loop or "",
        action=action,
        kind=None,
        arguments=question.action_arguments,
        propensity=None,
        valid_actions=tuple(question.valid_actions or ()),
        model_version="",
        arm="",
        epsilon=0.0,
        fallback="offline",
        offline=True,
    )
