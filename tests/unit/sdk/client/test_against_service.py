"""Every method of both clients against the real service."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from everloop.contracts.episodes import Outcome
from everloop.contracts.errors import (
    EverloopError,
    ShouldAskForScope,
    ShouldAuthenticate,
    ShouldFixArgument,
    ShouldFixInput,
    ShouldNameKnownId,
    ShouldResolveConflict,
    ShouldRespectConsent,
    ShouldRestoreArtefact,
    ShouldRetryLater,
)
from everloop.contracts.feedback import FeedbackType
from everloop.sdk import (
    AsyncClient,
    Client,
    Confirmation,
    EpisodeRecord,
    FeedbackRecord,
    InteractionRecord,
    PackageRecord,
    Question,
    ReplyRecord,
    RewardRecord,
    SpokenAnswer,
    SpokenQuestion,
    SpokenTurn,
    event_id,
)
from everloop.sdk.client.answers.synthetic import SyntheticJob
from tests.unit.sdk.client.conftest import Running

Episode = Callable[..., EpisodeRecord]
CONTEXT = {"x": 0.5, "pulse": 70.0}
QUESTION = SpokenQuestion(user_id="ada", said=[SpokenTurn(role="user", text="How\u2028are you?")])
STEPS = {"stored", "waited", "downloaded"}
"""Functions beside the calls that are none."""


def interaction(user_id: str, **changes: Any) -> InteractionRecord:
    values: dict[str, Any] = {
        "user_id": user_id,
        "session_id": f"session of {user_id}",
        "agent_id": "coach",
        "task_type": "chat",
        "persona": "calm",
        "model_version": "v1",
        "input_data": "hello",
        "output_data": "a long enough answer to be read",
        "timestamp": datetime.now(UTC) - timedelta(minutes=2),
        "context": {"application": "app", "previous_turns": [{"role": "user", "text": "hi"}]},
    }
    return InteractionRecord(**values | changes)


def test_a_decision_becomes_an_episode_with_its_reward(client: Client) -> None:
    decision = client.decide("dora", CONTEXT, action_arguments={"why": "asked"})
    assert (decision.offline, decision.loop, dict(decision.arguments)) == (
        False,
        "coach",
        {"why": "asked"},
    )
    assert decision.action in decision.valid_actions
    assert client.decide("dora", CONTEXT, action_arguments={"why": "asked"}) != decision
    receipt = client.confirm(decision, outcome=Outcome.SUCCESS)
    assert (receipt.ids, receipt.buffered) == ((decision.decision_id,), False)
    client.log_reward(
        RewardRecord(
            episode_id=decision.decision_id, signal_type="engagement", value=0.75, latency=5
        )
    )
    (found,) = client.episodes_of("dora")
    assert (found.episode_id, found.action_taken, found.outcome) == (
        decision.decision_id,
        decision.action,
        "success",
    )
    assert [(s.signal_type, s.value, s.latency) for s in found.signals] == [("engagement", 0.75, 5)]


def test_the_same_question_is_answered_alike(client: Client) -> None:
    name = event_id()
    assert client.decide("dora", CONTEXT, decision_id=name) == client.decide(
        "dora", CONTEXT, decision_id=name
    )
    with pytest.raises(ShouldResolveConflict):
        client.decide("dora", CONTEXT | {"x": 0.1}, decision_id=name)


def test_many_at_once(client: Client, episode: Episode) -> None:
    questions = [Question(user_id=f"many-{n}", context=CONTEXT) for n in range(3)]
    decisions = client.decide_many(questions)
    assert [d.decision_id for d in decisions] == [q.decision_id for q in questions]
    logged = episode("many-0")
    receipt = client.log_episodes([logged, Confirmation(decision_id=decisions[0].decision_id)])
    assert receipt.ids == (logged.episode_id, decisions[0].decision_id)
    client.log_rewards(
        [
            RewardRecord(episode_id=name, signal_type="engagement", value=0.5, latency=1)
            for name in receipt.ids
        ]
    )
    found = list(client.episodes_of("many-0"))
    assert {each.episode_id for each in found} == set(receipt.ids)
    assert all(len(each.signals) == 1 for each in found)


def test_pages_are_walked(client: Client, episode: Episode) -> None:
    logged = [episode("walker") for _ in range(5)]
    client.log_episodes(logged)
    found = [each.episode_id for each in client.episodes_of("walker", page_size=2)]
    assert sorted(found) == sorted(each.episode_id for each in logged)
    assert list(client.episodes_of("nobody")) == []


def test_feedback_is_understood(client: Client, episode: Episode) -> None:
    decided = episode("fred")
    client.log_episode(decided)
    first, second = interaction("fred", episode_id=decided.episode_id), interaction("fred")
    assert client.log_interaction(first).ids == (first.log_id,)
    assert client.log_interactions([second]).ids == (second.log_id,)
    thumb = FeedbackRecord(
        feedback_type=FeedbackType.THUMB, feedback_value=True, log_id=first.log_id
    )
    receipt = client.give_feedback(thumb)
    assert not receipt.buffered
    assert receipt.answer is not None
    assert (receipt.answer.feedback_id, receipt.answer.value) == (thumb.feedback_id, True)
    assert [s.signal_type for s in receipt.answer.signals] == ["opinion"]
    assert client.give_feedback(thumb).answer == receipt.answer
    stars = [
        FeedbackRecord(feedback_type=FeedbackType.RATING, feedback_value=n, log_id=second.log_id)
        for n in (2, 9)
    ]
    answers = client.give_much_feedback(stars)
    assert [a.feedback_id for a in answers] == [s.feedback_id for s in stars]
    assert [a.answer and a.answer.clamped for a in answers] == [False, True]
    report = client.feedback_analysis(agent_id="coach", since=datetime(2026, 1, 1, tzinfo=UTC))
    assert (report.total, report.by_type) == (3, {"thumb": 1, "rating": 2})


def test_quarantine_is_seen_and_decided(service: Running, client: Client) -> None:
    (held,) = [f for f in client.quarantine() if f.feedback_id == service.world.ours.quarantined]
    assert (held.quality, held.quality_reasons) == (0.1, ("repeated",))
    decided = client.review_feedback(held.feedback_id, "rejected", "a machine")
    assert (decided.status, decided.reviews[0].reason) == ("rejected", "a machine")
    with pytest.raises(ShouldResolveConflict):
        client.review_feedback(held.feedback_id, "quarantined", "look again")


def test_flagged_episodes_are_seen_and_decided(service: Running, client: Client) -> None:
    ours = service.world.ours
    (flagged,) = client.episode_reviews("coach", "all", page_size=1)
    assert (flagged.review_id, flagged.episode_id) == (ours.review, ours.episode)
    assert flagged.signals[0].signal_type == "engagement"
    decided = client.decide_episode(ours.review, "reject", "a machine")
    assert (decided.state, decided.decision_reason) == ("rejected", "a machine")
    assert client.episode_review(ours.review) == decided
    assert list(client.episode_reviews()) == []
    (again,) = client.decide_episodes([ours.review], "reopen", "look again")
    assert again.state == "open"
    assert list(client.episode_reviews(page_size=1)) == [again]
    with pytest.raises(ShouldNameKnownId):
        client.decide_episode(event_id(), "release", "none")


def test_trials_are_seen_and_decided(service: Running, client: Client) -> None:
    ours = service.world.ours
    (found,) = client.deployments("coach")
    assert client.deployment(found.deployment_id) == found
    assert (found.deployment_id, found.serves, found.verdict) == (ours.deployment, False, "hold")
    assert [part.role for part in found.artefacts] == ["policy"]
    verdict = client.verdict(ours.deployment)
    assert (verdict.decision, verdict.deployment_id) == ("hold", ours.deployment)
    ended = client.change_rollout(ours.rollout, "end", "not this one")
    assert (ended.state, ended.traffic_percent) == ("ended", 0.0)
    with pytest.raises(ShouldNameKnownId):
        client.approve_rollout(event_id(), "none")
    with pytest.raises(ShouldResolveConflict):
        client.change_rollout(ours.rollout, "promote", "too late")


def test_training_and_models(service: Running, client: Client) -> None:
    today = datetime.now(UTC).date()
    job = client.train(day=today)
    assert (job.state, job.logical_date, job.verdict) == ("queued", today, "")
    assert "--no-train" in job.note
    assert client.training_job(job.job_id) == job
    assert job in client.training_jobs(limit=5)
    (model,) = client.models("coach")
    assert client.models("coach", "intervention") == (model,)
    assert client.models("coach", "pairing") == ()
    assert client.metrics(model.checkpoint_id).model_type == model.model_type
    assert model.checkpoint_id == service.world.ours.checkpoint
    assert client.metrics(model.checkpoint_id).checkpoint_id == model.checkpoint_id
    deployed = client.deploy(model.checkpoint_id, "a test", expected_generation=0)
    assert (deployed.generation, deployed.previous) == (1, None)
    with pytest.raises(ShouldResolveConflict):
        client.deploy(model.checkpoint_id, "a test", expected_generation=7)


def test_rights_of_people(client: Client, episode: Episode) -> None:
    client.log_episode(episode("rita"))
    assert client.consent("rita").serve
    withdrawn = client.set_consent("rita", "serve", granted=False)
    assert (withdrawn.serve, withdrawn.train) == (False, True)
    with pytest.raises(ShouldRespectConsent):
        client.decide("rita", CONTEXT)
    rows = client.export("rita")
    assert {row.table for row in rows} >= {"training_episodes", "consents"}
    erased = client.erase("rita", "asked to")
    assert erased.deleted["training_episodes"] == 1
    assert not [r for r in client.export("rita") if r.table == "training_episodes"]
    page = client.audit(limit=1000)
    assert "person.export" in {entry.action for entry in page.entries}
    assert client.audit(after=page.next_after).entries == ()


def test_health(client: Client) -> None:
    assert client.live().status == "live"
    health = client.health()
    assert health.ready
    assert {"ingest", "database"} <= {part.name for part in health.parts}
    assert "# HELP" in client.service_figures()


def test_errors_are_ours_and_tell_the_remedy(
    service: Running, client: Client, episode: Episode
) -> None:
    with pytest.raises(ShouldNameKnownId) as unknown:
        client.training_job(event_id())
    assert unknown.value.message
    with pytest.raises(ShouldAskForScope):
        client.training_job(service.world.theirs.job)
    with pytest.raises(ShouldFixInput, match=r"timestamp|pulse|context|x"):
        client.log_episode(episode(context_snapshot={"pulse": "fast"}))
    with (
        Client(service.url, "ek_wrong.key") as stranger,
        pytest.raises(ShouldAuthenticate),
    ):
        stranger.models()
    with (
        Client(f"{service.url}/elsewhere", service.key) as lost,
        pytest.raises(EverloopError, match="Not Found"),
    ):
        lost.models()


def test_synthetic_people_are_asked_for_waited_for_and_fetched(
    client: Client, service: Running, tmp_path: Path
) -> None:
    ours = service.world.ours.synthetic
    heard: list[SyntheticJob] = []
    job = client.wait_for_people(ours, progress=heard.append)
    assert heard == [job]
    assert (job.state, job.kind, job.done, job.ended) == ("succeeded", "generate", 1, True)
    path = client.download_people(ours, tmp_path / "people.jsonl")
    assert path.read_text() == '{"profile_id": "ours"}\n'
    assert [file.name for file in tmp_path.iterdir()] == ["people.jsonl"]
    name = event_id()
    asked = client.generate_people(
        4, seed=5, variance=0.5, format="json", start=date(2026, 1, 1), job_id=name
    )
    assert (asked.job_id, asked.parameters.start) == (name, date(2026, 1, 1))
    assert (
        client.generate_people(
            4, seed=5, variance=0.5, format="json", start=date(2026, 1, 1), job_id=name
        )
        == asked
    )
    with pytest.raises(ShouldRetryLater, match=r"queued after 0\.05 s, 0 of 4 profiles done"):
        client.wait_for_people(name, timeout=0.05, poll=0.02)
    with pytest.raises(ShouldFixArgument, match="has no file"):
        client.download_people(name, tmp_path / "none")
    inside = client.augment_people(per_person=2, seed=5)
    assert (inside.kind, inside.files) == ("augment", ())
    assert (inside.done, inside.total) == (None, None)
    with pytest.raises(ShouldRetryLater, match=r"queued after 0\.05 s\."):
        client.wait_for_people(inside.job_id, timeout=0.05, poll=0.02)
    counted = client.synthetic_stats("coach").profiles
    assert (counted["augmented"], counted["real"]) == (None, None)
    with pytest.raises(ShouldFixArgument, match="augment"):
        client.download_people(inside.job_id, tmp_path / "none")
    with pytest.raises(ShouldAskForScope):
        client.download_people(service.world.theirs.synthetic, tmp_path / "none")
    assert not (tmp_path / "none").exists()
    assert client.synthetic_stats("coach").budget.nights == 2


def test_a_download_that_is_cut_off_is_no_file(service: Running, tmp_path: Path) -> None:
    """What comes is not what the job says."""

    class Torn(httpx.BaseTransport):
        def __init__(self) -> None:
            self.real = httpx.HTTPTransport()

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            answer = self.real.handle_request(request)
            if request.url.path.endswith("/file"):
                answer.close()
                return httpx.Response(200, content=b"torn")
            return answer

        def close(self) -> None:
            self.real.close()

    with (
        Client(service.url, service.key, transport=Torn()) as client,
        pytest.raises(ShouldRestoreArtefact, match="SHA-256"),
    ):
        client.download_people(service.world.ours.synthetic, tmp_path / "people.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_a_voice_is_heard_as_it_speaks(client: Client) -> None:
    question = SpokenQuestion(user_id="vic", said=QUESTION.said)
    *pieces, last = client.speak_in_pieces(question)
    assert isinstance(last, SpokenAnswer)
    assert (last.log_id, last.persona, last.screened) == (question.log_id, "guide", False)
    assert "".join(map(str, pieces)) == last.text
    assert client.speak(question) == last
    other = [SpokenTurn(role="user", text="Who are you?")]
    with pytest.raises(ShouldResolveConflict):
        list(
            client.speak_in_pieces(
                SpokenQuestion(user_id="vic", said=other, log_id=question.log_id)
            )
        )
    with pytest.raises(ShouldFixArgument, match="nothing to answer"):
        client.speak(
            SpokenQuestion(user_id="vic", said=[SpokenTurn(role="assistant", text="Hello.")])
        )


def test_a_voice_that_nobody_reaches_is_told(free_port: int) -> None:
    with (
        Client(f"http://127.0.0.1:{free_port}", "key", retries=1) as client,
        pytest.raises(ShouldRetryLater, match="did not answer"),
    ):
        list(client.speak_in_pieces(QUESTION))


def test_every_route_has_a_method(service: Running) -> None:
    """The client's routes are the documented ones; a route that is added needs a method."""
    documented = {
        (method.upper(), path)
        for path, methods in service.world.app.openapi()["paths"].items()
        for method in methods
    }
    # The GET form puts a person's id in the address, which the client never does; engines have clients of
    # their own.
    flagger = ("POST", "/api/ml/deployments/{deployment_id}/verdict/flagger/{hook}")
    assert _routes() == documented - {("GET", "/api/rlhf/privacy/export"), flagger}


