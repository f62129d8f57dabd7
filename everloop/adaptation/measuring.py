"""What a candidate does on held-out feedback that its placebo does not, and what it forgot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from everloop.adaptation.clustered import clustered_intercept, clustered_mean
from everloop.adaptation.training.best_of import Scorer
from everloop.contracts.datasets import Float
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate
from everloop.contracts.speaking import Speaker, SpeakRequest, TextScore
from everloop.contracts.voice_spec import Category, GenerationSpec
from everloop.contracts.voices import (
    LearningTask,
    SampleAnswer,
    TrainingDataInstance,
    VoiceComparison,
)


@dataclass(frozen=True, slots=True)
class Voices:
    """Versions of the adapters that are compared; "" is the base alone."""

    candidate: str
    placebo: str
    active: str

    @property
    def named(self) -> Mapping[str, str]:
        """Role -> version."""
        return {"candidate": self.candidate, "placebo": self.placebo, "active": self.active}


@dataclass(frozen=True, slots=True)
class Measured:
    """Held-out rows as one voice sees them.

    ``value`` (n,): how much it agrees with people, nats a token: the log-probability of what was wanted or
    liked, its negative of what was disliked, chosen - rejected of a pair. ``length`` (n,): tokens of the
    wanted text; ``difference`` (n,): tokens chosen - rejected, 0 where nothing was rejected.
    """

    value: Float
    length: Float
    difference: Float


def agreement(speaker: Speaker, rows: Sequence[TrainingDataInstance], adapter: str) -> Measured:
    """How much a voice agrees with what held-out people said."""
    prompts = [row.prompt for row in rows]
    wanted = _scores(speaker, prompts, [row.completion for row in rows], adapter)
    pairs = [(row.prompt, row.rejected) for row in rows if row.rejected is not None]
    losing = iter(_scores(speaker, [p for p, _ in pairs], [r for _, r in pairs], adapter))
    value, difference = [], []
    for row, score in zip(rows, wanted, strict=True):
        sign = -1.0 if row.liked is False else 1.0
        other = next(losing) if row.rejected is not None else None
        value.append(sign * score.per_token - (0.0 if other is None else other.per_token))
        difference.append(0.0 if other is None else float(score.tokens - other.tokens))
    lengths = [float(score.tokens) for score in wanted]
    return Measured(np.asarray(value), np.asarray(lengths), np.asarray(difference))


def compare(
    speaker: Speaker,
    held_out: Sequence[TrainingDataInstance],
    golden: Sequence[TrainingDataInstance],
    voices: Voices,
    *,
    confidence: float,
    generation: GenerationSpec,
    samples: int = 24,
    seed: int = 0,
    scorer: Scorer | None = None,
) -> VoiceComparison:
    """Candidate beside placebo and active voice.

    A held-out row that does not fit into the base's context says nothing, and is counted (``unscored``).

    Args:
        held_out: feedback of people whose feedback trained nothing.
        golden: reference conversations that trained nothing; corpus rows, each a cluster of its own.
        samples: prompts that every voice answers, for people to read and for lengths.
        seed: of the answers.
        scorer: a reward model, where there is one, for the samples' answers.
    """
    asked = len(held_out)
    try:
        known = _agreements(speaker, held_out, voices)
    except ShouldFixArgument:
        held_out = _scorable(speaker, held_out, voices.active)
        known = _agreements(speaker, held_out, voices)
    effect = known["candidate"].value - known["placebo"].value
    over = known["candidate"].value - known["active"].value
    people = [row.user_id or row.instance_id for row in held_out]
    drawn = _spread(held_out or golden, samples)
    shown = _answered(speaker, drawn, voices, generation, seed)
    if scorer is not None:
        shown = _rewarded(scorer, shown)
    own_length = _typical_length(speaker, shown, voices.active)
    losses = {name: _golden(speaker, golden, version) for name, version in voices.named.items()}
    forgot = [
        b.per_token - a.per_token
        for a, b in zip(losses["candidate"], losses["active"], strict=True)
    ]
    return VoiceComparison(
        effect=clustered_mean("candidate - placebo", effect, people, confidence),
        over_active=clustered_mean("candidate - active", over, people, confidence),
        length_adjusted=clustered_intercept(
            "candidate - placebo at equal length",
            effect,
            _covariates(held_out, known["candidate"], own_length),
            people,
            confidence,
        ),
        golden=clustered_mean(
            "golden loss, candidate - active", forgot, [g.instance_id for g in golden], confidence
        ),
        by_category=_by_category(held_out, effect, people, confidence),
        perplexity={name: _perplexity(scores) for name, scores in losses.items()},
        length_ratio=_length_ratio(shown, confidence),
        samples=tuple(shown),
        reward=None if scorer is None else _reward(drawn, shown, confidence),
        unscored=asked - len(held_out),
    )


def _agreements(
    speaker: Speaker, rows: Sequence[TrainingDataInstance], voices: Voices
) -> dict[str, Measured]:
    return {name: agreement(speaker, rows, version) for name, version in voices.named.items()}


def _scorable(
    speaker: Speaker, rows: Sequence[TrainingDataInstance], adapter: str
) -> list[TrainingDataInstance]:
    """The rows that can be scored, found by halving."""
    try:
        agreement(speaker, rows, adapter)
    except ShouldFixArgument:
        if len(rows) == 1:
            return []
        half = len(rows) // 2
        parts = rows[:half], rows[half:]
        return [row for part in parts for row in _scorable(speaker, part, adapter)]
    return list(rows)


def _scores(
    speaker: Speaker, prompts: Sequence[object], texts: Sequence[str | None], adapter: str
) -> tuple[TextScore, ...]:
    return speaker.score(prompts, texts, adapter) if texts else ()  # type: ignore[arg-type]


def _golden(
    speaker: Speaker, golden: Sequence[TrainingDataInstance], adapter: str
) -> tuple[TextScore, ...]:
    return _scores(speaker, [g.prompt for g in golden], [g.completion for g in golden], adapter)


def _perplexity(scores: Sequence[TextScore]) -> float:
    """exp of the mean loss over tokens; NaN where nothing was scored."""
    tokens = sum(score.tokens for score in scores)
    if not tokens:
        return math.nan
    return math.exp(min(700.0, -sum(score.log_probability for score in scores) / tokens))


def _covariates(
    rows: Sequence[TrainingDataInstance], measured: Measured, own_length: float
) -> Float:
    """(n, 2): how much longer than the active voice's answers a wanted text is, in tokens, and how much
    longer than the rejected one. At 0 both, length explains nothing."""
    paired = np.asarray([row.task is LearningTask.PREFERENCE for row in rows], dtype=bool)
    longer = np.where(paired, 0.0, measured.length - own_length)
    return np.column_stack([longer, np.where(paired, measured.difference, 0.0)])


def _by_category(
    rows: Sequence[TrainingDataInstance],
    effect: Float,
    people: Sequence[str],
    confidence: float,
) -> tuple[Estimate, ...]:
    found = []
    for category in Category:
        chosen = [i for i, row in enumerate(rows) if row.category is category]
        if chosen:
            values, whose = [float(effect[i]) for i in chosen], [people[i] for i in chosen]
            found.append(clustered_mean(category.value, values, whose, confidence))
    return tuple(found)


def _spread(rows: Sequence[TrainingDataInstance], most: int) -> list[TrainingDataInstance]:
    """Distinct prompts, the categories in turn, in the order of their ids."""
    waiting: dict[Category, list[TrainingDataInstance]] = {}
    seen = set()
    for row in sorted(rows, key=lambda r: r.instance_id):
        if row.prompt not in seen:
            seen.add(row.prompt)
            waiting.setdefault(row.category, []).append(row)
    chosen: list[TrainingDataInstance] = []
    while waiting and len(chosen) < most:
        for category in list(waiting):
            chosen.append(waiting[category].pop(0))
            if not waiting[category]:
                del waiting[category]
    return chosen[:most]


def _answered(
    speaker: Speaker,
    rows: Sequence[TrainingDataInstance],
    voices: Voices,
    generation: GenerationSpec,
    seed: int,
) -> list[SampleAnswer]:
    if not rows:
        return []
    said = {
        name: speaker.answer(
            [SpeakRequest(row.prompt, version, seed + i, generation) for i, row in enumerate(rows)]
        )
        for name, version in voices.named.items()
    }
    return [
        SampleAnswer(
            prompt=row.prompt,
            wanted=row.completion if row.liked is not False else "",
            active=said["active"][i].text,
            placebo=said["placebo"][i].text,
            candidate=said["candidate"][i].text,
            category=row.category,
        )
        for i, row in enumerate(rows)
    ]


def _rewarded(scorer: Scorer, shown: Sequence[SampleAnswer]) -> list[SampleAnswer]:
    """The same with every answer's reward that is finite."""
    found: list[dict[str, float]] = [{} for _ in shown]
    prompts = [sample.prompt for sample in shown]
    for name in ("candidate", "placebo", "active"):
        scores = scorer.score(prompts, [getattr(sample, name) for sample in shown])
        for rewards, score in zip(found, scores, strict=True):
            if math.isfinite(score):
                rewards[name] = score
    return [replace(sample, rewards=each) for sample, each in zip(shown, found, strict=True)]


