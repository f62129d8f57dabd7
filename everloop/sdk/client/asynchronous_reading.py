"""What the asynchronous client asks for: people, feedback, training, models, rights and health."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import Literal, TypeVar

from everloop.sdk.client.answers.feedback import FeedbackAnalysis, ReviewedFeedback
from everloop.sdk.client.answers.learning import Job, ListedEpisode
from everloop.sdk.client.answers.models import Deployment, Metrics, Model, ModelKind
from everloop.sdk.client.answers.operations import (
    AuditPage,
    Consents,
    Erasure,
    ExportedRow,
    Health,
    Liveness,
)
from everloop.sdk.client.answers.reviews import EpisodeReview
from everloop.sdk.client.answers.trials import Manifest, Rollout, RolloutAction, TrialVerdict
from everloop.sdk.client.call import Call
from everloop.sdk.client.calls import feedback, learning, models, operations, reviews, trials

T = TypeVar("T")
ReviewStatus = Literal["released", "rejected", "quarantined"]
ReviewState = Literal["open", "released", "rejected", "all"]
ReviewDecision = Literal["release", "reject", "reopen"]
Purpose = Literal["serve", "train"]


class AsyncReading(ABC):
    """Requests that are of use only now; they raise when the service can't be asked."""

    async def feedback_analysis(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        persona: str | None = None,
        agent_id: str | None = None,
        task_type: str | None = None,
        model_version: str | None = None,
    ) -> FeedbackAnalysis:
        """What people said in [since, until), by default in the last 28 days."""
        return await self._ask(
            feedback.feedback_analysis(since, until, persona, agent_id, task_type, model_version)
        )

    async def quarantine(self, limit: int = 100) -> tuple[ReviewedFeedback, ...]:
        """Feedback that waits for a person, oldest first."""
        return (await self._ask(feedback.quarantine(limit))).feedback

    async def review_feedback(
        self, feedback_id: str, status: ReviewStatus, reason: str
    ) -> ReviewedFeedback:
        """Release, reject or quarantine a feedback; the reason must not name the sender."""
        return await self._ask(feedback.review_feedback(feedback_id, status, reason))

    async def episode_reviews(
        self, loop: str | None = None, state: ReviewState = "open", page_size: int = 100
    ) -> AsyncIterator[EpisodeReview]:
        """Flagged episodes, oldest first; pages are asked for as they are needed."""
        after: str | None = None
        while True:
            page = await self._ask(reviews.episode_reviews(loop, state, after, page_size))
            for review in page.reviews:
                yield review
            after = page.next_after
            if after is None:
                return

    async def episode_review(self, review_id: str) -> EpisodeReview:
        """A flagged episode: what is strange about it, and what was decided."""
        return await self._ask(reviews.episode_review(review_id))

    async def decide_episode(
        self, review_id: str, decision: ReviewDecision, reason: str
    ) -> EpisodeReview:
        """Release, reject or reopen a flagged episode; the reason must name nobody."""
        return await self._ask(reviews.decide_review(review_id, decision, reason))

    async def decide_episodes(
        self, review_ids: Sequence[str], decision: ReviewDecision, reason: str
    ) -> tuple[EpisodeReview, ...]:
        """Decide several flagged episodes alike; an unknown id is told before any is decided."""
        return (await self._ask(reviews.decide_reviews(review_ids, decision, reason))).reviews

    async def episodes_of(self, user_id: str, page_size: int = 100) -> AsyncIterator[ListedEpisode]:
        """A person's episodes with their signals, oldest first; pages are asked for as they are needed."""
        offset: int | None = 0
        while offset is not None:
            page = await self._ask(learning.episodes_of(user_id, page_size, offset))
            for episode in page.episodes:
                yield episode
            offset = page.next_offset

    async def train(self, loop: str | None = None, day: date | None = None) -> Job:
        """Start training for a day, by default today (UTC); the open job where there is one."""
        return await self._ask(models.train(loop, day))

    async def training_job(self, job_id: str) -> Job:
        """How a training job goes."""
        return await self._ask(models.training_job(job_id))

    async def training_jobs(self, loop: str | None = None, limit: int = 50) -> tuple[Job, ...]:
        """Training jobs, newest first."""
        return (await self._ask(models.training_jobs(loop, limit))).jobs

    async def models(
        self, loop: str | None = None, model_type: ModelKind | None = None
    ) -> tuple[Model, ...]:
        """Registered models, newest first within a loop; of one kind, if it is given."""
        return (await self._ask(models.models(loop, model_type))).models

    async def deploy(
        self, checkpoint_id: str, reason: str, expected_generation: int | None = None
    ) -> Deployment:
        """Make a model what serves; ``expected_generation``: the one that this was decided at."""
        return await self._ask(models.deploy(checkpoint_id, reason, expected_generation))

    async def metrics(self, model_id: str) -> Metrics:
        """What was measured of a model, by checkpoint id or version."""
        return await self._ask(models.metrics(model_id))

    async def deployments(self, loop: str, limit: int = 50) -> tuple[Manifest, ...]:
        """Manifests of a loop, newest first: the gate's verdict, what was predicted and measured."""
        return (await self._ask(trials.deployments(loop, limit))).deployments

    async def deployment(self, deployment_id: str) -> Manifest:
        """What serves together, why it was let on trial, and what became of it."""
        return await self._ask(trials.deployment(deployment_id))

    async def verdict(self, deployment_id: str) -> TrialVerdict:
        """Whether a deployment goes on, waits, goes back or serves everybody, as known now."""
        return await self._ask(trials.verdict(deployment_id))

    async def approve_rollout(self, rollout_id: str, reason: str) -> Rollout:
        """Agree to a start or a promotion that waits for a person; the caller is who agrees."""
        return await self._ask(trials.approve_rollout(rollout_id, reason))

    async def change_rollout(self, rollout_id: str, action: RolloutAction, reason: str) -> Rollout:
        """Pause, resume, promote, roll back or end a trial; every worker follows with its next decision."""
        return await self._ask(trials.change_rollout(rollout_id, action, reason))

    async def consent(self, user_id: str) -> Consents:
        """What a person allows."""
        return await self._ask(operations.consent(user_id))

    async def set_consent(self, user_id: str, purpose: Purpose, granted: bool) -> Consents:
        """Record that a person allows a purpose or withdraws; never buffered, as it must count at once."""
        return await self._ask(operations.set_consent(user_id, purpose, granted))

    async def export(self, user_id: str) -> tuple[ExportedRow, ...]:
        """Everything that is kept of a person."""
        return await self._ask(operations.export(user_id))

    async def erase(self, user_id: str, reason: str = "") -> Erasure:
        """Forget a person; the reason must not name them. What waits in a buffer is not erased."""
        return await self._ask(operations.erase(user_id, reason))

    async def audit(self, after: int = 0, limit: int = 100) -> AuditPage:
        """Entries of the audit log after a sequence number, oldest first."""
        return await self._ask(operations.audit(after, limit))

    async def live(self) -> Liveness:
        """Whether the process answers, and its version."""
        return await self._ask(operations.live())

    async def health(self) -> Health:
        """Whether requests would be served, part by part."""
        return await self._ask(operations.health())

    async def service_figures(self) -> str:
        """Figures of the service in Prometheus' text format."""
        return await self._ask(operations.service_figures())

    @abstractmethod
    async def _ask(self, call: Call[T]) -> T:
        """Send a call; its answer."""
