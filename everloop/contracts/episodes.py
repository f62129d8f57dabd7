"""Logged decisions and their reward evidence: ``training_episodes`` and ``reward_signals``.

Evolution: fields are never removed or given another meaning; new ones are optional.
"""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from everloop.contracts.canonical import Json, canonical_json
from everloop.contracts.errors import ShouldFixEpisode, ShouldFixSignal

__all__ = [
    "SCHEMA_VERSION",
    "Arm",
    "Consent",
    "Dispute",
    "Episode",
    "Json",
    "Outcome",
    "RewardSignal",
    "canonical_json",
    "canonical_uuid",
]

SCHEMA_VERSION = 1

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
"""Nothing that is learned from was decided before: such a time is a clock or a unit gone wrong."""

LEAST_PROPENSITY = 1e-6
"""An importance weight is 1/p: below this one decision outweighs a million, and 1/p overflows in the
end. A choice so rare is a propensity logged wrong, as densities or products of probabilities are."""

SHOWN_CHARACTERS = 120
"""Of a refused value: problem documents travel, and values may be a person's."""


class Outcome(StrEnum):
    """What came of a decision, in three words."""

    SUCCESS = "success"
    NEUTRAL = "neutral"
    FAILURE = "failure"


class Arm(StrEnum):
    """Which policy made a logged decision.

    ``comparison`` is a policy outside the loop: stored and reported, never trained on.
    """

    ACTIVE = "active"
    CANDIDATE = "candidate"
    HOLDOUT = "holdout"
    COMPARISON = "comparison"


_CANONICAL_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_PSEUDONYM = re.compile(r"[0-9a-f]{64}")


def canonical_uuid(value: str) -> str:
    """Return the lower-case, hyphenated form of a UUID; ``ValueError`` if it is none."""
    return value if _CANONICAL_UUID.fullmatch(value) else str(uuid.UUID(value))


def _require_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError("has no time zone")
    try:
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("is no time of the calendar in UTC") from None


@dataclass(frozen=True, slots=True)
class Episode:
    """One decision with its context and the probability with which it was taken.

    Attributes:
        episode_id: UUID made by the client; the idempotency key.
        user_id: pseudonym of the person (64 hexadecimal digits, HMAC-SHA-256), never a product id.
        loop: name of the loop specification.
        context_snapshot: state at the decision, field name -> JSON value.
        action_taken: id of an action in the loop's catalogue.
        timestamp: when the decision was made, UTC, from ``EARLIEST`` on.
        model_version: version of the policy that decided.
        propensity: probability in [``LEAST_PROPENSITY``, 1] with which that policy chose the action,
            exploration included; ``None`` when it was not logged (then never used off-policy).
        valid_actions: ids that could have been chosen; contains ``action_taken``.
        action_arguments: whom or what the action was about (user ids, event id, message).
        arm: which policy decided.
        outcome, reward_score: the product's own verdict, if it logs one; the loop computes rewards
            from signals and does not read these.
        tenant: owner of the row.
        schema_version: version of this record.

    Raises:
        ShouldFixEpisode: naming the field and its value, of which it shows 120 characters.
    """

    episode_id: str
    user_id: str
    loop: str
    context_snapshot: Mapping[str, Json]
    action_taken: str
    timestamp: datetime
    model_version: str
    propensity: float | None
    valid_actions: tuple[str, ...]
    action_arguments: Mapping[str, Json] = field(default_factory=dict)
    arm: Arm = Arm.ACTIVE
    outcome: Outcome | None = None
    reward_score: float | None = None
    tenant: str = "default"
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:  # noqa: C901
        def refuse(name: str, problem: str, remedy: str) -> ShouldFixEpisode:
            shown = f"{name}={_shown(getattr(self, name))}"
            return ShouldFixEpisode(
                f"Episode {_brief(self.episode_id)}: {shown} {problem}.", remedy
            )

        try:
            object.__setattr__(self, "episode_id", canonical_uuid(self.episode_id))
        except (ValueError, AttributeError, TypeError):
            raise refuse(
                "episode_id", "is not a UUID", "Send a UUID made once per decision."
            ) from None
        if not _PSEUDONYM.fullmatch(self.user_id):
            raise refuse(
                "user_id", "is not a pseudonym", "Pass the product's id through Pseudonyms."
            )
        try:
            object.__setattr__(self, "timestamp", _require_utc(self.timestamp))
        except ValueError as problem:
            raise refuse("timestamp", str(problem), "Send RFC 3339 with an offset.") from None
        if self.timestamp < EARLIEST:
            raise refuse("timestamp", f"lies before {EARLIEST:%Y-%m-%d}", "Check clock and unit.")
        if self.propensity is not None and not 0.0 < self.propensity <= 1.0:
            raise refuse(
                "propensity",
                "is outside (0, 1]",
                "Log the probability of the chosen action, exploration included.",
            )
        if self.propensity is not None and self.propensity < LEAST_PROPENSITY:
            raise refuse(
                "propensity",
                f"is below {LEAST_PROPENSITY:g}, too rare to weight by",
                "Log the probability of the chosen action, or none where it is unknown.",
            )
        if self.action_taken not in self.valid_actions:
            raise refuse(
                "action_taken", "is not among valid_actions", "Log the mask that was used."
            )
        if len(set(self.valid_actions)) != len(self.valid_actions):
            raise refuse("valid_actions", "repeats an action", "List each action once.")
        if self.reward_score is not None and not -1.0 <= self.reward_score <= 1.0:
            raise refuse("reward_score", "is outside [-1, 1]", "Rescale it or leave it out.")
        for name in ("loop", "model_version", "tenant"):
            if not getattr(self, name):
                raise refuse(name, "is empty", "Name it.")
        _refuse_no_json(self)