def _reward(
    drawn: Sequence[TrainingDataInstance], shown: Sequence[SampleAnswer], confidence: float
) -> Estimate:
    """Reward, candidate - placebo, over prompts whose both answers have one; clustered by person."""
    told = [
        (sample.rewards["candidate"] - sample.rewards["placebo"], row.user_id or row.instance_id)
        for row, sample in zip(drawn, shown, strict=True)
        if {"candidate", "placebo"} <= sample.rewards.keys()
    ]
    values, people = [value for value, _ in told], [person for _, person in told]
    return clustered_mean("reward, candidate - placebo", values, people, confidence)


def _typical_length(speaker: Speaker, shown: Sequence[SampleAnswer], adapter: str) -> float:
    """Mean tokens of the active voice's answers; 0 without any."""
    said = [(sample.prompt, sample.active) for sample in shown if sample.active.strip()]
    scores = _scores(speaker, [p for p, _ in said], [a for _, a in said], adapter)
    return float(np.mean([score.tokens for score in scores])) if scores else 0.0


def _length_ratio(shown: Sequence[SampleAnswer], confidence: float) -> Estimate:
    """Geometric mean of (1 + words of the candidate) / (1 + words of the active voice), by prompt."""
    ratios = [math.log((1 + len(s.candidate.split())) / (1 + len(s.active.split()))) for s in shown]
    found = clustered_mean("length", ratios, [str(i) for i in range(len(ratios))], confidence)
    value = math.exp(found.value)
    low, high = math.exp(found.low), math.exp(found.high)
    if ratios and math.isnan(found.low) and not any(ratios):
        low = high = 1.0
    return Estimate(
        "answer length, candidate / active",
        value,
        low,
        high,
        confidence,
        found.n,
        found.clusters,
        "geometric mean over prompts, t",
    )
