"""A running service with two tenants: one that asks, and one whose rows it must never see."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from everloop import settings
from everloop.contracts.access import AuditEntry, Scope
from everloop.contracts.evaluation import Check, CheckStatus, Decision, Verdict
from everloop.contracts.feedback import FeedbackStatus
from everloop.contracts.models import ModelType, Provenance
from everloop.contracts.oversight import ReviewItem, ReviewKind, review_id_of
from everloop.contracts.personas import MemoryItem
from everloop.contracts.rollouts import RolloutRecord, RolloutState, Stay
from everloop.contracts.serving import JobCause, JobState, Submission, TrainingJob
from everloop.contracts.synthetic_jobs import FileFormat, JobOutput
from everloop.contracts.voices import SourceType
from everloop.persona.memory import remembered
from everloop.persona.revisions import revised
from everloop.registry.manifest import manifest_of
from everloop.registry.registration import REQUIRED_LINEAGE, Candidate, register
from everloop.rollout.start import rollout_id_of
from everloop.sdk import variants
from everloop.sdk.synthetic.asking import ask_generate
from everloop.serving.access.credentials import make_key
from everloop.serving.app import create_app
from everloop.serving.configuration import ServiceConfig
from everloop.serving.opening import opened
from everloop.serving.personas.teaching import voices_of
from everloop.serving.service import Service
from tests import feedback_records, log_records, voice_records
from tests.fake_voices import fake_voices
from tests.made_policies import made_policy
from tests.made_releases import paid_release

OURS, THEIRS = "acme", "bolt"
CANARY = "canary-of-bolt"
"""Stands in every row of the other tenant."""

LOOP = """\
name: coach
version: 1
description: Two fields, four actions.
source: A test.
context:
  - {name: x, kind: number, low: -1, high: 1, description: a number}
  - {name: pulse, kind: number, low: 40, high: 180, sensitivity: health, description: pulse}
actions:
  - {id: wait, kind: no_action}
  - {id: walk, kind: recommend_hive, event_id: w1}
  - {id: music, kind: recommend_hive, event_id: m1}
  - {id: meet, kind: suggest_pairing, people: 2}
candidates: {descriptors: [sociability, novelty]}
signals:
  - {name: engagement, low: 0, high: 1, weight: 0.5, silence: zero, description: use}
  - {name: opinion, low: 0, high: 1, two_sided: true, weight: 0.5, silence: missing,
     description: said}
reward:
  attainable_low: -1
  attainable_high: 1
  half_life_seconds: 86400
  closes_after_seconds: 86400
  success_at: 0.2
  failure_at: -0.2
feedback: {explicit: opinion, implicit: engagement}
voice:
  persona: guide
  base: {name: tiny, source: nowhere, license: none}
  traits:
    - {name: formality, low: informal, high: formal}
