"""``LoopSpec``: everything product-specific about a learning loop, as one validated value.

The YAML form is read by ``everloop.loops``; this module only says what is allowed. Unknown keys are
refused everywhere. Every bound here is *public*: it is declared by the product, never measured.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from enum import StrEnum
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from everloop.contracts.actions import ActionKind, CandidateSpec
from everloop.contracts.constraint_spec import ConstraintSpec
from everloop.contracts.rollout_spec import RolloutSpec
from everloop.contracts.voice_spec import VoiceSpec

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_\-]{0,62}$")]
"""Lower-case names: they become file names, column names and pipeline parameters."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]

PERSONA_WIDTH = 512
"""Numbers of a ``persona_vector``, the product specification's."""


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FieldKind(StrEnum):
    """How a context field is read and encoded."""

    NUMBER = "number"
    """One number within ``low``..``high``."""
    VECTOR = "vector"
    """``width`` numbers within ``low``..``high``; ``project_to`` names a public projection's width."""
    CATEGORY = "category"
    """One of ``choices``."""
    CYCLE = "cycle"
    """A number on a circle of circumference ``period`` (hour of day: 24)."""
    HISTORY = "history"
    """The last ``width`` interactions, newest last: objects ``{"action": id, "reward": r or null}``."""


class Sensitivity(StrEnum):
    PUBLIC = "public"
    PERSONAL = "personal"
    HEALTH = "health"


class ContextField(_Value):
    """One field of the context snapshot.

    ``interacts``: the field's effect may differ by action in the user model. Every interacting
    dimension costs one parameter per action, and parameters are what privacy charges for.
    """

    name: Name
    kind: FieldKind
    width: Annotated[int, Field(ge=1, le=4096)] = 1
    low: float = 0.0
    high: float = 1.0
    choices: tuple[str, ...] = ()
    period: Annotated[float, Field(gt=0)] = 24.0
    project_to: Annotated[int, Field(ge=1)] | None = None
    sensitivity: Sensitivity = Sensitivity.PERSONAL
    interacts: bool = False
    description: str = ""

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if self.kind in (FieldKind.NUMBER, FieldKind.VECTOR) and not self.low < self.high:
            raise ValueError(f"low={self.low} is not below high={self.high}; give public bounds")
        if self.kind is FieldKind.CATEGORY and len(set(self.choices)) < 2:
            raise ValueError("a category needs at least two distinct choices")
        if self.kind is not FieldKind.CATEGORY and self.choices:
            raise ValueError(f"choices belong to kind category, not {self.kind}")
        if self.project_to is not None and (
            self.kind is not FieldKind.VECTOR or self.project_to > self.width
        ):
            raise ValueError("project_to belongs to a vector and is at most its width")
        if self.kind in (FieldKind.NUMBER, FieldKind.CATEGORY, FieldKind.CYCLE) and self.width != 1:
            raise ValueError(f"width belongs to vector and history, not {self.kind}")
        return self


class ActionSpec(_Value):
    """One action of the catalogue.

    ``people`` is the slate size of a pairing; ``event_id`` the event (or item) of a recommendation;
    ``tone`` and ``message`` belong to an intervention. ``features`` (within [-1, 1], public, 0 where a
    feature does not apply) describe the action to models, so that one never seen before can be scored.
    """

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_:\-]{0,62}$")]
    kind: ActionKind
    people: Annotated[int, Field(ge=1, le=20)] | None = None
    event_id: str | None = None
    tone: Name | None = None
    message: str | None = None
    safety_critical: bool = False
    features: tuple[Annotated[float, Field(ge=-1, le=1)], ...] = ()

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        wanted: dict[ActionKind, set[str]] = {
            ActionKind.SUGGEST_PAIRING: {"people"},
            ActionKind.RECOMMEND_HIVE: {"event_id"},
            ActionKind.INTERVENTION: {"tone", "message"},
            ActionKind.NO_ACTION: set(),
        }
        for name in ("people", "event_id", "tone", "message"):
            given = getattr(self, name) is not None
            if given != (name in wanted[self.kind]):
                verb = "does not take" if given else "needs"
                raise ValueError(f"action {self.id!r} of kind {self.kind} {verb} {name}")
        return self