def _routes() -> set[tuple[str, str]]:
    from everloop.sdk.client.calls import (
        feedback,
        learning,
        models,
        operations,
        personas,
        reviews,
        synthetic,
        trials,
        variants,
        voice,
    )

    made: dict[type | str, Any] = {
        "question": Question(user_id="a", context={}),
        "record": RewardRecord(episode_id=event_id(), signal_type="s", value=1.0, latency=1),
        "questions": [],
        "spoken": QUESTION,
        "records": [],
    }
    found = set()
    for module in (
        learning,
        feedback,
        models,
        operations,
        personas,
        reviews,
        synthetic,
        trials,
        variants,
        voice,
    ):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ != module.__name__ or name.startswith("_") or name in STEPS:
                continue
            record = interaction("a") if "interaction" in name else made["record"]
            if name == "give_feedback":
                record = FeedbackRecord(feedback_type=FeedbackType.THUMB, feedback_value=True)
            if name == "log_episode":
                record = Confirmation(decision_id=event_id())
            arguments = [
                record
                if parameter == "record"
                else made.get(parameter, 1 if "limit" in parameter else "x")
                for parameter in inspect.signature(function).parameters
            ]
            if name == "start_trial":
                arguments = [{"base_persona_id": "x"}]
            if name == "feedback_analysis":
                arguments = [None] * len(arguments)
            if name in {"train", "augment_people"}:
                arguments = [None] * (len(arguments) - 1) + ["x" if name != "train" else None]
            if name == "generate_people":
                arguments = [1, *[None] * (len(arguments) - 2), "x"]
            call = function(*arguments)
            assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", call.route), call.path)
            found.add((call.method, call.route))
    return found


