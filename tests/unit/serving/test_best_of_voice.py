"""The best of several answers over HTTP: drawn together, taken by the reward model, then screened."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from everloop.contracts.errors import EverloopError, ShouldRetryLater
from everloop.contracts.speaking import SpeakRequest
from everloop.contracts.voices import Message
from everloop.serving.speaking.batching import MicroBatcher
from everloop.serving.speaking.best import MOST, best_answer
from tests.fake_speaker import FakeSpeaker
from tests.fake_voices import fake_voices
from tests.two_tenants import OURS, Sent, World, two_tenants


class Longest:
    """Rewards every character."""

    def score(
        self, prompts: Sequence[tuple[Message, ...]], completions: Sequence[str]
    ) -> tuple[float, ...]:
        return tuple(float(len(text)) for text in completions)


def grown(request: SpeakRequest) -> str:
    return "a" * (request.seed % 7 + 1) + "."


def asked(best_of: int, speaker: FakeSpeaker, seed: int = 3) -> str:
    batcher = MicroBatcher(speaker)
    request = SpeakRequest((Message("user", "Hello."),), seed=seed)
    try:
        found = asyncio.run(
            best_answer(batcher, Longest(), request, best_of, time.monotonic() + 20)
        )
    finally:
        batcher.close()
    return found.text


def test_the_best_of_a_batch_is_taken() -> None:
    speaker = FakeSpeaker(says=grown)
    assert asked(5, speaker) == "a" * 7 + "."
    assert sorted(each.seed for each in speaker.asked) == [3, 4, 5, 6, 7]
    assert asked(2, FakeSpeaker(says=grown)) == "a" * 5 + "."
    many = FakeSpeaker(says=grown)
    asked(64, many)
    assert len(many.asked) == MOST


def test_one_that_fails_fails_the_question() -> None:
    def broken(request: SpeakRequest) -> str:
        if request.seed == 4:
            raise RuntimeError("a kernel failed")
        return "fine."

    with pytest.raises(EverloopError) as problem:
        asked(3, FakeSpeaker(says=broken))
    assert isinstance(problem.value, ShouldRetryLater)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with two_tenants(tmp_path_factory.mktemp("service")) as made:
        yield made


def test_the_service_answers_with_it_and_writes_it_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    speaker = FakeSpeaker(says=grown)
    world.service.voices.close()
    world.service.voices = fake_voices(world.service.workspace, speaker)
    plain = world.service.voices.speaks
    monkeypatch.setattr(
        world.service.voices,
        "speaks",
        lambda *given: replace(plain(*given), scorer=Longest(), best_of=4),
    )
    body = {"user_id": "ann", "said": [{"role": "user", "text": "How are you?"}]}
    answer = world.send("POST", "/api/ml/speak", Sent(body=body), world.keys[OURS])
    assert answer.status_code == 200, answer.text
    assert len(speaker.asked) == 4
    best = max((grown(each) for each in speaker.asked), key=len)
    assert answer.json()["text"] == best
    log_id = answer.json()["log_id"]
    kept = world.service.workspace.feedback.interactions([log_id], OURS)[log_id]
    assert kept.context["best_of"] == 4
    streamed = world.send(
        "POST", "/api/ml/speak", Sent(body=body | {"stream": True}), world.keys[OURS]
    )
    assert streamed.text.count("event: piece") == 1