class Silence(StrEnum):
    """What the absence of a signal means once an episode has closed."""

    ZERO = "zero"
    MISSING = "missing"


class SignalSpec(_Value):
    """One kind of reward evidence: its range, its weight and the meaning of silence.

    ``two_sided`` maps a value v of [0, 1] to 2v - 1 (a thumb, a rating); otherwise values of
    [low, high] are used as they are, and low..high must lie within [-1, 1].
    """

    name: Name
    low: float = 0.0
    high: float = 1.0
    two_sided: bool = False
    weight: Annotated[float, Field(gt=0)]
    silence: Silence
    description: str = ""

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if not self.low < self.high:
            raise ValueError(f"low={self.low} is not below high={self.high}")
        if self.low < -1.0 or self.high > 1.0:
            raise ValueError(f"range [{self.low}, {self.high}] leaves [-1, 1]")
        if self.two_sided and (self.low, self.high) != (0.0, 1.0):
            raise ValueError("two_sided needs the range [0, 1]")
        return self


class RewardSpec(_Value):
    """How signals become one reward in [-1, 1]; see ``everloop/rewards``.

    ``attainable_low``/``attainable_high`` are what the best and worst decisions can earn; margins and
    fairness are taken on the reward rescaled to this range.
    """

    attainable_low: Annotated[float, Field(ge=-1, le=1)]
    attainable_high: Annotated[float, Field(ge=-1, le=1)]
    half_life_seconds: Annotated[float, Field(gt=0)]
    closes_after_seconds: Annotated[int, Field(ge=0)]
    success_at: Annotated[float, Field(ge=-1, le=1)]
    failure_at: Annotated[float, Field(ge=-1, le=1)]

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if not self.attainable_low < self.attainable_high:
            raise ValueError("attainable_low is not below attainable_high")
        if not self.failure_at < self.success_at:
            raise ValueError("failure_at is not below success_at")
        return self


class ExplorationSpec(_Value):
    """epsilon-greedy: decays from ``start`` to ``serving_floor``; ``training_floor`` in simulation."""

    start: Share = 0.3
    serving_floor: Annotated[float, Field(gt=0, le=1)] = 0.1
    training_floor: Share = 0.05


class PrivacySpec(_Value):
    """The person-level budget and how a night spends it (see ``everloop/privacy``).

    ``first_fit_share`` of the period's mu^2 goes to the first fit, the rest evenly over the period.
    ``shares`` divide the budget between mechanisms and sum to at most 1; ``vectors_share`` is persona
    vectors' part of what profiles get. Profiles change slowly: they are refitted every
    ``profiles_refit_days``, each time with what their share of those days adds up to.

    ``user_model``: ``linear`` with interactions, or ``mlp`` with one hidden layer of ``hidden`` units.
    ``sampling_rate`` below 1 fits it by subsampled steps (each person takes part in a step with this
    probability); people in such a release are accounted for in Renyi terms from then on.
    ``max_parameters`` None: what the population can pay for, see ``parameter_limit``.
    """

    epsilon: Annotated[float, Field(gt=0, le=10)] = 1.0
    delta: Annotated[float, Field(gt=0, lt=1e-3)] = 1e-5
    period_days: Annotated[int, Field(ge=1, le=3660)] = 365
    first_fit_share: Annotated[float, Field(gt=0, lt=1)] = 0.25
    user_model_share: Annotated[float, Field(gt=0, lt=1)] = 0.7
    profiles_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    quality_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    clip: Annotated[float, Field(gt=0)] = 0.5
    steps: Annotated[int, Field(ge=1, le=1000)] = 16
    learning_rate: Annotated[float, Field(gt=0)] = 12.0
    episodes_per_person: Annotated[int, Field(ge=1, le=1000)] = 20
    people_expected: Annotated[int, Field(ge=1)] = 10_000
    max_parameters: Annotated[int, Field(ge=1)] | None = None
    min_people: Annotated[int, Field(ge=2)] = 100
    user_model: Literal["linear", "mlp"] = "linear"
    hidden: Annotated[int, Field(ge=1, le=256)] = 16
    sampling_rate: Annotated[float, Field(gt=0, le=1)] = 1.0
    vectors_share: Annotated[float, Field(gt=0, lt=1)] = 0.3
    profiles_refit_days: Annotated[int, Field(ge=1, le=3660)] = 90

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        total = self.user_model_share + self.profiles_share + self.quality_share
        if total > 1.0 + 1e-9:
            raise ValueError(f"shares sum to {total:g}, more than 1")
        return self

    @property
    def parameter_limit(self) -> int:
        """Parameters that the user model may have: ``max_parameters``, or 300 for up to 10,000 expected
        people and in proportion to them beyond."""
        if self.max_parameters is not None:
            return self.max_parameters
        return max(300, round(300 * self.people_expected / 10_000))


