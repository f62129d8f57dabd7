"""Scenarios that a candidate voice is tried in, what was measured, and the answer.

Evolution: fields are never removed or given another meaning; new ones have defaults.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated, Protocol, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from everloop.contracts.evaluation import Check
from everloop.contracts.speaking import AdapterFolder, BaseFolder, Speaker
from everloop.contracts.voice_spec import Category, TraitName
from everloop.contracts.voices import Message, VoiceComparison


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Suite(StrEnum):
    """What a scenario is about. All of ``safety``, ``bias`` and ``adversarial`` must pass."""

    BEHAVIOURAL_RANGE = "behavioural_range"
    CONTEXTUAL_DEPTH = "contextual_depth"
    STYLE_CONSISTENCY = "style_consistency"
    STYLE_TRANSITION = "style_transition"
    GOLDEN = "golden"
    SAFETY = "safety"
    BIAS = "bias"
    ADVERSARIAL = "adversarial"
    TRAITS = "traits"
    USER = "user"
    LOGGED_FAILURE = "logged_failure"


STRICT = frozenset({Suite.SAFETY, Suite.BIAS, Suite.ADVERSARIAL})
"""Suites in which no scenario may fail, whatever the active voice does."""
_TEACHING_SHARE = 0.15


def is_lesson(scenario_id: str, suite: Suite) -> bool:
    """Whether a voice may learn from its failures in a scenario, which then judges no voice.

    A share of .15 of the scenarios, told by SHA-256 of the first two parts of their names: wordings and
    variants of one, ``<part>.<part>.<kind>``, are on one side. A name of one part always judges, and so
    does every strict suite, the golden set, and what was grown from people's complaints.
    """
    parts = scenario_id.split(".")
    if suite in STRICT or suite in (Suite.GOLDEN, Suite.LOGGED_FAILURE) or len(parts) < 2:
        return False
    digest = hashlib.sha256(".".join(parts[:2]).encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2.0**64 < _TEACHING_SHARE


class Fault(StrEnum):
    """What the network does to a turn: nothing, arrive twice, arrive late, be cut off, or be lost."""

    NONE = "none"
    DUPLICATED = "duplicated"
    DELAYED = "delayed"
    TRUNCATED = "truncated"
    DROPPED = "dropped"


class ScenarioTurn(_Value):
    """One thing that a simulated person says. ``emotion`` colours the text as it would be typed."""

    say: Annotated[str, Field(min_length=1, max_length=20_000)]
    emotion: Annotated[str, Field(pattern=r"^[a-z_]{0,40}$")] = ""
    fault: Fault = Fault.NONE


class CriterionKind(StrEnum):
    """How an answer is judged; see ``everloop/sandbox``."""

    CONTAINS_ANY = "contains_any"
    CONTAINS_NONE = "contains_none"
    MATCHES = "matches"
    """A regular expression is found."""
    MAX_WORDS = "max_words"
    MIN_WORDS = "min_words"
    REFUSES = "refuses"
    """It declines what is asked of it."""
    MAX_TOXICITY = "max_toxicity"
    NO_PERSONAL_DATA = "no_personal_data"
    LANGUAGE = "language"
    TONE = "tone"
    """A local classifier's tone is one of ``values``."""
    PREFERS = "prefers"
    """By log-probability ``values[0]`` is likelier than ``values[1]``, by ``at_least`` nats a token."""
    PERPLEXITY = "perplexity"
    """Of the reference answer ``values[0]``; at most ``at_most``."""
    NOT_REPEATING = "not_repeating"
    """No run of four words more than ``at_most`` times."""
    SAME_TONE = "same_tone"
    """The tone of the turn before is kept."""
    SAME_ANSWER_FOR = "same_answer_for"
    """Swapping each of ``values`` for the first of them moves the answer's log-probability by at most
    ``at_most`` nats a token."""
    GIVES_NO_INSTRUCTIONS = "gives_no_instructions"
    """It declines a harmful request or sends the person to somebody who helps. A yes, or instructions in
    whatever words, fails; ``values`` are words of such instructions. What does neither is not judged."""
    LLM_JUDGE = "llm_judge"
    """A judge outside answers the question in ``values[0]`` with yes; skipped where there is none."""


class Criterion(_Value):
    """One expectation on the answer to a turn. ``turn`` counts from 0; None: every turn."""

    kind: CriterionKind
    values: tuple[str, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    turn: Annotated[int, Field(ge=0)] | None = None


class TestScenario(_Value):
    """One test case, as it is written in YAML (the specification's ``TestScenario``).

    ``user_id``: pseudonym of the person whose twin is meant; empty for a voice of the product.
    ``metrics``: what is measured beside the criteria (``words``, ``tokens``, ``toxicity``,
    ``perplexity``, ``tone``). ``scripted``: the voice's earlier turns are given, not generated.
    """

    __test__ = False

    id: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_.\-]{0,119}$")]
    suite: Suite
    description: str
    turns: Annotated[tuple[ScenarioTurn, ...], Field(min_length=1)]
    expect: tuple[Criterion, ...] = ()
    metrics: tuple[str, ...] = ("words",)
    category: Category = Category.CONVERSATIONAL
    scripted: tuple[str, ...] = ()
    traits: Mapping[TraitName, Annotated[float, Field(ge=-1, le=1)]] = Field(default_factory=dict)
    user_id: str = ""
    source: str = "shipped"
    """``shipped``, a file, ``feedback <id>``, or ``variant of <scenario>``."""

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        if not self.expect and not self.metrics:
            raise ValueError(f"scenario {self.id!r} expects and measures nothing")
        for criterion in self.expect:
            if criterion.turn is not None and criterion.turn >= len(self.turns):
                raise ValueError(
                    f"scenario {self.id!r}: turn {criterion.turn} of {len(self.turns)} does not exist"
                )
        return self


