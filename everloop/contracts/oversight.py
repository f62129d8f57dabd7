"""What people must look at: approvals, regular reviews of the active model, and held episodes."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from everloop.contracts.canonical import Json, canonical_bytes
from everloop.contracts.errors import ShouldFixArgument

_NAMESPACE = uuid.UUID("5f4b8f0e-3c6d-4b51-9b3f-2f0a7d1b6c45")


class OversightKind(StrEnum):
    """``approval`` of a deployment; ``review``: the regular review of what serves by people;
    ``adversarial_test``: the regular attack on it."""

    APPROVAL = "approval"
    REVIEW = "review"
    ADVERSARIAL_TEST = "adversarial_test"


@dataclass(frozen=True, slots=True)
class Oversight:
    """Somebody's word on a model; who, when and why.

    Attributes:
        oversight_id: UUID.
        subject_id: the deployment, or the checkpoint that was reviewed or tested.
        passed: whether it may go on.
        actor: a named person, or the run that tested it.
        evidence: figures of a test, or {}.
    """

    oversight_id: str
    kind: OversightKind
    loop: str
    subject_id: str
    passed: bool
    actor: str
    reason: str
    at: datetime
    evidence: Mapping[str, Json] = field(default_factory=dict)
    tenant: str = "default"

    def __post_init__(self) -> None:
        if not self.actor.strip() or not self.reason.strip():
            raise ShouldFixArgument(
                f"{self.kind} of {self.subject_id}: actor={self.actor!r}, reason={self.reason!r}.",
                "Say who decides and why.",
            )

    @property
    def sentence(self) -> str:
        """Who said what of it, when and why, as a sentence."""
        verb = "passed" if self.passed else "rejected"
        agreed = "approved" if self.kind is OversightKind.APPROVAL else "passed"
        verb = agreed if self.passed else "rejected"
        why = self.reason.strip().rstrip(".")
        return f"{self.actor.strip()} {verb} it on {self.at.astimezone(UTC):%Y-%m-%d %H:%M} UTC: {why}."

    @property
    def sha256(self) -> str:
        """Of everything that was said."""
        said = {
            "oversight_id": self.oversight_id,
            "kind": str(self.kind),
            "loop": self.loop,
            "subject_id": self.subject_id,
            "passed": self.passed,
            "actor": self.actor,
            "reason": self.reason,
            "at": self.at.astimezone(UTC).isoformat(),
            "evidence": self.evidence,
            "tenant": self.tenant,
        }
        return hashlib.sha256(canonical_bytes(said)).hexdigest()


class ReviewState(StrEnum):
    """``open`` and ``rejected`` episodes teach nothing; ``released`` ones do, from the next run on."""

    OPEN = "open"
    RELEASED = "released"
    REJECTED = "rejected"


class ReviewKind(StrEnum):
    """``anomaly``: signals that contradict each other; ``outlier_action``: an action taken far more often
    for a person, or in a day, than it is elsewhere."""

    ANOMALY = "anomaly"
    OUTLIER_ACTION = "outlier_action"


@dataclass(frozen=True, slots=True)
class ReviewItem:
    """An episode that waits for a person, or waited.

    Attributes:
        review_id: ``review_id_of`` what was flagged: flagging again is the same item.
        reason: what is strange, in a sentence with the numbers.
        score: how strange, in robust standard deviations.
    """

    review_id: str
    kind: ReviewKind
    loop: str
    episode_id: str
    reason: str
    score: float
    flagged_at: datetime
    state: ReviewState = ReviewState.OPEN
    decided_by: str = ""
    decided_at: datetime | None = None
    decision_reason: str = ""
    tenant: str = "default"


def review_id_of(loop: str, kind: ReviewKind, episode_id: str, tenant: str) -> str:
    """UUID of the one review of an episode for one reason."""
    return str(uuid.uuid5(_NAMESPACE, "\0".join((tenant, loop, kind.value, episode_id))))