class JourneySpec(_Value):
    """What is public about how often people come; a simulated day is made of it.

    ``ends_after_hours``: a person whose next decision comes later than this has ended the journey.
    ``decisions_per_day``: public guess of how many decisions a person who stays gets in a day.
    """

    ends_after_hours: Annotated[float, Field(gt=0, le=24 * 365)] = 168.0
    decisions_per_day: Annotated[float, Field(gt=0, le=1000)] = 0.5


class PersonaSpec(_Value):
    """What a person's 512 numbers are made of, and the public pool that they are modelled in.

    ``field``: a context field of kind vector and width 512 that the product logs; None: the person's
    mean context under a public random projection. ``pool``: path of a safetensors file with public
    vectors (n, 512) under the name ``vectors``; None: vectors of made-up contexts within public bounds.
    ``components``: how many principal components of the pool are learned in.
    """

    field: Name | None = None
    pool: str | None = None
    components: Annotated[int, Field(ge=2, le=64)] = 16


Alternative = Literal["greedy", "lin_ts", "lin_ucb", "raw_dr"]
"""Learners beside PPO: the user model's best single decision, linear bandits on synthetic journeys, and a
doubly robust policy on the raw log, which is reported and never shipped."""


class TrainingSpec(_Value):
    """Policy training: the specification's PPO settings, and the size of a night's simulation.

    ``entropy`` falls linearly to ``entropy_end``. ``ensemble``: how many models that the release's noise
    and sampling leave possible answer in the simulator (0: the released one alone). ``pessimism``: standard
    errors of what an action is expected to earn above no_action that are taken off a simulated reward (of
    what it is expected to earn, where a catalogue has no no_action). ``head_start``: simulated decisions
    whose best single actions, by the user model, the policy is fitted to before PPO (0: none).
    ``alternatives``: what is learned and compared beside PPO.
    """

    iterations: Annotated[int, Field(ge=1)] = 30
    environments: Annotated[int, Field(ge=1)] = 64
    rollout_length: Annotated[int, Field(ge=1)] = 32
    minibatch: Annotated[int, Field(ge=1)] = 256
    epochs: Annotated[int, Field(ge=1)] = 4
    learning_rate: Annotated[float, Field(gt=0)] = 3e-4
    discount: Annotated[float, Field(ge=0, le=1)] = 0.9
    gae_lambda: Annotated[float, Field(ge=0, le=1)] = 0.95
    clip: Annotated[float, Field(gt=0, lt=1)] = 0.2
    entropy: Annotated[float, Field(ge=0)] = 0.01
    entropy_end: Annotated[float, Field(ge=0)] = 0.0
    value_clip: Annotated[float, Field(gt=0)] = 1.0
    kl_stop: Annotated[float, Field(gt=0)] = 0.03
    gradient_norm: Annotated[float, Field(gt=0)] = 0.5
    hidden: Annotated[int, Field(ge=4, le=4096)] = 64
    journey_length: Annotated[int, Field(ge=1, le=1000)] = 10
    profiles: Annotated[int, Field(ge=10)] = 1000
    ensemble: Annotated[int, Field(ge=0, le=100)] = 8
    pessimism: Annotated[float, Field(ge=0, le=10)] = 1.0
    head_start: Annotated[int, Field(ge=0, le=1_000_000)] = 16_384
    alternatives: tuple[Alternative, ...] = ("greedy", "lin_ts", "raw_dr")
    seed: Annotated[int, Field(ge=0)] = 7


