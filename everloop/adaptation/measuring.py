"""What a candidate does on held-out feedback that its placebo does not, and what it forgot.

With l_v(r) the log-probability a token that voice v gives to the text of row r that was wanted (an own text
or correction, the chosen one of a pair, an answer that was liked), over the n rows that have one:

    effect = sum_r (l_candidate(r) - l_placebo(r)) / n,

with an interval over people. What was rejected or disliked is no part of it: such texts are mostly the
voice's own words, and whatever damages a voice makes them less likely. How much they lose stands beside it:

    margin   = mean over pairs of (l_c - l_p)(chosen) - (l_c - l_p)(rejected),
    disliked = mean over disliked answers of -(l_c - l_p).

Neither decides: a margin rises, too, where the chosen text gets less likely and the rejected one even more
so, as DPO is known to do (Razin et al., "Unintentional unalignment", ICLR 2025).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
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
    """Held-out rows as one voice sees them, each array (n,).

    ``said``: log-probability of the completion, nats a token; ``rejected``: of the text that it was
    preferred to, NaN where there is none; ``length``: tokens of the completion.
    """

    said: Float
    rejected: Float
    length: Float


def likelihoods(speaker: Speaker, rows: Sequence[TrainingDataInstance], adapter: str) -> Measured:
    """How likely a voice finds what held-out people wrote, chose, liked and did not."""
    prompts = [row.prompt for row in rows]
    said = _scores(speaker, prompts, [row.completion for row in rows], adapter)
    rejected = np.full(len(rows), math.nan)
    pairs = [
        (i, row.prompt, row.rejected) for i, row in enumerate(rows) if row.rejected is not None
    ]
    losing = _scores(speaker, [p for _, p, _ in pairs], [r for _, _, r in pairs], adapter)
    rejected[[i for i, _, _ in pairs]] = [score.per_token for score in losing]
    return Measured(
        np.asarray([score.per_token for score in said]),
        rejected,
        np.asarray([float(score.tokens) for score in said]),
    )


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

    Every figure's rows and people are those that it was computed from. A held-out row that does not fit
    into the base's context says nothing, and is counted (``unscored``).

    Args:
        held_out: feedback of people whose feedback trained nothing.
        golden: reference conversations that trained nothing; corpus rows, each a cluster of its own.
        samples: prompts that every voice answers, for people to read and for lengths.
        seed: of the answers.
        scorer: a reward model, where there is one, for the samples' answers.
    """
    asked = len(held_out)
    try:
        known = _seen(speaker, held_out, voices)
    except ShouldFixArgument:
        held_out = _scorable(speaker, held_out, voices.active)
        known = _seen(speaker, held_out, voices)
    effect = known["candidate"].said - known["placebo"].said
    over = known["candidate"].said - known["active"].said
    rejected = known["candidate"].rejected - known["placebo"].rejected

    def mean(name: str, values: Float, chosen: Sequence[int]) -> Estimate:
        people = [_person(held_out[i]) for i in chosen]
        return clustered_mean(name, values[list(chosen)], people, confidence)

    wanted = [i for i, row in enumerate(held_out) if row.liked is not False]
    disliked = [i for i, row in enumerate(held_out) if row.liked is False]
    pairs = [i for i in wanted if held_out[i].rejected is not None]
    by_task = _parted(wanted, [held_out[i].task for i in wanted], LearningTask)
    by_category = _parted(wanted, [held_out[i].category for i in wanted], Category)
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
        effect=mean("candidate - placebo", effect, wanted),
        over_active=mean("candidate - active", over, wanted),
        length_adjusted=clustered_intercept(
            "candidate - placebo at equal length",
            effect[wanted],
            known["candidate"].length[wanted][:, None] - own_length,
            [_person(held_out[i]) for i in wanted],
            confidence,
        ),
        golden=clustered_mean(
            "golden loss, candidate - active", forgot, [g.instance_id for g in golden], confidence
        ),
        by_category=tuple(mean(name, effect, own) for name, own in by_category.items()),
        perplexity={name: _perplexity(scores) for name, scores in losses.items()},
        length_ratio=_length_ratio(shown, confidence),
        samples=tuple(shown),
        reward=None if scorer is None else _reward(drawn, shown, confidence),
        unscored=asked - len(held_out),
        by_task=tuple(mean(name, effect, own) for name, own in by_task.items()),
        margin=mean("margin of pairs, candidate - placebo", effect - rejected, pairs)
        if pairs
        else None,
        disliked=mean("disliked, placebo - candidate", -effect, disliked) if disliked else None,
    )


def _seen(
    speaker: Speaker, rows: Sequence[TrainingDataInstance], voices: Voices
) -> dict[str, Measured]:
    return {name: likelihoods(speaker, rows, version) for name, version in voices.named.items()}


def _scorable(
    speaker: Speaker, rows: Sequence[TrainingDataInstance], adapter: str
) -> list[TrainingDataInstance]:
    """The rows that can be scored, found by halving."""
    try:
        likelihoods(speaker, rows, adapter)
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


def _person(row: TrainingDataInstance) -> str:
    return row.user_id or row.instance_id


def _parted(
    rows: Sequence[int], parts: Sequence[str], names: Iterable[str]
) -> Mapping[str, Sequence[int]]:
    """Part -> its rows, in the order of ``names``; parts without a row are left out."""
    own = {
        str(name): [row for row, part in zip(rows, parts, strict=True) if part == name]
        for name in names
    }
    return {name: of_it for name, of_it in own.items() if of_it}


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
        (sample.rewards["candidate"] - sample.rewards["placebo"], _person(row))
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