"""


@dataclass(frozen=True)
class Sent:
    """A request: parts of the path, the query and the JSON body."""

    path: Mapping[str, str] | None = None
    query: Mapping[str, str] | None = None
    body: Any = None


@dataclass(frozen=True)
class Rows:
    """Ids of one row of each kind."""

    episode: str
    signal: str
    decision: str
    interaction: str
    feedback: str
    quarantined: str
    review: str
    checkpoint: str
    deployment: str
    rollout: str
    """Waits for its turn."""
    awaiting: str
    """A rollout that waits for a person."""
    job: str
    synthetic: str
    experiment: str
    package: str
    """A voice learned from it."""
    user: str


class World:
    """The service, its routes and both tenants' rows; requests run on one event loop."""

    def __init__(self, service: Service, folder: Path, loop: asyncio.Runner) -> None:
        self.service = service
        self.app: FastAPI = create_app(service)
        self._folder = folder
        self._loop = loop
        transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://everloop")
        self.keys = {tenant: self.key(tenant, *Scope) for tenant in (OURS, THEIRS)}
        self.theirs = self._rows(THEIRS, CANARY)
        self.ours = self._rows(OURS, "ours")

    def key(self, tenant: str, *scopes: Scope) -> str:
        """A new key's text."""
        new = make_key(tenant, "a test", scopes, datetime.now(UTC))
        self.service.workspace.keys.add(new.record, "cli:test")
        return new.text

    def send(
        self, method: str, path: str, sent: Sent, key: str | None, **headers: str
    ) -> httpx.Response:
        """The answer to a request with a key, or without any."""
        for name, value in (sent.path or {}).items():
            path = path.replace(f"{{{name}}}", value)
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return self._loop.run(
            self._client.request(
                method,
                path,
                params=dict(sent.query or {}),
                json=sent.body,
                headers={name.replace("_", "-"): value for name, value in headers.items()},
            )
        )

    def send_raw(
        self,
        method: str,
        path: str,
        content: bytes | AsyncIterator[bytes],
        headers: Mapping[str, str],
    ) -> httpx.Response:
        """The answer to a request whose body is no JSON of ours."""
        request = self._client.request(method, path, content=content, headers=dict(headers))
        return self._loop.run(request)

    def audited(self, tenant: str, after: int = 0) -> tuple[AuditEntry, ...]:
        """Every entry of a tenant after a number."""
        found: list[AuditEntry] = []
        while page := self.service.workspace.audit.entries(tenant, after, 1000):
            found.extend(page)
            after = page[-1].sequence
        return tuple(found)

    def close(self) -> None:
        self._loop.run(self._client.aclose())

    def _rows(self, tenant: str, mark: str) -> Rows:
        """Log one of everything for a tenant, each row marked; numbered apart from the other's."""
        workspace = self.service.workspace
        at = datetime.now(UTC) - timedelta(hours=1)
        base = {OURS: 1000, THEIRS: 2000}[tenant]
        user = f"user of {tenant}"
        person = workspace.pseudonyms.of(user, tenant)
        session = workspace.pseudonyms.of("session:s", tenant)
        acted = {
            "tenant": tenant,
            "user_id": person,
            "loop": "coach",
            "context_snapshot": {"x": 0.5, "note": mark},
            "action_taken": "walk",
            "valid_actions": ("wait", "walk", "music"),
            "action_arguments": {"note": mark},
            "model_version": mark,
        }
        episode = log_records.episode(base, at, **acted)
        signal = log_records.signal(base, base, tenant=tenant, signal_type="engagement")
        decision = feedback_records.decision(base + 1, at, **acted)
        said = {
            "tenant": tenant,
            "user_id": person,
            "session_id": session,
            "agent_id": mark,
            "persona": mark,
            "task_type": mark,
            "model_version": mark,
        }
        interaction = feedback_records.interaction(
            base, at, **said, input_data=mark, output_data=mark, episode_id=episode.episode_id
        )
        feedback = feedback_records.feedback(base, base, at, **said, target=mark)
        held = replace(
            feedback,
            feedback_id=log_records.uuid_of(base + 1, "feedback"),
            status=FeedbackStatus.QUARANTINED,
            quality=0.1,
            quality_reasons=("repeated",),
        )
        self.service.queue.submit(
            Submission(
                tenant,
                "cli:test",
                episodes=(episode,),
                signals=(signal,),
                decisions=(decision,),
                interactions=(interaction,),
                feedback=(feedback, held),
            )
        ).result(30)
        flagged = ReviewItem(
            review_id=review_id_of("coach", ReviewKind.ANOMALY, episode.episode_id, tenant),
            kind=ReviewKind.ANOMALY,
            loop="coach",
            episode_id=episode.episode_id,
            reason=f"signals contradict each other: {mark}",
            score=6.5,
            flagged_at=at,
            tenant=tenant,
        )
        workspace.reviews.flag([flagged])
        self._persona(tenant, mark)
        checkpoint = self._checkpoint(tenant, mark)
        deployment, rollout, awaiting = self._trials(tenant, mark, checkpoint, at)
        return Rows(
            episode=episode.episode_id,
            signal=signal.signal_id,
            decision=decision.decision_id,
            interaction=interaction.log_id,
            feedback=feedback.feedback_id,
            quarantined=held.feedback_id,
            review=flagged.review_id,
            checkpoint=checkpoint,
            deployment=deployment,
            rollout=rollout,
            awaiting=awaiting,
            job=self._job(tenant, at),
            synthetic=self._synthetic(tenant, mark, at),
            experiment=self._experiment(tenant, mark),
            package=self._package(tenant, mark, person, base),
            user=user,
        )

    def _persona(self, tenant: str, mark: str) -> None:
        """A persona that remembers something, so that there is a change to undo."""
        voice = voices_of(self.service.loops)["guide"]
        fact = MemoryItem(mark, f"note of {tenant}")
        revised(
            *(self.service.workspace.personas, voice, lambda graph: remembered(graph, fact)),
            *(f"cli:{mark}", mark, datetime.now(UTC)),
            tenant=tenant,
        )

    def _checkpoint(self, tenant: str, mark: str) -> str:
        spec = self.service.loops["coach"]
        policy = made_policy(spec, mark, self._folder / f"{mark}.onnx")
        card = self._folder / "card.json"
        card.write_text("{}")
        workspace = self.service.workspace
        candidate = Candidate(
            loop=spec.name,
            model_type=ModelType.INTERVENTION,
            files={"policy.onnx": policy, "card.json": card},
            served="policy.onnx",
            performance_metrics={},
            lineage=dict.fromkeys(REQUIRED_LINEAGE, mark),
            provenance=Provenance.PRIVATE_RELEASE,
            verdict="continue",
            training_date=datetime.now(UTC),
            tenant=tenant,
        )
        return register(candidate, workspace.registry, workspace.blobs).checkpoint_id

    def _trials(
        self, tenant: str, mark: str, checkpoint_id: str, at: datetime
    ) -> tuple[str, str, str]:
        """A deployment with a rollout that waits for its turn, and one that waits for a person."""
        workspace = self.service.workspace
        asks = Check("parity", CheckStatus.INSUFFICIENT, mark, person_decides=True)
        made = manifest_of(
            [workspace.registry.checkpoint(checkpoint_id)],
            at,
            verdict=Verdict(Decision.HOLD, (asks,)),
        )
        workspace.deployments.record(made)
        states: tuple[RolloutState, ...] = ("waiting", "awaiting_approval")
        ids = [rollout_id_of("coach", tenant, checkpoint_id, state) for state in states]
        for rollout_id, state in zip(ids, states, strict=True):
            record = RolloutRecord(
                rollout_id=rollout_id,
                loop="coach",
                candidate=str(uuid.uuid4()),  # deploying the checkpoint ends its own trials
                active=None,
                state=state,
                traffic_percent=0.0,
                reasons=(mark,),
                recorded_at=at,
                tenant=tenant,
                deployment_id=made.deployment_id,
                history=(Stay(state, 0.0, at),),
            )
            workspace.rollouts.start(record)
        return made.deployment_id, ids[0], ids[1]

    def _experiment(self, tenant: str, mark: str) -> str:
        """A trial of a variant that runs, with somebody in it."""
        workspace = self.service.workspace
        made = variants.start(
            workspace, "coach", mark, {"warm": {"note": mark}}, shares={"warm": 50.0}, tenant=tenant
        )
        variants.assign(workspace, made.experiment_id, f"user of {tenant}", tenant)
        return made.experiment_id

    def _package(self, tenant: str, mark: str, person: str, number: int) -> str:
        """A person's text, what was made of it and the person's own voice."""
        voices, mine = self.service.workspace.voices, {"tenant": tenant, "user_id": person}
        made = voice_records.package(number, texts=(mark,), **mine)
        voices.add_package(made, "cli:test")
        letter = {"source_type": SourceType.NEW_DATA, "completion": mark, **mine}
        voices.add_instances([voice_records.instance(number, made.package_id, **letter)], mark)
        voices.add_version(voice_records.version(number, model_id=mark, persona="guide", **mine))
        return made.package_id

    def _job(self, tenant: str, at: datetime) -> str:
        """A job that has ended: one that is open would be answered instead of a new one."""
        jobs = self.service.workspace.jobs
        made = TrainingJob(
            job_id=str(uuid.uuid4()),
            tenant=tenant,
            loop="coach",
            logical_date=date(2026, 3, 10),
            cause=JobCause.MANUAL,
            state=JobState.QUEUED,
            requested_by="cli:test",
            watermark=0,
            created_at=at,
        )
        jobs.request(made)
        claimed = jobs.claim("a test", at, 60.0)
        if claimed is None:
            raise RuntimeError("the job is not claimed")
        jobs.finish(replace(claimed, state=JobState.FAILED, finished_at=at, error=tenant), "a test")
        return made.job_id

    def _synthetic(self, tenant: str, mark: str, at: datetime) -> str:
        """A generation that has succeeded, over releases that its tenant paid for."""
        workspace, spec = self.service.workspace, self.service.loops["coach"]
        file = self._folder / f"{mark}.jsonl"
        file.write_text(json.dumps({"profile_id": mark}) + "\n")
        for stage in ("profiles", "user_model"):
            paid_release(workspace, spec, stage, file, tenant)
        job = ask_generate(workspace, spec, tenant, "cli:test", 1, form=FileFormat.JSON)
        claimed = workspace.synthetic_jobs.claim("a test", at, 60.0, job_id=job.job_id)
        if claimed is None:
            raise RuntimeError("the job is not claimed")
        url, sha256 = workspace.blobs.put(file)
        made = JobOutput("profiles.jsonl", url, sha256, 1, file.stat().st_size)
        ended = replace(claimed, state=JobState.SUCCEEDED, outputs=(made,), finished_at=at)
        workspace.synthetic_jobs.finish(replace(ended, done=1, error=mark), "a test")
        return job.job_id


@contextmanager
def two_tenants(folder: Path) -> Iterator[World]:
    """A service in a new workspace; it trains nothing by itself."""
    home = folder / "home"
    settings.initialise(home)
    loop = folder / "coach.yaml"
    loop.write_text(LOOP)
    config = ServiceConfig(home=home, loops=(str(loop),), train=False)
    with opened(config) as service, asyncio.Runner() as runner:
        service.voices = fake_voices(service.workspace)
        world = World(service, folder, runner)
        yield world
        world.close()
        service.voices.close()