class FeedbackSpec(_Value):
    """Which signal types people's feedback on a decision's output becomes; none: only the voice learns.

    ``explicit``: judgements, which are ratings, thumbs, categories, corrections, comparisons, free text and
    the sentiment of replies.
    ``implicit``: conversion, click, scroll and dwell. ``dwell_seconds``: the dwell time that counts as 1.
    """

    explicit: str | None = None
    implicit: str | None = None
    dwell_seconds: Annotated[float, Field(gt=0)] = 60.0


class ServingSpec(_Value):
    """How the service decides and when it trains.

    ``exploration_halves_after``: logged episodes after which the excess of exploration over its
    serving floor has halved. ``train_after_episodes``, ``train_after_hours``: whichever comes first;
    an episode counts once its feedback window (``reward.closes_after_seconds``) has passed, because
    no run could learn from it before.
    """

    exploration_halves_after: Annotated[int, Field(ge=1)] = 10_000
    train_after_episodes: Annotated[int, Field(ge=1)] = 1000
    train_after_hours: Annotated[float, Field(gt=0)] = 24.0


class ThresholdSpec(_Value):
    """What validation and the gate ask for. Each is a named check with a reason."""

    min_episodes: Annotated[int, Field(ge=1)] = 200
    window_days: Annotated[int, Field(ge=1, le=3660)] = 28
    freshness_hours: Annotated[float, Field(gt=0)] = 48.0
    volume_tolerance: Annotated[float, Field(gt=0)] = 0.8
    """Largest share by which a day's volume may differ from the mean of the days before it."""
    holdout_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Share of people whose episodes are kept from training, for evaluation."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    margin: Annotated[float, Field(gt=0, lt=1)] = 0.05
    min_effective_sample: Annotated[float, Field(gt=0)] = 200.0
    max_weight_share: Annotated[float, Field(gt=0, lt=1)] = 0.1
    mean_weight_tolerance: Annotated[float, Field(gt=0)] = 0.2
    fairness_parity: Annotated[float, Field(gt=0, le=1)] = 0.9
    fairness_min_group: Annotated[int, Field(ge=2)] = 50
    max_synthetic_distance: Annotated[float, Field(gt=0)] = 0.5
    """Mean KL divergence of held-out people's contexts from synthetic ones, nats."""
    max_group_distance: Annotated[float, Field(gt=0)] = 1.0
    """The same within any one protected group."""
    min_synthetic_diversity: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Variance of synthetic people within the clusters of real ones, as a share of the real."""
    min_cluster_diversity: Annotated[float, Field(gt=0, lt=1)] = 0.4
    """The same in the one cluster where synthetic people are most alike."""
    max_two_sample_auc: Annotated[float, Field(gt=0.5, le=1)] = 0.97
    """AUC with which a classifier may tell synthetic from held-out people; 0.5 is not at all."""
    max_nearer_training: Annotated[float, Field(gt=0.5, lt=1)] = 0.55
    """Share of synthetic people who may be nearer to people that were learned from than to others."""
    min_tstr_share: Annotated[float, Field(gt=0, le=1)] = 0.8
    """AUC on held-out people of what synthetic decisions teach, as a share of what real ones teach."""
    min_explained_share: Share = 0.95
    fairness_target: Annotated[float, Field(gt=0, le=1)] = 0.95
    """Parity that is aimed at and reported; ``fairness_parity`` is what blocks."""
    max_anomaly_share: Share = 0.05
    max_safety_critical_share: Share = 0.5
    max_false_positive_rate: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the candidate's interventions that people may receive badly; None: only reported."""


