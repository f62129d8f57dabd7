"""What a product sends: each record has its id from the start, so that sending it twice stores it once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from everloop.contracts.canonical import Json
from everloop.contracts.episodes import Outcome, canonical_uuid
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.feedback import FeedbackType, InputType, OutputType, TargetElement
from everloop.contracts.ids import event_id


def _now() -> datetime:
    return datetime.now(UTC)


def _checked(record: object, ids: Sequence[str]) -> None:
    what = type(record).__name__
    for name in ids:
        given = getattr(record, name)
        if given is None:
            continue
        try:
            object.__setattr__(record, name, canonical_uuid(given))
        except (ValueError, AttributeError, TypeError):
            raise ShouldFixArgument(
                f"{what}: {name}={given!r} is not a UUID.", "Make it with event_id()."
            ) from None
    moment = getattr(record, "timestamp", None)
    if moment is not None and moment.tzinfo is None:
        raise ShouldFixArgument(
            f"{what}: timestamp={moment} has no time zone.", "Use datetime.now(UTC)."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A person who may be suggested.

    Attributes:
        user_id: the product's own id.
        descriptors: what the loop's ``candidates`` declare, in that order, each within [-1, 1]; public, or
            from a private release.
    """

    user_id: str
    descriptors: Sequence[float]

    def __post_init__(self) -> None:
        if not self.user_id:
            raise ShouldFixArgument("Candidate: user_id is empty.", "Name the person.")
        for value in self.descriptors:
            if type(value) not in (int, float) or not -1 <= value <= 1:
                raise ShouldFixArgument(
                    f"Candidate: descriptors holds {value!r}, which is no number within [-1, 1].",
                    "Scale what describes a person, 0 being average.",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Who a decision is about, the state they are in, and what could be done.

    Attributes:
        context: every context field of the loop, by name.
        loop: may be left out where the service has one.
        valid_actions: what could be done now; by default the whole catalogue.
        action_arguments: whom or what the action would be about; comes back with the answer.
        candidates: whom a pairing may suggest; without them the product picks.
    """

    user_id: str
    context: Mapping[str, Json] = field(repr=False)
    loop: str | None = None
    valid_actions: Sequence[str] | None = None
    action_arguments: Mapping[str, Json] = field(default_factory=dict, repr=False)
    candidates: Sequence[Candidate] | None = field(default=None, repr=False)
    decision_id: str = field(default_factory=event_id)

    def __post_init__(self) -> None:
        _checked(self, ("decision_id",))


@dataclass(frozen=True, slots=True, kw_only=True)
class EpisodeRecord:
    """A decision that the product made by itself.

    Attributes:
        propensity: probability with which the action was chosen, in (0, 1]; without it the episode never
            judges a policy.
        reward_score: in [-1, 1].
        timestamp: when it was decided.
    """

    user_id: str
    context_snapshot: Mapping[str, Json] = field(repr=False)
    action_taken: str
    model_version: str
    propensity: float | None = None
    valid_actions: Sequence[str] | None = None
    action_arguments: Mapping[str, Json] = field(default_factory=dict, repr=False)
    arm: str = "active"
    outcome: Outcome | None = None
    reward_score: float | None = None
    loop: str | None = None
    timestamp: datetime = field(default_factory=_now)
    episode_id: str = field(default_factory=event_id)

    def __post_init__(self) -> None:
        _checked(self, ("episode_id",))


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """The product did what the service decided: the decision becomes an episode of the same id."""

    decision_id: str
    outcome: Outcome | None = None
    reward_score: float | None = None

    def __post_init__(self) -> None:
        if not self.decision_id:
            raise ShouldFixArgument(
                "The decision was made offline, so the service does not know it.",
                "Log what was done as an EpisodeRecord.",
            )
        _checked(self, ("decision_id",))


@dataclass(frozen=True, slots=True, kw_only=True)
class RewardRecord:
    """Reward evidence for an episode: ``value`` in its type's range, ``latency`` in seconds after it."""

    episode_id: str
    signal_type: str
    value: float
    latency: int
    confidence: float = 1.0
    signal_id: str = field(default_factory=event_id)

    def __post_init__(self) -> None:
        _checked(self, ("signal_id", "episode_id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class InteractionRecord:
    """One exchange between a person and a persona.

    Attributes:
        input_data, output_data: what was said and answered, text or JSON.
        context: ``application``, ``previous_turns``, ``location``; the location is reduced to the city.
        episode_id: the decision behind the output; feedback then becomes its reward signals.
        response_ms, tokens_in, tokens_out, retries, tools, escalated: how the answer was made.
        client: device and browser; their absence lowers the quality of feedback.
    """

    user_id: str
    session_id: str
    agent_id: str
    task_type: str
    persona: str
    model_version: str
    input_data: Json = field(default=None, repr=False)
    output_data: Json = field(default=None, repr=False)
    input_type: InputType = InputType.USER_QUERY
    output_type: OutputType = OutputType.TEXT
    context: Mapping[str, Json] | None = field(default=None, repr=False)
    episode_id: str | None = None
    response_ms: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    retries: int = 0
    tools: Sequence[str] = ()
    escalated: bool = False
    client: Mapping[str, Json] | None = field(default=None, repr=False)
    timestamp: datetime = field(default_factory=_now)
    log_id: str = field(default_factory=event_id)

    def __post_init__(self) -> None:
        _checked(self, ("log_id", "episode_id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRecord:
    """What was said to a person, and what they answered."""

    said: str = field(repr=False)
    answered: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PackageRecord:
    """A person's own text, given so that the voice may learn how they speak.

    Attributes:
        timestamp: when it was written.
        origin: where it comes from, such as ``email``.
        texts: each at most 20,000 characters, all of a package at most 200,000.
        persona: who may learn from it; empty for every one.
    """

    user_id: str
    timestamp: datetime
    origin: str
    texts: Sequence[str] = field(default=(), repr=False)
    replies: Sequence[ReplyRecord] = field(default=(), repr=False)
    persona: str = ""
    package_id: str = field(default_factory=event_id)

    def __post_init__(self) -> None:
        _checked(self, ("package_id",))


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenTurn:
    """One turn of a conversation. ``role``: ``user`` or ``assistant``."""

    role: str
    text: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpokenQuestion:
    """A conversation that the voice continues.

    Attributes:
        said: the turns, oldest first; the last one is the person's.
        loop: may be left out where the service has one.
        session_id: of the conversation; by default the person's.
        episode_id: the logged decision behind it, if there was one; feedback then becomes its rewards.
        max_new_tokens: of the answer; no more than the voice's own limit.
        log_id: asked again under the same one, it is answered as before; feedback names it.
    """

    user_id: str
    said: Sequence[SpokenTurn] = field(repr=False)
    loop: str | None = None
    session_id: str | None = None
    episode_id: str | None = None
    max_new_tokens: int | None = None
    log_id: str = field(default_factory=event_id)

    def __post_init__(self) -> None:
        _checked(self, ("log_id", "episode_id"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedbackRecord:
    """What a person said of an output.

    Attributes:
        feedback_value: as the type wants it: stars, ``True`` for a thumb up, a text, a choice.
        log_id: the interaction; only a trust survey may be without.
        user_id, session_id: by default those of the interaction.
        target: which sentence or word, when the element is not the whole.
    """

    feedback_type: FeedbackType
    feedback_value: Json = field(repr=False)
    log_id: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    target_element: TargetElement = TargetElement.ENTIRE_RESPONSE
    target: str | None = field(default=None, repr=False)
    client: Mapping[str, Json] | None = field(default=None, repr=False)
    timestamp: datetime = field(default_factory=_now)
    feedback_id: str = field(default_factory=event_id)

    def __post_init__(self) -> None:
        _checked(self, ("feedback_id", "log_id"))
