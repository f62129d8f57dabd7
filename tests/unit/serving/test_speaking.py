"""The voice over HTTP: arms, hot swaps, streams, limits, the last screen, and what is written down."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from everloop.contracts.access import Scope
from everloop.contracts.episodes import Arm
from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelType, Provenance
from everloop.contracts.personas import Exemplar
from everloop.contracts.rollouts import (
    Artefact,
    Deployment,
    RolloutRecord,
    Stay,
    deployment_id_of,
    part_of,
)
from everloop.contracts.speaking import BaseFolder, SpeakRequest
from everloop.contracts.voices import Message
from everloop.persona.graph import content_of, first_graph
from everloop.persona.prompt_artefact import FILE
from everloop.registry.promotion import promote
from everloop.registry.registration import REQUIRED_LINEAGE, Candidate, register
from everloop.rollout.end import CANDIDATE
from everloop.serving.api import speak
from everloop.serving.speaking.answering import Asked, Begun, Said, begin, spoken
from everloop.serving.speaking.openings import MOST
from everloop.serving.speaking.screening import SAFE
from everloop.serving.speaking.voices import Voices
from everloop.speaking.adapters import WEIGHTS, adapter_files
from everloop.speaking.engine import Engine
from tests.fake_speaker import FakeSpeaker
from tests.fake_voices import FORBIDDEN, WordScreen, fake_voices
from tests.made_adapters import drawn_adapter
from tests.two_tenants import OURS, THEIRS, Sent, World, two_tenants

PATH = "/api/ml/speak"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with two_tenants(tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.fixture
def spec(world: World) -> LoopSpec:
    return world.service.loops["coach"]


def talk(
    world: World, text: str = "How are you?", tenant: str = OURS, **more: Any
) -> httpx.Response:
    said = [{"role": "user", "text": text}]
    body = {"user_id": "ann", "said": said, **more}
    return world.send("POST", PATH, Sent(body=body), world.keys[tenant])


def speaks(world: World, says: Any) -> FakeSpeaker:
    """Let a fake with these answers speak from now on."""
    speaker = FakeSpeaker(says=says)
    world.service.voices.close()
    world.service.voices = fake_voices(world.service.workspace, speaker)
    return speaker


def events(response: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    found = []
    for block in response.text.strip().split("\n\n"):
        name, data = block.split("\n")
        found.append((name.removeprefix("event: "), orjson.loads(data.removeprefix("data: "))))
    return found


def test_an_answer_is_logged_and_feedback_finds_it(world: World) -> None:
    speaker = speaks(world, {("", "How are you?"): "Well, thank you."})
    before = [{"role": "user", "text": "Hi."}, {"role": "assistant", "text": "Hello."}]
    answer = talk(world, said=[*before, {"role": "user", "text": "How are you?"}]).json()
    assert answer["text"] == "Well, thank you."
    assert (answer["arm"], answer["persona"], answer["screened"]) == ("active", "guide", False)
    kept = world.service.workspace.feedback.interactions([answer["log_id"]], OURS)
    stored = kept[answer["log_id"]]
    assert (stored.input_data, stored.output_data) == ("How are you?", "Well, thank you.")
    assert stored.context["previous_turns"] == before
    assert stored.context["arm"] == "active"
    assert stored.model_version == answer["model_version"]
    assert (stored.tokens_in, stored.tokens_out) == (answer["tokens_in"], 4)
    assert stored.response_ms is not None
    assert stored.user_id == world.service.workspace.pseudonyms.of("ann", OURS)
    assert [turn.content for turn in speaker.asked[-1].messages][-3:] == [
        "Hi.",
        "Hello.",
        "How are you?",
    ]
    feedback = {
        "feedback_id": str(uuid.uuid4()),
        "log_id": answer["log_id"],
        "user_id": "ann",
        "session_id": "ann",
        "timestamp": datetime.now(UTC).isoformat(),
        "feedback_type": "thumb",
        "feedback_value": True,
    }
    given = world.send("POST", "/api/rlhf/feedback", Sent(body=feedback), world.keys[OURS])
    assert given.status_code == 201, given.text


def test_the_same_question_is_answered_once(world: World) -> None:
    speaker = speaks(world, None)
    log_id = str(uuid.uuid4())
    first, again = talk(world, log_id=log_id), talk(world, log_id=log_id)
    assert first.json() == again.json()
    streamed = events(talk(world, log_id=log_id, stream=True))
    assert streamed == [("piece", {"text": first.json()["text"]}), ("answer", first.json())]
    assert len(speaker.asked) == 1
    other = talk(world, "Who are you?", log_id=log_id)
    assert (other.status_code, other.json()["title"]) == (409, "ShouldResolveConflict")


def test_a_stream_joins_to_the_answer(world: World) -> None:
    speaks(world, {("", "Tell me."): "One thing. And another! Is there a third?"})
    response = talk(world, "Tell me.", stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    found = events(response)
    assert [name for name, _ in found] == ["piece", "piece", "answer"] or len(found) > 3
    text = "".join(data["text"] for name, data in found if name == "piece")
    assert text == found[-1][1]["text"] == "One thing. And another! Is there a third?"


def test_what_may_not_be_heard_is_not(world: World) -> None:
    speaks(world, {("", "Say it."): f"Fine so far. Now the {FORBIDDEN} thing. And more."})
    answer = talk(world, "Say it.").json()
    assert (answer["text"], answer["screened"]) == (SAFE, True)
    kept = world.service.workspace.feedback.interactions([answer["log_id"]], OURS)
    assert kept[answer["log_id"]].output_data == SAFE
    assert kept[answer["log_id"]].context["screened"] == "word"


@pytest.mark.parametrize(
    ("says", "read"),
    [
        (f"Fine so far. Now the {FORBIDDEN} thing. And more.", f"Fine so far. {SAFE}"),
        (f"Fine so far. Now the {FORBIDDEN}", f"Fine so far. {SAFE}"),
        (f"The {FORBIDDEN} thing. And more.", SAFE),
        ("and " * 101 + f"the {FORBIDDEN} thing.", "and " * 100 + f"and {SAFE}"),
    ],
)
def test_what_was_read_of_a_refused_stream_is_what_is_written_down(
    world: World, says: str, read: str
) -> None:
    speaks(world, {("", "Say it."): says})
    response = talk(world, "Say it.", stream=True)
    assert FORBIDDEN not in response.text
    *pieces, (name, last) = events(response)
    assert (name, last["text"], last["screened"]) == ("answer", read, True)
    assert {name for name, _ in pieces} == {"piece"}
    assert "".join(data["text"] for _, data in pieces) == read
    assert pieces[-1][1]["text"].strip() == SAFE
    kept = world.service.workspace.feedback.interactions([last["log_id"]], OURS)[last["log_id"]]
    assert kept.output_data == read
    assert kept.context["screened"] == "word"
    again = events(talk(world, "Say it.", stream=True, log_id=last["log_id"]))
    assert again == [("piece", {"text": read}), ("answer", last)]


def test_whoever_withdrew_is_not_spoken_to(world: World) -> None:
    speaker = speaks(world, None)
    consent = {"user_id": "gone", "purpose": "serve", "granted": False}
    given = world.send("PUT", "/api/rlhf/privacy/consent", Sent(body=consent), world.keys[OURS])
    assert given.is_success, given.text
    refused = talk(world, user_id="gone")
    assert (refused.status_code, refused.json()["title"]) == (403, "ShouldRespectConsent")
    assert speaker.asked == []


def test_malformed_conversations_are_named(world: World) -> None:
    for said in (
        [],
        [{"role": "user", "text": " "}],
        [{"role": "system", "text": "Obey."}],
        [{"role": "assistant", "text": "Hi."}],
        [{"role": "user", "text": "a\0b"}],
    ):
        assert talk(world, said=said).status_code == 422
    assert talk(world, log_id="x" * 36).status_code == 422
    assert talk(world, loop="elsewhere").status_code == 404


def test_without_a_base_it_says_what_to_do(world: World) -> None:
    world.service.voices.close()
    world.service.voices = Voices(world.service.workspace)
    for stream in (False, True):
        response = talk(world, stream=stream)
        assert response.status_code == 503
        assert "retry-after" in response.headers
    assert "nowhere" in response.json()["detail"]


def test_a_loop_without_a_voice_says_so(world: World, spec: LoopSpec) -> None:
    silent = spec.model_copy(update={"voice": None})
    loops = dict(world.service.loops)
    world.service.loops = {"coach": silent}
    try:
        response = talk(world)
    finally:
        world.service.loops = loops
    assert (response.status_code, response.json()["title"]) == (503, "ShouldRetryLater")
    assert "has no voice" in response.json()["detail"]


def test_a_voice_that_fails_is_a_503_and_the_next_question_is_answered(world: World) -> None:
    def says(request: SpeakRequest) -> str:
        if request.messages[-1].content == "Break.":
            raise RuntimeError("a kernel failed")
        return "Whole."

    speaks(world, says)
    assert talk(world, "Break.").status_code == 503
    assert talk(world, "Break.", stream=True).status_code == 503
    assert talk(world, "Hold.").json()["text"] == "Whole."


class Deploys:
    """Registers and deploys voices of the loop, for a tenant that no other test here speaks for."""

    def __init__(self, world: World, spec: LoopSpec, base: BaseFolder, folder: Path) -> None:
        self._world, self._spec, self._base, self._folder = world, spec, base, folder
        self._workspace = world.service.workspace

    def adapter(self, seed: int, version: str, **more: Any) -> str:
        made = drawn_adapter(self._folder / version, self._base, seed)
        return self._registered(
            ModelType.ADAPTER, dict(adapter_files(made)), WEIGHTS, version, more
        )

    def prompt(self, version: str, shown: Exemplar) -> str:
        assert self._spec.voice is not None
        graph = replace(first_graph(self._spec.voice, None, THEIRS), exemplars=(shown,))
        path = self._folder / f"{version}.json"
        path.write_bytes(content_of(graph))
        return self._registered(ModelType.PROMPT, {FILE: path}, FILE, version, {})

    def _registered(
        self, kind: ModelType, files: dict[str, Path], served: str, version: str, more: Any
    ) -> str:
        candidate = Candidate(
            loop=self._spec.name,
            model_type=kind,
            files=files,
            served=served,
            performance_metrics={},
            lineage=dict.fromkeys(REQUIRED_LINEAGE, "made")
            | {"version": version, "base": self._base.sha256},
            provenance=Provenance.CONSENTED_TEXT,
            verdict="continue",
            training_date=datetime.now(UTC),
            tenant=THEIRS,
        )
        row = register(replace(candidate, **more), self._workspace.registry, self._workspace.blobs)
        return row.checkpoint_id

    def serve(self, checkpoint: str) -> None:
        promote(
            checkpoint,
            self._workspace.registry,
            self._workspace.blobs,
            self._workspace.deployments,
            "a test",
        )

    def trial(self, active: str | None, checkpoints: list[str], percent: float) -> RolloutRecord:
        rows = [self._workspace.registry.checkpoint(each) for each in checkpoints]
        parts: tuple[Artefact, ...] = tuple(part_of(row, row.model_type.value) for row in rows)
        now = datetime.now(UTC)
        deployment = Deployment(
            deployment_id_of("coach", THEIRS, parts), "coach", parts, now, THEIRS
        )
        self._workspace.deployments.record(deployment)
        record = RolloutRecord(
            rollout_id=str(uuid.uuid4()),
            loop="coach",
            candidate=checkpoints[0],
            active=active,
            state="started",
            traffic_percent=percent,
            reasons=("a test",),
            recorded_at=now,
            tenant=THEIRS,
            deployment_id=deployment.deployment_id,
            history=(Stay("started", percent, now),),
            subject="adapter",
        )
        self._workspace.rollouts.start(record)
        registry = self._workspace.registry
        _, generation = registry.alias("coach", CANDIDATE, THEIRS)
        registry.set_alias("coach", CANDIDATE, checkpoints[0], generation, "a test", THEIRS)
        return record


def test_the_head_moves_and_another_voice_speaks(
    world: World, spec: LoopSpec, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    engine = Engine(tiny_voice, device="cpu")
    world.service.voices.close()
    world.service.voices = Voices(world.service.workspace, lambda _: engine, lambda _: WordScreen())
    deploys = Deploys(world, spec, tiny_voice, tmp_path)

    def ask(number: int, text: str = "How are you?") -> dict[str, Any]:
        person = f"person {number}"
        answer = talk(world, text, THEIRS, user_id=person, max_new_tokens=6)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    assert ask(0)["model_version"].startswith("base+")
    assert engine.versions == frozenset()
    active, candidate = deploys.adapter(1, "v1"), deploys.adapter(2, "v2")
    prompt = deploys.prompt("p2", Exemplar("How are you?", "Splendid.", "praise"))
    deploys.serve(active)
    served = ask(0)
    assert served["model_version"].startswith("v1+")
    assert engine.versions == {active}

    trial = deploys.trial(active, [candidate, prompt], 50.0)
    heard = {number: ask(number) for number in range(30)}
    arms = {number: answer["arm"] for number, answer in heard.items()}
    assert set(arms.values()) == {"active", "candidate"}
    versions = {answer["model_version"].split("+")[0] for answer in heard.values()}
    assert versions == {"v1", "v2"}
    for answer in heard.values():
        adapter, _, told = answer["model_version"].partition("+")
        assert (adapter == "v2") == (answer["arm"] == "candidate")
        assert (told == served["model_version"].partition("+")[2]) == (adapter == "v1")
    assert {number: ask(number)["arm"] for number in range(10)} == {n: arms[n] for n in range(10)}
    assert engine.versions == {active, candidate}
    one = next(number for number, arm in arms.items() if arm == "candidate")
    kept = world.service.workspace.feedback.interactions([heard[one]["log_id"]], THEIRS)
    assert kept[heard[one]["log_id"]].context["rollout"] == trial.rollout_id

    registry = world.service.workspace.registry
    _, generation = registry.alias("coach", CANDIDATE, THEIRS)
    registry.set_alias("coach", CANDIDATE, None, generation, "a test", THEIRS)
    assert ask(one)["arm"] == Arm.ACTIVE
    assert ask(one)["model_version"] == served["model_version"]
    assert engine.versions == {active}


def test_a_question_that_waits_is_answered_by_what_it_was_given(
    world: World, spec: LoopSpec, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    engine = Engine(tiny_voice, device="cpu")
    world.service.voices.close()
    voices = Voices(world.service.workspace, lambda _: engine, lambda _: WordScreen())
    world.service.voices = voices
    deploys = Deploys(world, spec, tiny_voice, tmp_path)
    question = Asked(
        log_id=str(uuid.uuid4()),
        loop=spec,
        tenant=THEIRS,
        user_id="p1",
        session_id="s1",
        said=(Message("user", "Hello."),),
        episode_id=None,
        max_new_tokens=4,
        timeout_s=30.0,
    )
    before, after = deploys.adapter(11, "w1"), deploys.adapter(12, "w2")
    deploys.serve(before)
    waits = begin(voices, question)
    head = voices._read(spec, THEIRS)
    deploys.serve(after)
    assert begin(voices, question).request.adapter == after
    assert engine.versions == {after}

    async def said(begun: Begun) -> Said:
        async for each in spoken(voices, begun):
            if isinstance(each, Said):
                return each
        raise AssertionError

    assert asyncio.run(said(waits)).answer.adapter == before
    # A thread that still has the earlier head neither takes the newer adapter away nor leaves its own.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voices, "_read", lambda *_: head)
        late = begin(voices, question)
    assert (late.request.adapter, engine.versions) == (before, frozenset({after}))
    assert engine.answer([late.request])[0].adapter == before
    del waits, late
    with pytest.raises(ShouldNameKnownId):
        engine.lease(before)


def at_once(world: World, *bodies: dict[str, Any]) -> list[httpx.Response]:
    async def together() -> list[httpx.Response]:
        headers = {"Authorization": f"Bearer {world.keys[OURS]}"}
        asks = [
            world._client.post(PATH, json={"user_id": "ann", **body}, headers=headers)
            for body in bodies
        ]
        return list(await asyncio.gather(*asks))

    return world._loop.run(together())


def test_the_same_question_at_the_same_moment_is_answered_once(world: World) -> None:
    speaker = speaks(world, None)
    hello = {"log_id": str(uuid.uuid4()), "said": [{"role": "user", "text": "Hello."}]}
    first, again, streamed = at_once(world, hello, hello, {**hello, "stream": True})
    assert [each.status_code for each in (first, again, streamed)] == [200] * 3
    assert first.json() == again.json() == events(streamed)[-1][1]
    assert len(speaker.asked) == 1
    log_id = str(uuid.uuid4())
    others = [{"log_id": log_id, "said": [{"role": "user", "text": text}]} for text in "ab"]
    assert sorted(each.status_code for each in at_once(world, *others)) == [200, 409]
    assert len(speaker.asked) == 2
    assert world.service.voices.claims._held == {}


def test_a_question_whose_first_answer_failed_is_answered_by_the_second(world: World) -> None:
    failures = iter([True])

    def says(request: SpeakRequest) -> str:
        if next(failures, False):
            raise RuntimeError("a kernel failed")
        return "Whole."

    speaks(world, says)
    hello = {"log_id": str(uuid.uuid4()), "said": [{"role": "user", "text": "Hello."}]}
    answers = at_once(world, hello, hello)
    assert sorted(each.status_code for each in answers) == [200, 503]
    assert world.service.voices.claims._held == {}


def test_what_another_process_stored_first_is_the_answer(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    speaks(world, {("", "Hello."): "The first."})
    log_id = str(uuid.uuid4())
    first = talk(world, "Hello.", log_id=log_id)
    speaks(world, {("", "Hello."): "The second."})
    kept, not_yet = speak._kept, iter([True])

    def unaware(service: Any, asked: Any) -> Any:
        return None if next(not_yet, False) else kept(service, asked)

    monkeypatch.setattr(speak, "_kept", unaware)
    again = talk(world, "Hello.", log_id=log_id)
    assert (again.status_code, again.json()) == (200, first.json())


def test_questions_of_one_moment_are_answered_in_one_batch(world: World) -> None:
    speaker = speaks(world, None)
    batches: list[int] = []
    follow = speaker.follow

    def noted(requests: Any, abandoned: Any) -> Any:
        batches.append(len(requests))
        return follow(requests, abandoned)

    speaker.follow = noted  # type: ignore[method-assign]

    async def together() -> list[httpx.Response]:
        body = {"said": [{"role": "user", "text": "Hello."}]}
        headers = {"Authorization": f"Bearer {world.keys[OURS]}"}
        asks = [
            world._client.post(PATH, json={**body, "user_id": f"p{n}"}, headers=headers)
            for n in range(6)
        ]
        return list(await asyncio.gather(*asks))

    answers = world._loop.run(together())
    assert [answer.status_code for answer in answers] == [200] * 6
    assert max(batches) > 1
    assert sum(batches) == 6


def test_a_voice_that_opens_slowly_keeps_no_other_route_waiting(world: World) -> None:
    opens, said = threading.Event(), {"said": [{"role": "user", "text": "Hello."}]}

    def opened(_: Any) -> FakeSpeaker:
        opens.wait(30)
        return FakeSpeaker()

    world.service.voices.close()
    world.service.voices = Voices(world.service.workspace, opened, lambda _: WordScreen())

    async def together() -> tuple[httpx.Response, list[httpx.Response]]:
        sent: Any = {"headers": {"Authorization": f"Bearer {world.keys[OURS]}"}}
        asks = [
            asyncio.create_task(world._client.post(PATH, json={"user_id": f"p{n}", **said}, **sent))
            for n in range(45)
        ]
        try:
            async with asyncio.timeout(10):
                while sum(ask.done() for ask in asks) < 45 - MOST:
                    await asyncio.sleep(0.01)
                other = await world._client.get("/api/ml/personas/guide", **sent)
        finally:
            opens.set()
        return other, list(await asyncio.gather(*asks))

    other, answers = world._loop.run(together())
    assert other.status_code == 200
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == 45 - MOST
    assert {answer.headers["retry-after"] for answer in refused} == {"5"}
    assert [answer.status_code for answer in answers].count(200) == MOST
    assert talk(world, "Hello.").status_code == 200


def test_scopes(world: World) -> None:
    key = world.key(OURS, Scope.INGEST)
    body = {"user_id": "ann", "said": [{"role": "user", "text": "Hi."}]}
    assert world.send("POST", PATH, Sent(body=body), key).status_code == 403
