"""Scarce corrections, asked for in other words.

What was *asked* is paraphrased; what the person wanted to read stays theirs to the letter, since it is
how they want to be spoken to that is learned. Each paraphrase says how it was made, names its parent,
and weighs half of it. There are at most ``augmented_share`` of them among the corrections, and none once
there are ``augment_below`` corrections.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from everloop.adaptation.paraphrase_check import is_paraphrase
from everloop.adaptation.paraphrase_rules import variants
from everloop.contracts.speaking import Speaker, SpeakRequest
from everloop.contracts.voice_spec import DataSpec, GenerationSpec
from everloop.contracts.voices import (
    LearningTask,
    Message,
    SourceType,
    TrainingDataInstance,
    instance_id_of,
)

HALF = 0.5
"""Of a parent's weight."""
BY_MODEL = "model"
_ASK = "Say this in other words. Keep its meaning, its names and its numbers:\n"
_MOST_WORDS = 60
"""Of a text that the model is asked to paraphrase."""
_MOST_ASKED = 64
"""Texts that the model is asked for in one build."""
_BATCH = 8
_QUOTES = " \t\"'“”‘’"


def is_correction(instance: TrainingDataInstance) -> bool:
    """Whether it is what a person would have wanted to read, in their own words."""
    return (
        instance.source_type is SourceType.FEEDBACK
        and instance.task is LearningTask.SFT
        and not instance.augmented
    )


def most_paraphrases(corrections: int, spec: DataSpec) -> int:
    """How many there may be: a / (a + n) at most ``augmented_share``, and a + n at most
    ``augment_below``."""
    room = max(0, spec.augment_below - corrections)
    if spec.augmented_share >= 1.0:
        return room if corrections else 0
    share = spec.augmented_share
    return min(room, int(corrections * share / (1.0 - share) + 1e-9))


def paraphrased(
    corrections: Sequence[TrainingDataInstance],
    spec: DataSpec,
    speaker: Speaker | None,
    seed: int,
) -> Iterator[TrainingDataInstance]:
    """Paraphrases of corrections, by rules first and then by the model: one of each correction, then the
    next of each; the same arguments give the same ones.

    Args:
        corrections: of people who train; others are passed over.
        speaker: its base is asked; None: by rules alone.
    """
    most = most_paraphrases(len(corrections), spec)
    if most == 0:
        return
    parents = [each for each in corrections if is_correction(each) and _is_asked(each)]
    random.Random(seed).shuffle(parents)
    made: set[str] = set()
    for one in _each_once(parents, speaker, seed):
        if one.instance_id not in made:
            made.add(one.instance_id)
            yield one
        if len(made) == most:
            return


def _each_once(
    parents: Sequence[TrainingDataInstance], speaker: Speaker | None, seed: int
) -> Iterator[TrainingDataInstance]:
    ways = [variants(parent.prompt[-1].content) for parent in parents]
    for turn in range(max(map(len, ways), default=0)):
        for parent, found in zip(parents, ways, strict=True):
            if turn < len(found):
                yield _child(parent, *found[turn])
    if speaker is not None:
        yield from _by_model(parents, speaker, seed)


def _by_model(
    parents: Iterable[TrainingDataInstance], speaker: Speaker, seed: int
) -> Iterator[TrainingDataInstance]:
    asked = [p for p in parents if len(p.prompt[-1].content.split()) <= _MOST_WORDS]
    for start in range(0, min(len(asked), _MOST_ASKED), _BATCH):
        batch = asked[start : min(start + _BATCH, _MOST_ASKED)]
        requests = [_request(parent, seed + start + n) for n, parent in enumerate(batch)]
        for parent, answer in zip(batch, speaker.answer(requests), strict=True):
            text = answer.text.strip(_QUOTES + "\n")
            if answer.ended and is_paraphrase(parent.prompt[-1].content, text):
                yield _child(parent, BY_MODEL, text)


def _request(parent: TrainingDataInstance, seed: int) -> SpeakRequest:
    text = parent.prompt[-1].content
    tokens = 16 + 3 * len(text.split())
    return SpeakRequest(
        (Message("user", _ASK + text),),
        seed=seed,
        generation=GenerationSpec(max_new_tokens=tokens, temperature=0.9),
    )


def _is_asked(instance: TrainingDataInstance) -> bool:
    return instance.prompt[-1].role == "user"


def _child(parent: TrainingDataInstance, way: str, text: str) -> TrainingDataInstance:
    prompt = (*parent.prompt[:-1], replace(parent.prompt[-1], content=text))
    return replace(
        parent,
        instance_id=instance_id_of(
            parent.tenant,
            parent.task,
            prompt,
            parent.completion,
            parent.rejected,
            parent.liked,
            parent.source_ids,
        ),
        prompt=prompt,
        weight=parent.weight * HALF,
        augmented=way,
        parent=parent.instance_id,
    )
