"""Feedback as examples to learn from.

===================================  ======================================================================
correction                           the wanted text after what was said (supervised), and the wanted text
                                     preferred to the one shown (preference)
comparison                           chosen preferred to rejected, where it gives both texts
thumb, clear rating, named praise    the answer liked, or not (thumb)
named complaint                      the answer not liked; where the same person corrected the answer, the
                                     correction's pair carries the complaint's id, too
free text                            what its interpretations say: praise or a complaint as above
everything else                      nothing: voice adjustments, replies, behaviour, surveys
===================================  ======================================================================

An example's weight is source weight x confidence x quality x its person's reliability x its standing, with
quality 1 where a reviewer released it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from everloop.adaptation.categorising import UNNAMED
from everloop.adaptation.conversations import answered, asked
from everloop.adaptation.reliability import Reliability
from everloop.adaptation.standing import Standings
from everloop.adaptation.verdicts import pair_of, quality_of, teaches, verdict_of
from everloop.contracts.feedback import (
    FeedbackInstance,
    FeedbackType,
    OutputType,
    TargetElement,
)
from everloop.contracts.voice_ports import SpokenFeedback
from everloop.contracts.voice_spec import Category
from everloop.contracts.voices import (
    LearningTask,
    Message,
    SourceType,
    TrainingDataInstance,
    instance_id_of,
)

Render = Callable[[SpokenFeedback], tuple[Message, ...]]
"""The system turns that a feedback's conversation begins with."""
_CATEGORIES = {category.value: category for category in Category}


def no_system(_: SpokenFeedback) -> tuple[Message, ...]:
    """No system turn."""
    return ()


@dataclass(frozen=True, slots=True)
class Learned:
    """What became of one feedback. ``reason``: why it teaches nothing; "" where it made instances."""

    instances: tuple[TrainingDataInstance, ...] = ()
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Lesson:
    task: LearningTask
    completion: str
    rejected: str | None = None
    liked: bool | None = None


def learned_of(
    spoken: SpokenFeedback,
    reliability: Reliability,
    standings: Standings,
    render: Render = no_system,
) -> Learned:
    """The examples of one feedback, or why there is none.

    Reasons: ``disputed``; ``not_accepted`` (its status does not let it teach); ``contradicted``,
    ``superseded`` and ``told_by_correction`` (see ``standing``); ``says_nothing`` (its type or value
    teaches nothing); ``no_text`` (nothing was said to the voice, or answered); ``no_weight``.
    """
    said = spoken.feedback
    standing = standings.of(said.feedback_id)
    lessons, prompt = tuple(_lessons(spoken)), asked(spoken.interaction)
    own = said.weight * said.confidence * quality_of(said)
    weight = own * reliability.weight(said.user_id) * standing.factor
    reasons = {
        "disputed": spoken.disputed,
        "not_accepted": not teaches(said),
        standing.reason: bool(standing.reason),
        "says_nothing": not lessons,
        "no_text": not prompt or not all(lesson.completion for lesson in lessons),
        "no_weight": weight <= 0.0,
    }
    for reason, applies in reasons.items():
        if applies:
            return Learned(reason=reason)
    sources = (said.feedback_id, *standing.also)
    whole = (*render(spoken), *prompt)
    return Learned(tuple(_instance(spoken, each, whole, sources, weight) for each in lessons))


def _lessons(spoken: SpokenFeedback) -> Iterator[_Lesson]:
    said, shown = spoken.feedback, answered(spoken.interaction)
    if (
        said.target_element is TargetElement.VOICE
        or spoken.interaction.output_type is OutputType.ACTION
    ):
        return
    if said.feedback_type is FeedbackType.CORRECTION:
        yield from _corrected(said, shown)
    elif said.feedback_type is FeedbackType.COMPARISON:
        pair = pair_of(said)
        if pair is not None:
            yield _Lesson(LearningTask.PREFERENCE, pair[0], rejected=pair[1])
    else:
        liked = verdict_of(said)
        if liked is not None:
            yield _Lesson(LearningTask.THUMB, shown, liked=liked)


def _corrected(said: FeedbackInstance, shown: str) -> Iterator[_Lesson]:
    pair = pair_of(said)
    whole = said.target_element is TargetElement.ENTIRE_RESPONSE
    # A corrected part that the answer does not hold is no answer by itself.
    if pair is None or not (whole or pair[1] == shown):
        return
    yield _Lesson(LearningTask.SFT, pair[0])
    if shown and shown != pair[0]:
        yield _Lesson(LearningTask.PREFERENCE, pair[0], rejected=shown)


def _instance(
    spoken: SpokenFeedback,
    lesson: _Lesson,
    prompt: tuple[Message, ...],
    sources: tuple[str, ...],
    weight: float,
) -> TrainingDataInstance:
    said = spoken.feedback
    return TrainingDataInstance(
        instance_id=instance_id_of(
            said.tenant,
            lesson.task,
            prompt,
            lesson.completion,
            lesson.rejected,
            lesson.liked,
            sources,
        ),
        source_type=SourceType.FEEDBACK,
        source_ids=sources,
        task=lesson.task,
        prompt=prompt,
        completion=lesson.completion,
        rejected=lesson.rejected,
        liked=lesson.liked,
        user_id=said.user_id,
        weight=weight,
        category=_CATEGORIES.get(said.task_type, Category.CONVERSATIONAL),
        metadata={
            "feedback_type": said.feedback_type.value,
            "model_version": said.model_version,
            **({} if said.task_type in _CATEGORIES else UNNAMED),
        },
        tenant=said.tenant,
    )
