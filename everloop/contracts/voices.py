"""What a voice learns from, and what it became: training instances, packages of text, model versions.

Evolution: fields are never removed or given another meaning; new ones are optional.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

from everloop.contracts.episodes import Json, canonical_json
from everloop.contracts.errors import ShouldFixArgument, ShouldFixInput
from everloop.contracts.evaluation import Estimate
from everloop.contracts.voice_spec import Category

Role = Literal["system", "user", "assistant"]
_NAMESPACE = uuid.UUID("3b7f2f0e-6d0c-4a7e-9f43-2f1c5c2e8d55")


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation, as the chat template renders it."""

    role: Role
    content: str


class SourceType(StrEnum):
    """Where an instance comes from; ``corpus`` and ``sandbox`` speak of no person."""

    FEEDBACK = "feedback"
    NEW_DATA = "new_data"
    CORPUS = "corpus"
    SANDBOX = "sandbox"


class LearningTask(StrEnum):
    SFT = "sft"
    """``completion`` is what should have been said."""
    PREFERENCE = "preference"
    """``completion`` was preferred to ``rejected``."""
    THUMB = "thumb"
    """``completion`` was liked or not (``liked``)."""


@dataclass(frozen=True, slots=True)
class TrainingDataInstance:
    """One example for one way of learning, with where it comes from.

    Attributes:
        instance_id: ``instance_id_of`` its content: the same example, the same id.
        source_ids: the feedback, package, corpus row or test run that it was made of; found again from
            each of them by ``VoiceStore.instances_of``.
        prompt: what the model reads (``modelInput``): the last message is never the assistant's.
        completion: what it should say (``desiredOutput``).
        user_id: pseudonym of the person; None for corpora and scenarios.
        weight: in (0, 1], how far its person and kind are to be believed.
        augmented: how it was paraphrased; empty for an original.
        category: for the analysis alone; no text holds it.
        parent: instance that it was paraphrased from.
    """

    instance_id: str
    source_type: SourceType
    source_ids: tuple[str, ...]
    task: LearningTask
    prompt: tuple[Message, ...]
    completion: str
    rejected: str | None = None
    liked: bool | None = None
    user_id: str | None = None
    weight: float = 1.0
    category: Category = Category.CONVERSATIONAL
    augmented: str = ""
    parent: str | None = None
    metadata: Mapping[str, Json] = field(default_factory=dict)
    """Source, licence, language: for the analysis alone."""
    tenant: str = "default"
    schema_version: int = 1

    def __post_init__(self) -> None:
        what = f"Training instance {self.instance_id}"
        if not self.source_ids:
            raise ShouldFixInput(f"{what} has no source.", "Name what it was made of.")
        if not self.prompt or self.prompt[-1].role == "assistant":
            raise ShouldFixInput(f"{what}: its prompt does not end with somebody else's turn.")
        if not self.completion.strip():
            raise ShouldFixInput(f"{what}: its completion is empty.", "Leave it out.")
        if (self.rejected is not None) != (self.task is LearningTask.PREFERENCE):
            raise ShouldFixInput(f"{what}: rejected={self.rejected!r} does not fit {self.task}.")
        if (self.liked is not None) != (self.task is LearningTask.THUMB):
            raise ShouldFixInput(f"{what}: liked={self.liked!r} does not fit {self.task}.")
        if not 0.0 < self.weight <= 1.0:
            raise ShouldFixInput(f"{what}: weight={self.weight!r} leaves (0, 1].")
        personal = self.source_type in (SourceType.FEEDBACK, SourceType.NEW_DATA)
        if personal != (self.user_id is not None):
            raise ShouldFixInput(f"{what}: {self.source_type} and user_id do not fit together.")


