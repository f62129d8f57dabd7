"""Pairs and thumbs as what preference tuning reads, and the method that fits what there is.

Weights are divided by their mean, so that they say who counts more and never how long a step is. For
thumbs the rarer kind weighs more, so that both together weigh the same (Ethayarajh et al., "KTO: model
alignment as prospect theoretic optimization", ICML 2024, section 4.2).
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from everloop.adaptation.training.log_probabilities import TokenSequence
from everloop.adaptation.training.rendering import Renderer
from everloop.contracts.errors import ShouldCollectMoreData, ShouldFixArgument
from everloop.contracts.voice_spec import PreferenceMethod, VoiceSpec
from everloop.contracts.voices import LearningTask, TrainingDataInstance


@dataclass(frozen=True, slots=True)
class MethodChoice:
    """How preferences are learned from, and why."""

    method: PreferenceMethod
    reason: str


@dataclass(frozen=True, slots=True)
class PairExample:
    """One preference; ``weight`` has mean 1 over the examples."""

    chosen: TokenSequence
    rejected: TokenSequence
    weight: float


@dataclass(frozen=True, slots=True)
class ThumbExample:
    """One answer that was liked or not. ``mismatched``: the prompt with another prompt's answer, from
    which the divergence from the reference is estimated."""

    said: TokenSequence
    mismatched: TokenSequence
    liked: bool
    weight: float


def choose_method(
    spec: VoiceSpec,
    instances: Sequence[TrainingDataInstance],
    chosen: PreferenceMethod | None = None,
) -> MethodChoice:
    """The configured method, or for ``auto`` the one that there is enough for.

    Args:
        chosen: DPO or KTO, where the strategy has chosen already; the configured method and the amounts
            decide nothing then.

    Raises:
        ShouldCollectMoreData: there is nothing that the method could learn from.
        ShouldFixArgument: the method is ``none``, or an on-policy one, which
            ``on_policy.tune_on_policy`` is for.
    """
    pairs = [i.weight for i in instances if i.task is LearningTask.PREFERENCE]
    thumbs = [i for i in instances if i.task is LearningTask.THUMB]
    both = {i.liked for i in thumbs} == {True, False}
    method, need = chosen or spec.preference.method, spec.strategy
    if method in (PreferenceMethod.NONE, PreferenceMethod.RLOO, PreferenceMethod.GRPO):
        raise ShouldFixArgument(
            f"preference.method={method.value} does not learn from pairs or thumbs.",
            "Set it to auto, dpo or kto.",
        )
    wants_pairs = method is PreferenceMethod.DPO
    if method is PreferenceMethod.AUTO:
        enough_pairs = sum(pairs) >= need.pairs_from
        enough_thumbs = both and sum(i.weight for i in thumbs) >= need.thumbs_from
        wants_pairs = bool(pairs) and (enough_pairs or not enough_thumbs)
    there = (
        f"{len(pairs)} pairs (effective {sum(pairs):.1f} of {need.pairs_from}) and {len(thumbs)} thumbs "
        f"(effective {sum(i.weight for i in thumbs):.1f} of {need.thumbs_from})"
    )
    taken = PreferenceMethod.DPO if wants_pairs else PreferenceMethod.KTO
    if pairs if wants_pairs else both:
        by = method.value if chosen is None else "the strategy"
        return MethodChoice(taken, f"{by} takes {taken.value}: there are {there}.")
    raise ShouldCollectMoreData(
        f"preference.method={method.value} has nothing to learn from: there are {there}; thumbs of both "
        f"kinds: {'yes' if both else 'no'}.",
        "Collect comparisons, or thumbs up and down.",
    )


def pair_examples(
    instances: Sequence[TrainingDataInstance], renderer: Renderer
) -> tuple[PairExample, ...]:
    """One example for each preference among the instances that can be rendered, in their order.

    Raises:
        ShouldCollectMoreData: none can.
    """
    found = []
    for instance in instances:
        if instance.task is LearningTask.PREFERENCE:
            chosen = sequence_of(instance, instance.completion, renderer)
            rejected = sequence_of(instance, instance.rejected or "", renderer)
            if chosen is not None and rejected is not None:
                found.append((chosen, rejected, instance.weight))
    mean = _mean([weight for *_, weight in found], "pairs", renderer)
    return tuple(
        _same_prompt(chosen, rejected, weight / mean) for chosen, rejected, weight in found
    )


def thumb_examples(
    instances: Sequence[TrainingDataInstance], renderer: Renderer, seed: int
) -> tuple[ThumbExample, ...]:
    """One example for each thumb that can be rendered, mismatched with another's answer by ``seed``.

    Raises:
        ShouldCollectMoreData: they are all of one kind, or there are none.
    """
    thumbs = [i for i in instances if i.task is LearningTask.THUMB]
    random.Random(seed).shuffle(thumbs)
    found = []
    for row, instance in enumerate(thumbs):
        other = thumbs[(row + 1) % len(thumbs)]
        said = sequence_of(instance, instance.completion, renderer)
        mismatched = sequence_of(instance, other.completion, renderer)
        if said is not None and mismatched is not None:
            found.append((said, mismatched, bool(instance.liked), instance.weight))
    up = sum(weight for *_, liked, weight in found if liked)
    down = sum(weight for *_, liked, weight in found if not liked)
    if not up or not down:
        raise ShouldCollectMoreData(
            f"{len(found)} thumbs are all of one kind.", "Collect thumbs of both kinds."
        )
    balance = {True: max(up, down) / up, False: max(up, down) / down}
    weights = [weight * balance[liked] for *_, liked, weight in found]
    mean = _mean(weights, "thumbs", renderer)
    return tuple(
        ThumbExample(said, mismatched, liked, weight / mean)
        for (said, mismatched, liked, _), weight in zip(found, weights, strict=True)
    )


def sequence_of(
    instance: TrainingDataInstance, answer: str, renderer: Renderer
) -> TokenSequence | None:
    """The instance's prompt with an answer, in tokens; None where it cannot be rendered."""
    if not answer.strip():
        return None
    row = renderer.row(
        replace(instance, task=LearningTask.SFT, completion=answer, rejected=None, liked=None)
    )
    if row is None:
        return None
    start = len(row.input_ids) - len(row.completion)
    return TokenSequence(tuple(row.input_ids[:start]), tuple(row.completion))


def _same_prompt(chosen: TokenSequence, rejected: TokenSequence, weight: float) -> PairExample:
    # The longer answer leaves a long prompt less room: both are read after what fits before it.
    prompt = max(chosen, rejected, key=lambda said: len(said.completion)).prompt
    return PairExample(replace(chosen, prompt=prompt), replace(rejected, prompt=prompt), weight)


def _mean(weights: Sequence[float], what: str, renderer: Renderer) -> float:
    if not weights:
        raise ShouldCollectMoreData(
            f"No {what} can be rendered: {dict(renderer.left_out)} were left out.",
            "Raise the curriculum's max_length, or collect more.",
        )
    return sum(weights) / len(weights)
