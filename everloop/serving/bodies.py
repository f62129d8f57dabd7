"""What requests to log events carry."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from everloop.serving.batches import Batch, Errors
from everloop.serving.problems import MOST_ERRORS

LARGEST_BATCH = 5_000

Id = Annotated[str, Field(min_length=32, max_length=45, description="a UUID, made once")]
Person = Annotated[
    str, Field(min_length=1, max_length=256, description="the product's own id; hashed at once")
]
Word = Annotated[str, Field(min_length=1, max_length=256)]


def _no_truth(given: Any) -> Any:
    if isinstance(given, bool):
        raise ValueError("is true or false, not a number")
    return given


def _not_blank(given: str) -> str:
    if "\0" in given:
        raise PydanticCustomError("nul_character", "must not hold a NUL character")
    if not given.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return given


_SPOKEN: dict[str, Any] = {"pattern": r"^[^\x00]*[^\x00\s][^\x00]*$"}
"""The same for whoever reads the schema."""
Reason = Annotated[
    str, Field(max_length=1000, json_schema_extra=_SPOKEN), AfterValidator(_not_blank)
]
"""Why somebody decides; never blank."""
ShortReason = Annotated[
    str, Field(max_length=500, json_schema_extra=_SPOKEN), AfterValidator(_not_blank)
]
"""As ``Reason``, half as long."""
Whole = Annotated[int, BeforeValidator(_no_truth)]
"""A whole number; true and false, which Python counts as 1 and 0, are none."""
Number = Annotated[float, BeforeValidator(_no_truth)]
"""A number; true and false are none."""


class Body(BaseModel):
    """A request body: unknown fields are refused, so that a typo is told."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class EpisodeBody(Body):
    """A decision that a product made by itself."""

    episode_id: Id
    user_id: Person
    context_snapshot: dict[str, Any]
    action_taken: Word
    timestamp: Annotated[AwareDatetime, Field(strict=True)]
    """When it was decided, RFC 3339 with an offset."""
    model_version: Word
    propensity: Annotated[float, Field(gt=0, le=1)] | None = None
    """Probability with which the action was chosen, exploration included. Without it the episode is never
    used to judge a policy."""
    valid_actions: list[Word] | None = None
    """What could have been chosen; by default the whole catalogue."""
    action_arguments: dict[str, Any] = {}
    arm: Literal["active", "candidate", "holdout", "comparison"] = "active"
    outcome: Literal["success", "neutral", "failure"] | None = None
    reward_score: Annotated[float, Field(ge=-1, le=1)] | None = None
    loop: Word | None = None
    """The loop; may be left out where the service has one."""


class ConfirmedDecision(Body):
    """``POST /api/ml/decide`` answered, and the product acted on it: the decision becomes an episode."""

    decision_id: Id
    outcome: Literal["success", "neutral", "failure"] | None = None
    reward_score: Annotated[float, Field(ge=-1, le=1)] | None = None


class RewardBody(Body):
    """One piece of reward evidence for an episode."""

    signal_id: Id
    episode_id: Id
    signal_type: Word
    value: float
    """In the range that the loop declares for the type."""
    latency: Annotated[Whole, Field(ge=0, le=2**40)]
    """Seconds from the decision to the signal."""
    confidence: Annotated[float, Field(ge=0, le=1)] = 1.0


AnEpisode = Annotated[EpisodeBody | ConfirmedDecision, Field(union_mode="left_to_right")]


class EpisodesBody(Body):
    """Many at once: all are stored, or none."""

    episodes: Annotated[
        list[AnEpisode],
        Field(min_length=1, max_length=LARGEST_BATCH, fail_fast=True),
    ]


class RewardsBody(Body):
    """Many at once: all are stored, or none."""

    rewards: Annotated[
        list[RewardBody], Field(min_length=1, max_length=LARGEST_BATCH, fail_fast=True)
    ]


class Stored(BaseModel):
    """An acknowledged record: it is on disk. A replay is answered like the first time."""

    id: str
    status: Literal["stored"] = "stored"


class StoredMany(BaseModel):
    """An acknowledged batch."""

    stored: int
    """Records of the request, all on disk now; replays among them are counted too."""


_EPISODE = TypeAdapter(EpisodeBody)
_CONFIRMED = TypeAdapter(ConfirmedDecision)
REWARD = TypeAdapter(RewardBody)


def _of_the_form_meant(errors: Errors, begins: int) -> Errors:
    """Errors of an episode name the form that was tried; only ``decision_id`` tells which was meant."""
    confirmed = any(e["loc"][begins:] == (EpisodeBody.__name__, "decision_id") for e in errors)
    meant, other = (
        kind.__name__ for kind in (EpisodeBody, ConfirmedDecision)[:: 1 - 2 * confirmed]
    )
    told = []
    for error in errors:
        form, loc = error["loc"][begins : begins + 1], error["loc"]
        if form == (meant,):
            loc = (*loc[:begins], *loc[begins + 1 :])
        if form != (other,):
            told.append({**error, "loc": loc})
    return told


EPISODES: Batch[EpisodeBody | ConfirmedDecision] = Batch(
    EpisodesBody, "episodes", TypeAdapter(AnEpisode), LARGEST_BATCH, _of_the_form_meant
)
REWARDS = Batch(RewardsBody, "rewards", REWARD, LARGEST_BATCH)


def read_episode(body: bytes) -> EpisodeBody | ConfirmedDecision:
    """Either form of an episode; errors speak of the form that was meant.

    Raises:
        ValidationError: pydantic's, naming the fields.
    """
    try:
        return _EPISODE.validate_json(body)
    except ValidationError as problem:
        if problem.error_count() > MOST_ERRORS:
            raise
        if any(e["loc"] == ("decision_id",) for e in problem.errors(include_input=False)):
            return _CONFIRMED.validate_json(body)
        raise