def instance_id_of(
    tenant: str,
    task: LearningTask,
    prompt: tuple[Message, ...],
    completion: str,
    rejected: str | None,
    liked: bool | None,
    source_ids: tuple[str, ...],
) -> str:
    """UUID of an instance, from what it says and where it comes from."""
    turns = [[message.role, message.content] for message in prompt]
    told = [tenant, task.value, turns, completion, rejected, liked, list(source_ids)]
    return str(uuid.uuid5(_NAMESPACE, canonical_json(told)))


@dataclass(frozen=True, slots=True)
class UserDataPackage:
    """A person's own text, given so that the voice may learn how they speak.

    Attributes:
        package_id: UUID made by the client; the idempotency key.
        texts: what they wrote; each at most 20,000 characters.
        replies: (what was said to them, what they answered) where the text was part of a conversation.
        origin: such as ``email`` or ``chat``.
        received_at: by our clock; not part of the payload.
    """

    package_id: str
    user_id: str
    timestamp: datetime
    origin: str
    texts: tuple[str, ...] = ()
    replies: tuple[tuple[str, str], ...] = ()
    persona: str = ""
    tenant: str = "default"
    received_at: datetime | None = None
    schema_version: int = 1

    def __post_init__(self) -> None:
        what = f"Package {self.package_id}"
        try:
            object.__setattr__(self, "package_id", str(uuid.UUID(self.package_id)))
        except (ValueError, AttributeError, TypeError):
            raise ShouldFixInput(f"{what}: its id is no UUID.", "Send a UUID made once.") from None
        if self.timestamp.tzinfo is None:
            raise ShouldFixInput(f"{what}: timestamp={self.timestamp} has no time zone.")
        if not self.texts and not self.replies:
            raise ShouldFixInput(f"{what} holds no text.", "Give texts or replies.")
        for text in (*self.texts, *(part for reply in self.replies for part in reply)):
            if not text.strip() or len(text) > MAX_TEXT:
                raise ShouldFixInput(
                    f"{what}: a text has {len(text)} characters.", f"Give 1 to {MAX_TEXT}."
                )


MAX_TEXT = 20_000
"""Characters of one text of a package."""