def _refuse_no_json(episode: Episode) -> None:
    for name in ("context_snapshot", "action_arguments"):
        told = getattr(episode, name)
        try:
            canonical_json(told)
        except (ValueError, TypeError) as problem:
            raise ShouldFixEpisode(
                f"Episode {episode.episode_id}: {name}{_culprit(told)} is not finite JSON "
                f"({_brief(str(problem))}).",
                "Leave a missing field out.",
            ) from None


def _culprit(told: object) -> str:
    """The entry of a mapping that is no JSON, shown; its neighbours may be sealed and stay unsaid."""
    for name, value in told.items() if isinstance(told, Mapping) else ():
        try:
            canonical_json({name: value})
        except (ValueError, TypeError):
            return f"[{_shown(name)}]={_shown(value)}"
    return f"={_shown(told)}"


def _shown(value: object) -> str:
    try:
        return _brief(repr(value))
    except ValueError:  # an integer of more digits than Python writes
        return f"<{type(value).__name__}, too large to show>"


def _brief(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


@dataclass(frozen=True, slots=True)
class RewardSignal:
    """One piece of reward evidence for an episode.

    Attributes:
        signal_id: UUID made by the client; the idempotency key.
        episode_id: the episode it speaks of.
        signal_type: a type that the loop specification declares.
        value: in the range that the specification declares for the type.
        latency: seconds from the decision to the signal, >= 0.
        confidence: reliability in [0, 1].

    Raises:
        ShouldFixSignal: naming the field and its value.
    """

    signal_id: str
    episode_id: str
    signal_type: str
    value: float
    latency: int
    confidence: float = 1.0
    tenant: str = "default"
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        def refuse(name: str, problem: str, remedy: str) -> ShouldFixSignal:
            shown = f"{name}={_shown(getattr(self, name))}"
            return ShouldFixSignal(f"Signal {_brief(self.signal_id)}: {shown} {problem}.", remedy)

        for name in ("signal_id", "episode_id"):
            try:
                object.__setattr__(self, name, canonical_uuid(getattr(self, name)))
            except (ValueError, AttributeError, TypeError):
                raise refuse(name, "is not a UUID", "Send a UUID made once.") from None
        if not self.signal_type:
            raise refuse("signal_type", "is empty", "Name a type of the loop specification.")
        if not math.isfinite(self.value):
            raise refuse("value", "is not finite", "Leave the signal out instead.")
        if self.latency < 0:
            raise refuse(
                "latency", "is negative", "Check the clocks: a signal follows its decision."
            )
        if not 0.0 <= self.confidence <= 1.0:
            raise refuse("confidence", "is outside [0, 1]", "Rescale it.")


@dataclass(frozen=True, slots=True)
class Consent:
    """What a person allows: serving, training. Rows are appended; the newest per purpose counts."""

    user_id: str
    purpose: str
    granted: bool
    recorded_at: datetime
    tenant: str = "default"


@dataclass(frozen=True, slots=True)
class Dispute:
    """A person's objection to one reward signal; while open or upheld it is held from training."""

    signal_id: str
    reason: str
    recorded_at: datetime
    status: str = "open"
    tenant: str = "default"