def test_both_clients_have_the_same_methods() -> None:
    def signatures(kind: type) -> dict[str, list[str]]:
        return {
            name: list(inspect.signature(function).parameters)
            for name, function in inspect.getmembers(kind, inspect.isfunction)
            if not name.startswith("_")
        }

    assert signatures(Client) == signatures(AsyncClient)
    asynchronous = [
        name
        for name, function in inspect.getmembers(AsyncClient, inspect.isfunction)
        if not name.startswith("_")
        and not (inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function))
    ]
    assert asynchronous == []


async def everything(client: AsyncClient, episode: Episode, tmp_path: Path) -> None:
    decision = await client.decide("ada", CONTEXT)
    await client.confirm(decision)
    decided = episode("ada")
    await client.log_episode(decided)
    reward = RewardRecord(
        episode_id=decided.episode_id, signal_type="engagement", value=0.5, latency=1
    )
    await asyncio.gather(client.log_reward(reward), client.log_rewards([reward]))
    said = interaction("ada")
    await client.log_interaction(said)
    await client.log_interactions([said])
    thumb = FeedbackRecord(
        feedback_type=FeedbackType.THUMB, feedback_value=True, log_id=said.log_id
    )
    receipt = await client.give_feedback(thumb)
    (again,) = await client.give_much_feedback([thumb])
    assert again == receipt
    (many,) = await client.decide_many([Question(user_id="ada", context=CONTEXT)])
    await client.log_episodes([Confirmation(decision_id=many.decision_id)])
    found = [each.episode_id async for each in client.episodes_of("ada", page_size=2)]
    assert set(found) == {decision.decision_id, decided.episode_id, many.decision_id}
    assert (await client.feedback_analysis(persona="calm")).total >= 1
    assert isinstance(await client.quarantine(), tuple)
    job = await client.train()
    assert await client.training_job(job.job_id) == job
    assert job in await client.training_jobs()
    asked = await client.generate_people(3, days=2, job_id=event_id())
    assert await client.synthetic_job(asked.job_id) == asked
    assert asked in await client.synthetic_jobs("coach")
    assert (await client.augment_people(per_person=2)).kind == "augment"
    assert (await client.synthetic_stats()).loop == "coach"
    with pytest.raises(ShouldRetryLater, match="after 0 s, 0 of 3"):
        await client.wait_for_people(asked.job_id, timeout=0)
    (done,) = [one for one in await client.synthetic_jobs() if one.state == "succeeded"]
    assert await client.wait_for_people(done.job_id) == done
    into = await client.download_people(done.job_id, tmp_path / "people.jsonl")
    assert into.read_text() == '{"profile_id": "ours"}\n'
    (model,) = await client.models()
    assert (await client.metrics(model.checkpoint_id)).version == model.version
    await client.deploy(model.checkpoint_id, "a test")
    assert (await client.set_consent("ada", "train", granted=False)).train is False
    assert (await client.consent("ada")).train is False
    assert await client.export("ada")
    assert (await client.erase("ada")).deleted["training_episodes"] == 3
    assert (await client.audit()).entries
    assert (await client.live()).status == "live"
    assert (await client.health()).ready
    assert "# HELP" in await client.service_figures()
    with pytest.raises(ShouldNameKnownId):
        await client.review_feedback(event_id(), "released", "none")
    (flagged,) = [one async for one in client.episode_reviews(state="all", page_size=1)]
    assert await client.episode_review(flagged.review_id) == flagged
    assert (await client.decide_episode(flagged.review_id, "release", "fine")).state == "released"
    (again,) = await client.decide_episodes([flagged.review_id], "reject", "not fine")
    assert again.state == "rejected"
    for manifest in await client.deployments("coach"):
        assert await client.deployment(manifest.deployment_id) == manifest
        assert (await client.verdict(manifest.deployment_id)).decision in {"hold", "rollback"}
    with pytest.raises(ShouldNameKnownId):
        await client.approve_rollout(event_id(), "none")
    with pytest.raises(ShouldNameKnownId):
        await client.change_rollout(event_id(), "end", "none")
    (running,) = await client.variant_trials("coach")
    met = await client.meet_variant(running.experiment_id, "ada")
    assert met == await client.meet_variant(running.experiment_id, "ada")
    seen = await client.variant_trial(running.experiment_id)
    assert seen.verdict is not None
    assert seen.sample_ratio is not None
    assert sum(seen.sample_ratio.observed.values()) == sum(v.people for v in seen.variants) > 0
    assert all(v.response is not None and v.response.value in (0.0, None) for v in seen.variants)
    letter = PackageRecord(
        user_id="ada",
        timestamp=datetime.now(UTC),
        origin="email",
        texts=["as I say"],
        replies=[ReplyRecord(said="well?", answered="well!")],
        persona="guide",
    )
    await client.set_consent("ada", "train", granted=True)
    guide = await client.persona("guide")
    moved = await client.adjust_trait("guide", "formality", 0.5, "a launch")
    assert moved.traits[0].value > guide.traits[0].value
    assert (await client.undo_persona("guide", "too much")).sha256 == guide.sha256
    back = (await client.persona_revisions("guide", limit=5))[0]
    assert (back.undoes, back.sha256) == (moved.revision, guide.sha256)
    assert (await client.give_packages([letter, letter])).ids == (letter.package_id,) * 2
    (twin,) = await client.voice_versions("guide", "user of acme")
    assert (twin.status, twin.instances, twin.forgets) == ("experimental", 1, 0)
    assert await client.source_instances(letter.package_id) == ()
    spoken = await client.speak(QUESTION)
    assert (spoken.log_id, spoken.loop, spoken.arm) == (QUESTION.log_id, "coach", "active")
    heard = [each async for each in client.speak_in_pieces(QUESTION)]
    assert heard == [spoken.text, spoken]
    ended = await client.end_variants(running.experiment_id, "enough", winner="warm")
    assert (ended.state, ended.winner) == ("promoted", "warm")
    asked = await client.start_variants(
        "calm", {"brief": {"words": 30}}, shares={"brief": 20.0}, max_days=9
    )
    assert asked.max_days == 9
    assert [v.traffic_percentage for v in asked.variants] == [80.0, 20.0]


def test_the_asynchronous_client(service: Running, episode: Episode, tmp_path: Path) -> None:
    async def run() -> None:
        async with service.async_client() as client:
            await everything(client, episode, tmp_path)

    asyncio.run(run())


def test_a_transport_of_ones_own(service: Running) -> None:
    async def run() -> None:
        transport = httpx.ASGITransport(app=service.world.app)
        async with AsyncClient("http://everloop", service.key, transport=transport) as client:
            assert (await client.live()).status == "live"
            assert await client.models()

    asyncio.run(run())