class VersionStatus(StrEnum):
    """``experimental`` until it serves; ``archived`` once another does, it was refused, or its run ended
    before a trial."""

    ACTIVE = "active"
    EXPERIMENTAL = "experimental"
    ARCHIVED = "archived"


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One adapter of a persona, the specification's ``ModelVersion``.

    Attributes:
        model_id: the checkpoint's id in the registry.
        user_id: whose twin it is; None for a voice of the product.
        version_number: counts up from 1 for each persona of a tenant.
        training_references: ids of the instances it learned from, of those that are still stored, in
            no order.
        performance_metrics: name -> measured figure.
        continued_from: model whose adapter it went on from; None for one that began anew.
        data_until: when what it learned from ended; None: when it was made.
        forgets: instances of people erased since that it, or a model it went on from, learned from.
            Above 0 the next run begins anew, without them. Counted by the store, whatever is handed in.
        instances: how many it learned from that are still stored; counted by the store as well.
    """

    model_id: str
    persona: str
    base_model_name: str
    version_number: int
    creation_date: datetime
    training_references: tuple[str, ...]
    performance_metrics: Mapping[str, float]
    status: VersionStatus
    user_id: str | None = None
    tenant: str = "default"
    schema_version: int = 1
    continued_from: str | None = None
    data_until: datetime | None = None
    forgets: int = 0
    instances: int = 0

    def __post_init__(self) -> None:
        if self.version_number < 1:
            raise ShouldFixArgument(
                f"Version {self.version_number} of {self.persona} is below 1.", "Count from 1."
            )


class Strategy(StrEnum):
    """How a night learns; several may be chosen at once, cheapest first."""

    TRAITS = "traits"
    EXEMPLARS = "exemplars"
    SFT = "sft"
    PREFERENCE_PAIRS = "preference_pairs"
    PREFERENCE_THUMBS = "preference_thumbs"
    FULL_RETRAINING = "full_retraining"


@dataclass(frozen=True, slots=True)
class SignalVolume:
    """How much there is to learn from, not yet learned; effective numbers are sums of weights."""

    trait_signals: int
    praised: int
    corrections: float
    own_texts: float
    pairs: float
    thumbs_up: float
    thumbs_down: float
    corpus_rows: int
    people: int
    contradictory_people: int = 0
    golden_drop: float | None = None
    """Fall of the golden set's mean log-probability since the first adapter, nats a token."""
    forgets: int = 0
    """Instances of people erased since, that the present adapter learned from."""
    unseen: int = 0
    """Rows that were not looked at, so that they are not counted: see ``DataFigures``."""

    def __post_init__(self) -> None:
        for name in ("corrections", "own_texts", "pairs", "thumbs_up", "thumbs_down"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                raise ShouldFixArgument(f"SignalVolume: {name}={value!r} is no number >= 0.")


@dataclass(frozen=True, slots=True)
class StrategyChoice:
    """What a night does, and why; ``skipped``: strategy -> why not."""

    chosen: tuple[Strategy, ...]
    reasons: Mapping[str, str]
    skipped: Mapping[str, str]
    volume: SignalVolume


@dataclass(frozen=True, slots=True)
class CategoryShare:
    """A category's share of the examples beside the range that the specification asks for."""

    category: Category
    rows: int
    share: float
    low: float
    high: float
    within: bool


@dataclass(frozen=True, slots=True)
class DataFigures:
    """What became of the rows: how many came, how many stayed, what took the others out.

    ``removed``: reason (``opted_out``, ``disputed``, ``pii``, ``toxic``, ``language``,
    ``near_duplicate``, ``too_long``, …) -> rows. ``dominating``: the category above its limit, if any.
    ``rows_out`` and what is counted of it are the examples to learn from; ``held_out`` those of people
    who judge and never train. ``rows_in`` is the sum of both and of all that was removed.
    """

    rows_in: int
    rows_out: int
    removed: Mapping[str, int]
    by_task: Mapping[str, int]
    by_source: Mapping[str, int]
    augmented: int
    people: int
    categories: tuple[CategoryShare, ...]
    licenses: Mapping[str, str]
    """Corpus -> licence."""
    dominating: str = ""
    held_out: int = 0
    held_out_people: int = 0
    held_out_by_task: Mapping[str, int] = field(default_factory=dict)
    undrawn: Mapping[str, float] = field(default_factory=dict)
    """Kind of signal -> effective examples that were fit and new and were not drawn: the next night's.
    Those that nobody looked at are not among them."""
    unseen: int = 0
    """New rows of people who teach that nobody looked at, since enough others were fit."""


@dataclass(frozen=True, slots=True)
class StepLog:
    """One optimiser step as it was measured: rate used, gradient norm before clipping, loss."""

    phase: str
    step: int
    learning_rate: float
    grad_norm: float
    loss: float


@dataclass(frozen=True, slots=True)
class PhaseFigures:
    """One phase as it ran. ``tokens``: completion tokens that gave a gradient."""

    phase: str
    method: str
    examples: int
    replayed: int
    steps: int
    warmup_steps: int
    peak_learning_rate: float
    max_grad_norm: float
    effective_batch: int
    first_loss: float
    last_loss: float
    tokens: int
    seconds: float
    adapter_in: str
    """SHA-256 of the adapter that the phase began with; empty for a new one."""
    adapter_out: str
    reason: str = ""
    """Why this method, where there was a choice."""


@dataclass(frozen=True, slots=True)
class AdapterFigures:
    """A finished training.

    Attributes:
        moved: norm of the adapter's change, summed over supervised phases and preferences; never 0.
        continued_from: checkpoint of the adapter that it went on from; empty for one that began anew.
        rows_by_task: task -> rows that it learned from, people's and corpora's: of the tasks that its ways
            of learning read, without what was learned before and is replayed.
        people: who gave them; 0 where it is not known.
    """

    base_sha256: str
    adapter_sha256: str
    phases: tuple[PhaseFigures, ...]
    steps: tuple[StepLog, ...]
    moved: float
    parameters: int
    epsilon: float | None = None
    delta: float | None = None
    release_id: str = ""
    placebo: bool = False
    continued_from: str = ""
    rows_by_task: Mapping[str, int] = field(default_factory=dict)
    people: int = 0

    @property
    def rows(self) -> int:
        """Rows that it learned from."""
        return sum(self.rows_by_task.values())


@dataclass(frozen=True, slots=True)
class RewardModelFigures:
    """A reward model as it was trained, or why there is none.

    Attributes:
        refused: why none was trained; empty for one that was.
        sha256: of its folder's files; empty where none was trained.
        accuracy: share of held-out pairs whose preferred answer scores higher, ties half, clustered by
            person; None where nobody was held out.
        train_pairs: pairs that it learned from.
        held_out_pairs: of people whom it never learned from.
        moved: norm of the change of its weights.
    """

    refused: str
    sha256: str
    accuracy: Estimate | None
    train_pairs: int
    held_out_pairs: int
    train_people: int
    held_out_people: int
    steps: tuple[StepLog, ...] = ()
    moved: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class SampleAnswer:
    """The same held-out prompt answered by each voice, for people to read."""

    prompt: tuple[Message, ...]
    wanted: str
    active: str
    placebo: str
    candidate: str
    category: Category
    rewards: Mapping[str, float] = field(default_factory=dict)
    """Voice -> reward of its answer, of those that a reward model could read; only differences between
    answers to one prompt mean anything."""


@dataclass(frozen=True, slots=True)
class VoiceComparison:
    """Candidate beside placebo and active voice on held-out feedback, nats a token.

    ``effect``: how much likelier what people wanted (own texts, what they chose and liked) is with the
    candidate than with the placebo, clustered by person; the formula is in
    ``everloop/adaptation/measuring.py``. ``by_category``, ``by_task``: the same of the rows of each, named
    by it. ``over_active``: the same over the active voice. ``length_adjusted``: the effect with the
    completion's length as a covariate. ``margin``: of pairs, chosen - rejected, candidate - placebo; None
    without a pair. ``disliked``: how much less likely disliked answers are than with the placebo; None
    without one. What damages a voice lowers what it would have said itself: neither decides anything.
    ``golden``: the golden set's loss, candidate - active; above 0 is forgetting. ``perplexity``: of the
    golden set, for candidate, placebo and active. ``length_ratio``: mean answer length, candidate over
    active. ``reward``: mean over sampled prompts of the reward model's score of the answer, candidate -
    placebo; None without a reward model. It learned from people's comparisons as the candidate did: no
    gate looks at it. ``unscored``: held-out rows that are left out since the base cannot read them whole.
    ``adapter_sha256``: of the candidate's adapter; empty where it is not known. ``scorer_sha256``: of the
    reward model that was trained beside it; empty where none was.
    """

    effect: Estimate
    over_active: Estimate
    length_adjusted: Estimate
    golden: Estimate
    by_category: tuple[Estimate, ...]
    perplexity: Mapping[str, float]
    length_ratio: Estimate
    samples: tuple[SampleAnswer, ...] = ()
    reward: Estimate | None = None
    unscored: int = 0
    adapter_sha256: str = ""
    by_task: tuple[Estimate, ...] = ()
    margin: Estimate | None = None
    disliked: Estimate | None = None
    scorer_sha256: str = ""

    def unjudged(self, training: AdapterFigures) -> tuple[str, ...]:
        """Tasks that a training learned from and of which no held-out row says what was wanted."""
        judged = {estimate.name for estimate in self.by_task}
        return tuple(task for task in training.rows_by_task if task not in judged)
