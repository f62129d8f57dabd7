"""Feedback of a period, counted and averaged in one pass."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from everloop.contracts.feedback import FeedbackInstance, FeedbackStatus
from everloop.feedback.learning_signals import TEACHING, value_of

_Z95 = 1.959963984540054
_MOST_INTENTS = 20


@dataclass(frozen=True, slots=True)
class Selection:
    """Which feedback is analysed; ``None`` selects everything."""

    persona: str | None = None
    agent_id: str | None = None
    task_type: str | None = None
    model_version: str | None = None

    def holds(self, feedback: FeedbackInstance) -> bool:
        return all(
            wanted is None or wanted == given
            for wanted, given in (
                (self.persona, feedback.persona),
                (self.agent_id, feedback.agent_id),
                (self.task_type, feedback.task_type),
                (self.model_version, feedback.model_version),
            )
        )


@dataclass(frozen=True, slots=True)
class MeanValue:
    """How good people say outputs were, in [-1, 1].

    Attributes:
        mean: ``None`` without feedback that says.
        low, high: normal 95 % interval clustered by person; ``None`` with fewer than two people.
        n: feedback that says.
        people: who gave it.
    """

    mean: float | None
    low: float | None
    high: float | None
    n: int
    people: int


@dataclass(frozen=True, slots=True)
class FeedbackReport:
    """What people said in a period.

    Attributes:
        total: all selected feedback; the ``by_`` counts sum to it.
        by_type, by_source, by_status, by_agent, by_task_type, by_persona, by_model_version: counts.
        by_intent: times an interpretation named it, in feedback that teaches; the commonest first,
            at most twenty.
        value: of the feedback that teaches and says how good the output was.
        value_by_type: the same per type; types differ in who bothers, so compare within one.
        trait_adjustments: trait -> sum of adjustment x weight x confidence x quality over the
            feedback that teaches.
        clamped_share, quarantined_share: of all selected feedback; ``None`` without any.
    """

    total: int
    by_type: Mapping[str, int]
    by_source: Mapping[str, int]
    by_status: Mapping[str, int]
    by_agent: Mapping[str, int]
    by_task_type: Mapping[str, int]
    by_persona: Mapping[str, int]
    by_model_version: Mapping[str, int]
    by_intent: Mapping[str, int]
    value: MeanValue
    value_by_type: Mapping[str, MeanValue]
    trait_adjustments: Mapping[str, float]
    clamped_share: float | None
    quarantined_share: float | None


@dataclass(slots=True)
class _ByPerson:
    """Sum and count of values per person: what a clustered interval needs."""

    sums: dict[str, float] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)

    def add(self, person: str, value: float) -> None:
        self.sums[person] = self.sums.get(person, 0.0) + value
        self.counts[person] += 1

    def mean(self) -> MeanValue:
        """Linearisation as in Särndal, Swensson and Wretman (1992), section 5.5.

        variance = C / (C - 1) * sum over C people of (sum - count * mean)^2 / n^2.
        """
        n, people = self.counts.total(), len(self.counts)
        if not n:
            return MeanValue(None, None, None, 0, 0)
        mean = math.fsum(self.sums.values()) / n
        if people < 2:
            return MeanValue(mean, None, None, n, people)
        residuals = math.fsum(
            (self.sums[person] - count * mean) ** 2 for person, count in self.counts.items()
        )
        half = _Z95 * math.sqrt(people / (people - 1) * residuals) / n
        return MeanValue(mean, max(-1.0, mean - half), min(1.0, mean + half), n, people)


def analyse(
    stream: Iterable[FeedbackInstance], selection: Selection | None = None
) -> FeedbackReport:
    """Aggregate a stream of feedback; memory grows with people and names, not with feedback."""
    wanted = selection or Selection()
    counts: dict[str, Counter[str]] = {name: Counter() for name in _COUNTED}
    intents: Counter[str] = Counter()
    traits: dict[str, float] = {}
    everyone, by_type = _ByPerson(), dict[str, _ByPerson]()
    total = clamped = 0
    for feedback in stream:
        if not wanted.holds(feedback):
            continue
        total += 1
        clamped += feedback.clamped
        for name, attribute in _COUNTED.items():
            counts[name][str(getattr(feedback, attribute))] += 1
        if feedback.status not in TEACHING:
            continue
        intents.update(each.intent for each in feedback.interpretations)
        strength = feedback.weight * feedback.confidence * feedback.quality
        for each in feedback.interpretations:
            if each.trait is not None:
                traits[each.trait] = traits.get(each.trait, 0.0) + each.adjustment * strength
        value = value_of(feedback)
        if value is not None:
            everyone.add(feedback.user_id, value)
            by_type.setdefault(str(feedback.feedback_type), _ByPerson()).add(
                feedback.user_id, value
            )
    quarantined = counts["by_status"][str(FeedbackStatus.QUARANTINED)]
    return FeedbackReport(
        total=total,
        by_intent=_commonest(intents, _MOST_INTENTS),
        value=everyone.mean(),
        value_by_type={name: of_type.mean() for name, of_type in sorted(by_type.items())},
        trait_adjustments=dict(sorted(traits.items())),
        clamped_share=clamped / total if total else None,
        quarantined_share=quarantined / total if total else None,
        **{name: _commonest(counted) for name, counted in counts.items()},
    )


def _commonest(counted: Counter[str], most: int | None = None) -> dict[str, int]:
    ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
    return dict(ranked[:most])


_COUNTED = {
    "by_type": "feedback_type",
    "by_source": "source",
    "by_status": "status",
    "by_agent": "agent_id",
    "by_task_type": "task_type",
    "by_persona": "persona",
    "by_model_version": "model_version",
}