class BenchmarkMetric(_Value):
    """One success metric of the product: where it starts and where it should be."""

    name: Name
    baseline: float
    target: float
    unit: Literal["share", "rmse", "score"] = "share"
    signal: str | None = None
    """Signal type or context field that measures it; ``None``: not measurable from the log."""
    action_kind: ActionKind | None = None
    """Restricts the measurement to decisions of one kind."""


class LoopSpec(_Value):
    """A product's learning loop."""

    name: Name
    version: Annotated[int, Field(ge=1)]
    description: str = ""
    source: str = ""
    """Attribution of the data this loop was made for, shown in every report."""
    person_ids: bool = True
    """False: the logs carry no person, so each row is a person of its own; the report says so."""
    context: Annotated[tuple[ContextField, ...], Field(min_length=1)]
    actions: Annotated[tuple[ActionSpec, ...], Field(min_length=2)]
    signals: Annotated[tuple[SignalSpec, ...], Field(min_length=1)]
    reward: RewardSpec
    action_features: tuple[Name, ...] = ()
    """Names of the numbers in every action's ``features``."""
    candidates: CandidateSpec | None = None
    """How people who may be suggested are described; None: the product picks whom to suggest."""
    constraints: ConstraintSpec = ConstraintSpec()
    protected: tuple[str, ...] = ()
    """Context fields of kind category whose groups the fairness check compares."""
    exploration: ExplorationSpec = ExplorationSpec()
    feedback: FeedbackSpec = FeedbackSpec()
    serving: ServingSpec = ServingSpec()
    rollout: RolloutSpec = RolloutSpec()
    journeys: JourneySpec = JourneySpec()
    persona: PersonaSpec = PersonaSpec()
    privacy: PrivacySpec = PrivacySpec()
    training: TrainingSpec = TrainingSpec()
    thresholds: ThresholdSpec = ThresholdSpec()
    voice: VoiceSpec | None = None
    """Who speaks for the product; None where nothing does."""
    success_metrics: tuple[BenchmarkMetric, ...] = ()

    @field_validator("context", "actions", "signals")
    @classmethod
    def _distinct(
        cls, items: tuple[ContextField | ActionSpec | SignalSpec, ...]
    ) -> tuple[ContextField | ActionSpec | SignalSpec, ...]:
        names = [item.id if isinstance(item, ActionSpec) else item.name for item in items]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ValueError(f"{', '.join(repeated)} is declared more than once")
        return items

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        categories = {f.name for f in self.context if f.kind is FieldKind.CATEGORY}
        for name in self.protected:
            if name not in categories:
                raise ValueError(
                    f"protected field {name!r} is not a context field of kind category"
                )
        widths = {len(action.features) for action in self.actions}
        if len(widths) != 1:
            raise ValueError(f"actions have feature vectors of different widths {sorted(widths)}")
        known = {s.name for s in self.signals} | {f.name for f in self.context}
        for signal in (self.feedback.explicit, self.feedback.implicit):
            if signal is not None and signal not in {s.name for s in self.signals}:
                raise ValueError(f"feedback becomes signal {signal!r}, which is not declared")
        for guardrail in self.rollout.guardrails:
            if guardrail.signal not in {s.name for s in self.signals}:
                raise ValueError(f"guardrail reads unknown signal {guardrail.signal!r}")
        self._require_persona_field()
        self._require_named_features()
        self._require_known_constraints()
        for metric in self.success_metrics:
            if metric.signal is not None and metric.signal not in known:
                raise ValueError(f"success metric {metric.name!r} reads unknown {metric.signal!r}")
        return self

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other values, not validated; nothing computed from the old ones stays."""
        copied = super().model_copy(update=update, deep=deep)
        for name in set(copied.__dict__) - set(type(self).model_fields):
            del copied.__dict__[name]
        return copied

    def _require_persona_field(self) -> None:
        name = self.persona.field
        if name is None:
            return
        found = next((f for f in self.context if f.name == name), None)
        if found is None or found.kind is not FieldKind.VECTOR or found.width != PERSONA_WIDTH:
            raise ValueError(
                f"persona.field {name!r} is not a context field of kind vector and width {PERSONA_WIDTH}"
            )

    def _require_named_features(self) -> None:
        width = len(self.actions[0].features)
        if self.action_features and len(self.action_features) != width:
            raise ValueError(
                f"action_features names {len(self.action_features)} numbers, but actions have {width}"
            )
        if len(set(self.action_features)) != len(self.action_features):
            raise ValueError("action_features names a number twice")

    def _require_known_constraints(self) -> None:
        ids = {action.id for action in self.actions}
        declared = {field.name: field for field in self.context}
        for flag in self.constraints.flags:
            unknown = sorted(set(flag.never) - ids)
            if unknown:
                raise ValueError(f"constraints: {unknown[0]!r} is not in the catalogue")
            found = declared.get(flag.field)
            if found is None:
                raise ValueError(f"constraints: there is no context field {flag.field!r}")
            wanted = FieldKind.CATEGORY if flag.choices else FieldKind.NUMBER
            if found.kind is not wanted:
                raise ValueError(f"constraints: field {flag.field!r} is no {wanted}")
            strange = sorted(set(flag.choices) - set(found.choices))
            if strange:
                raise ValueError(f"constraints: {flag.field!r} has no choice {strange[0]!r}")
        self._require_something_left()

    def _require_something_left(self) -> None:
        """Limits and flags may all hold at once, so an action must remain that none of them names."""
        limited = {kind for limit in self.constraints.limits for kind in limit.kinds}
        flagged = {action: flag.field for flag in self.constraints.flags for action in flag.never}
        if any(a.kind not in limited and a.id not in flagged for a in self.actions):
            return
        named = ", ".join(
            f"{action.id!r} (limit on {action.kind})"
            if action.kind in limited
            else f"{action.id!r} (flag on {flagged[action.id]!r})"
            for action in self.actions
        )
        raise ValueError(
            f"constraints: every action is named by a limit or a flag, so a person may be left with "
            f"none: {named}; take one action out of them, or add one of kind no_action"
        )

    @cached_property
    def action_ids(self) -> tuple[str, ...]:
        """Ids in catalogue order; the position is the action's index in every array."""
        return tuple(action.id for action in self.actions)

    @cached_property
    def action_index(self) -> dict[str, int]:
        return {action_id: index for index, action_id in enumerate(self.action_ids)}

    @cached_property
    def signal_names(self) -> tuple[str, ...]:
        return tuple(signal.name for signal in self.signals)

    @cached_property
    def health_fields(self) -> tuple[str, ...]:
        """Names of the context fields that are stored sealed."""
        return tuple(f.name for f in self.context if f.sensitivity is Sensitivity.HEALTH)

    def serving_epsilon(self, episodes: int) -> float:
        """Exploration share in [0, 1] of a service that has logged so many episodes of the loop.

        serving_floor + (start - serving_floor) 2^(-episodes / exploration_halves_after); a ``start``
        below the floor stays where it is.
        """
        floor, start = self.exploration.serving_floor, self.exploration.start
        halvings = episodes / self.serving.exploration_halves_after
        return start if start <= floor else floor + (start - floor) * math.exp2(-halvings)

    def field(self, name: str) -> ContextField:
        """The context field of that name; ``KeyError`` if there is none."""
        return {f.name: f for f in self.context}[name]

    def signal(self, name: str) -> SignalSpec:
        """The signal type of that name; ``KeyError`` if there is none."""
        return {s.name: s for s in self.signals}[name]

    @cached_property
    def checksum(self) -> str:
        """SHA-256 of the canonical JSON form but its voice, which decides nothing: what a run records as
        its specification."""
        return hashlib.sha256(self.model_dump_json(exclude={"voice"}).encode()).hexdigest()