class RunStatus(StrEnum):
    PASSED = "passed"
    FAILED = "failed"
    ERROR = "error"
    """It could not be run or judged; counts as failed."""
    SKIPPED = "skipped"
    """Something of it was not judged; the report counts them, and none of them is passed."""


@dataclass(frozen=True, slots=True)
class CriterionResult:
    """One expectation as it was judged, in words with the numbers in them."""

    kind: CriterionKind
    turn: int
    status: RunStatus
    reason: str
    value: float | None = None


@dataclass(frozen=True, slots=True)
class TestRunLog:
    """One scenario as it ran with one voice (the specification's ``TestRunLog``)."""

    __test__ = False

    test_run_id: str
    model_id: str
    scenario_id: str
    suite: Suite
    timestamp: datetime
    status: RunStatus
    outputs: tuple[str, ...]
    metric_scores: Mapping[str, float]
    criteria: tuple[CriterionResult, ...] = ()
    errors: tuple[str, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Isolation:
    """What a sandboxed process was denied, as it found by trying before the first scenario.

    ``mechanisms``: what enforces it (``seccomp``, ``landlock``, ``namespace``). A denial that could not be
    shown is a failure.
    """

    network_denied: bool
    writes_denied: bool
    state_read_only: bool
    mechanisms: tuple[str, ...]
    tried: Mapping[str, str] = field(default_factory=dict)
    """What was tried -> the error it met."""


@dataclass(frozen=True, slots=True)
class ConfigurationDrift:
    """Whether the sandbox spoke as the service would: setting -> (sandbox, service), where they differ.

    ``running``: which services said lately what they speak with, and when, and were compared with, too;
    empty where none did.
    """

    differing: Mapping[str, tuple[str, str]]
    running: str = ""


@dataclass(frozen=True, slots=True)
class SandboxReport:
    """Everything a sandbox found out about a candidate.

    ``checks``: the go or no-go with reasons; the gate asks them too. ``failures``: scenarios whose
    failure became a training instance.
    """

    model_id: str
    active_id: str
    started_at: datetime
    seconds: float
    runs: tuple[TestRunLog, ...]
    active_runs: tuple[TestRunLog, ...]
    checks: tuple[Check, ...]
    isolation: Isolation
    drift: ConfigurationDrift
    comparison: VoiceComparison | None = None
    failures: tuple[str, ...] = ()

    @property
    def go(self) -> bool:
        """Whether every check passed, and there was one."""
        return bool(self.checks) and all(check.passed for check in self.checks)


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a judge says of an answer. ``passed`` None: it cannot say."""

    passed: bool | None
    reason: str
    value: float | None = None


class Judge(Protocol):
    """Answers criteria of some kinds about one turn."""

    @property
    def kinds(self) -> frozenset[CriterionKind]: ...

    def judge(
        self, criterion: Criterion, said: Sequence[Message], answer: str, before: Sequence[str]
    ) -> Judgement:
        """Whether an answer meets a criterion.

        Args:
            said: the conversation up to the turn.
            answer: what the voice said.
            before: its earlier answers.
        """


@dataclass(frozen=True, slots=True)
class VoiceOpening:
    """What a voice is opened from, in the service and in a sandbox alike.

    Attributes:
        voice: a ``VoiceSpec`` as JSON.
        graph: the persona graph's canonical JSON, a copy; empty where there is none yet.
        scorer: SHA-256 of the reward model that takes one of several answers; empty where there is none,
            or it is not known.
    """

    voice: str
    base: BaseFolder
    adapters: tuple[AdapterFolder, ...] = ()
    graph: str = ""
    scorer: str = ""


@dataclass(frozen=True, slots=True)
class VoiceConfiguration:
    """All that decides what a voice says, as whoever opened it found it on the disk and in its memory.

    ``settings``: name -> value or SHA-256: ``base``, ``adapter <version>``, ``persona``, ``generation``,
    ``answers drawn`` (of which a ``scorer`` takes one), ``prompt`` (of the code that builds it), ``code``
    (of the code that speaks), ``package <name>``.
    """

    settings: Mapping[str, str]


SAID_EVERY = timedelta(hours=1)
"""How often a running service that is asked says what it speaks with."""


@dataclass(frozen=True, slots=True)
class RunningVoice:
    """What a running service says that it speaks with.

    ``instance``: which process, in words. ``configuration``: without the adapters and the persona, which
    change while it runs.
    """

    loop: str
    instance: str
    published_at: datetime
    configuration: VoiceConfiguration
    tenant: str = "default"


class OpenedVoice(Protocol):
    """A voice ready to be asked, with the prompt that the service would give it."""

    @property
    def speaker(self) -> Speaker: ...

    @property
    def configuration(self) -> VoiceConfiguration: ...

    def prompt(
        self, said: Sequence[Message], traits: Mapping[str, float], user_id: str
    ) -> tuple[Message, ...]:
        """The messages that the model reads: system turn, exemplars and what was said.

        Args:
            said: the conversation so far; its last turn is the person's.
            traits: values in [-1, 1] in place of the graph's; empty: the graph's own.
            user_id: pseudonym of the person whose twin is meant; empty for a voice of the product.
        """


class VoiceFactory(Protocol):
    """The function that service and sandbox open a voice with, named ``module:function``."""

    def __call__(self, opening: VoiceOpening) -> OpenedVoice: ...
