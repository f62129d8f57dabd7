"""The synchronous client."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx

from everloop.contracts.canonical import Json
from everloop.contracts.episodes import Outcome
from everloop.sdk.client.answers.feedback import FeedbackReceipt
from everloop.sdk.client.answers.learning import Decision, Receipt
from everloop.sdk.client.buffer import Buffer
from everloop.sdk.client.call import Call
from everloop.sdk.client.calls import feedback, learning, voice
from everloop.sdk.client.delivery import Delivery, Flushed
from everloop.sdk.client.failures import refused
from everloop.sdk.client.records import (
    Candidate,
    Confirmation,
    EpisodeRecord,
    FeedbackRecord,
    InteractionRecord,
    PackageRecord,
    Question,
    RewardRecord,
)
from everloop.sdk.client.retry import Blocking, Pause, Reply, Retries, Send, Steps
from everloop.sdk.client.session import Retrying, Session, question_of, timeout_of
from everloop.sdk.client.sync_personas import Personas
from everloop.sdk.client.sync_reading import Reading
from everloop.sdk.client.sync_synthetic import SyntheticPeople
from everloop.sdk.client.sync_variants import PersonaTrials
from everloop.sdk.client.sync_voice import VoiceData

T = TypeVar("T")


class Client(Reading, SyntheticPeople, PersonaTrials, Personas, VoiceData):
    """A connection to the HTTP service; threads may share it. Close it, or use it as a context manager.

    Args:
        base_url: ``https://host:port``.
        api_key: an API key or an access token; never shown.
        buffer: file in which records wait while the service can't be told; without one they are errors.
        timeout: seconds for each attempt.
        retries: how often and when a request is sent again.
        transport: httpx's, for tests and for proxies of one's own.

    Raises:
        ShouldFixArgument, ShouldProvideKey: an argument can't be used.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        buffer: Buffer | Path | str | None = None,
        timeout: float = 10.0,
        retries: Retrying = Retries(),  # noqa: B008
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._session = Session(base_url, api_key, buffer, retries)
        self._http = httpx.Client(
            base_url=base_url,
            headers=self._session.headers,
            timeout=timeout,
            transport=transport,
        )

    def __repr__(self) -> str:
        return f"Client({self._session.base_url!r})"

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; what waits in the buffer stays there."""
        self._http.close()
        if self._session.owns_buffer and self._session.buffer is not None:
            self._session.buffer.close()

    @property
    def buffer(self) -> Buffer | None:
        """What waits, and what was refused."""
        return self._session.buffer

    def decide(
        self,
        user_id: str,
        context: Mapping[str, Json],
        *,
        loop: str | None = None,
        valid_actions: Sequence[str] | None = None,
        action_arguments: Mapping[str, Json] | None = None,
        candidates: Sequence[Candidate] | None = None,
        decision_id: str | None = None,
        default_action: str | None = None,
    ) -> Decision:
        """What to do for one person now; never buffered.

        Args:
            candidates: whom a pairing may suggest; the answer's ``slate`` says whom it does.
            default_action: the answer, marked ``offline``, when the service can't be asked; without it
                that is an error.

        Raises:
            ShouldRetryLater: the service can't be asked, and there is no default.
        """
        question = question_of(
            user_id, context, loop, valid_actions, action_arguments, candidates, decision_id
        )
        return self._run(self._session.decide(question, default_action))

    def decide_many(
        self, questions: Sequence[Question], *, default_action: str | None = None
    ) -> tuple[Decision, ...]:
        """``decide`` for up to 1,000 people: all are decided and stored, or none."""
        return self._run(self._session.decide_many(questions, default_action)).decisions

    def confirm(
        self,
        decision: Decision | str,
        *,
        outcome: Outcome | None = None,
        reward_score: float | None = None,
    ) -> Receipt:
        """Log that the product did what was decided: the decision, or its id, becomes an episode."""
        known = decision if isinstance(decision, str) else decision.decision_id
        record = Confirmation(decision_id=known, outcome=outcome, reward_score=reward_score)
        return self._store(learning.log_episode(record))

    def log_episode(self, record: EpisodeRecord) -> Receipt:
        """Log a decision that the product made by itself."""
        return self._store(learning.log_episode(record))

    def log_episodes(self, records: Sequence[EpisodeRecord | Confirmation]) -> Receipt:
        """Log up to 5,000: all are stored, or none."""
        return self._store(learning.log_episodes(records))

    def log_reward(self, record: RewardRecord) -> Receipt:
        """Log reward evidence for an episode."""
        return self._store(learning.log_reward(record))

    def log_rewards(self, records: Sequence[RewardRecord]) -> Receipt:
        """Log up to 5,000: all are stored, or none."""
        return self._store(learning.log_rewards(records))

    def log_interaction(self, record: InteractionRecord) -> Receipt:
        """Log an exchange between a person and a persona."""
        return self._store(feedback.log_interaction(record))

    def log_interactions(self, records: Sequence[InteractionRecord]) -> Receipt:
        """Log up to 1,000: all are stored, or none."""
        return self._store(feedback.log_interactions(records))

    def give_feedback(self, record: FeedbackRecord) -> FeedbackReceipt:
        """Log what a person said of an output, and learn how it was understood."""
        return self._store(feedback.give_feedback(record))

    def give_much_feedback(self, records: Sequence[FeedbackRecord]) -> tuple[FeedbackReceipt, ...]:
        """Log up to 1,000: all are stored, or none; receipts come in the same order."""
        return self._store(feedback.give_much_feedback(records))

    def give_packages(self, records: Sequence[PackageRecord]) -> Receipt:
        """Give up to 200 packages of people's own text: all are stored, or none."""
        return self._store(voice.give_packages(records))

    def flush(self) -> Flushed:
        """Deliver what waits in the buffer, in order, until the service can't be told."""
        return self._run(self._session.delivery.flush())

    @property
    def _delivery(self) -> Delivery:
        return self._session.delivery

    def _ask(self, call: Call[T]) -> T:
        return self._run(self._session.delivery.ask(call))

    def _store(self, call: Call[T]) -> T:
        return self._run(self._session.delivery.store(call))

    def _run(self, steps: Steps[T]) -> T:
        """Carry steps out, one after the other."""
        found: Any = None
        try:
            while True:
                found = self._do(steps.send(found))
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            steps.close()

    def _do(self, step: Send | Pause | Blocking) -> Any:
        if isinstance(step, Send):
            return self._send(step.call)
        if isinstance(step, Blocking):
            return step.work()
        return time.sleep(step.seconds)

    def _streamed(self, call: Call[Any]) -> Iterator[bytes]:
        timeout = timeout_of(call, self._http.timeout)
        try:
            with self._http.stream(
                call.method, call.path, content=call.body, timeout=timeout
            ) as response:
                if not response.is_success:
                    response.read()
                    raise refused(response.status_code, response.headers, response.content).error
                yield from response.iter_bytes()
        except httpx.RequestError as problem:
            raise self._session.lost(problem).error from None

    def _send(self, call: Call[Any]) -> Reply:
        params = dict(call.params) or None
        try:
            if call.into is not None:
                return self._fetch(call, call.into)
            response = self._http.request(
                call.method,
                call.path,
                params=params,
                content=call.body,
                timeout=timeout_of(call, self._http.timeout),
            )
        except httpx.RequestError as problem:
            return self._session.lost(problem)
        return self._session.answered(call, response)

    def _fetch(self, call: Call[Any], into: Path) -> Reply:
        with self._http.stream(call.method, call.path) as response:
            if not response.is_success:
                response.read()
                return self._session.answered(call, response)
            with into.open("wb") as file:
                for piece in response.iter_bytes():
                    file.write(piece)
            return b""
