"""Preferences and thumbs in which one way of speaking is planted: warm answers are wanted."""

from __future__ import annotations

from everloop.contracts.voice_spec import (
    BaseSpec,
    CurriculumSpec,
    LoraSpec,
    PhaseSpec,
    PreferenceSpec,
    VoiceSpec,
)
from everloop.contracts.voices import (
    LearningTask,
    Message,
    SourceType,
    TrainingDataInstance,
    instance_id_of,
)

TOPICS = ("the walk", "work", "my sister", "the garden", "an egg", "the report", "the city", "tea")


def asked(number: int) -> tuple[Message, ...]:
    """The prompt of an instance."""
    return (Message("user", f"{number}: tell me about {TOPICS[number % len(TOPICS)]}"),)


def warm(number: int) -> str:
    """What is wanted."""
    return f"thank you, I am well, and {TOPICS[number % len(TOPICS)]} is fine"


def curt(number: int) -> str:
    """What is not."""
    return f"no. {TOPICS[number % len(TOPICS)]} was hard"


def pair(number: int, weight: float = 1.0, person: str = "") -> TrainingDataInstance:
    """A preference for the warm answer."""
    prompt, source = asked(number), (f"f{number}",)
    task = LearningTask.PREFERENCE
    return TrainingDataInstance(
        instance_id_of("default", task, prompt, warm(number), curt(number), None, source),
        SourceType.FEEDBACK,
        source,
        task,
        prompt,
        warm(number),
        rejected=curt(number),
        user_id=person or f"person-{number % 6}",
        weight=weight,
    )


def thumb(number: int, liked: bool, weight: float = 1.0) -> TrainingDataInstance:
    """A thumb: up for a warm answer, down for a curt one."""
    prompt, source = asked(number), (f"t{number}",)
    text = warm(number) if liked else curt(number)
    return TrainingDataInstance(
        instance_id_of("default", LearningTask.THUMB, prompt, text, None, liked, source),
        SourceType.FEEDBACK,
        source,
        LearningTask.THUMB,
        prompt,
        text,
        liked=liked,
        user_id=f"person-{number % 6}",
        weight=weight,
    )


def said(number: int, person: str = "", text: str = "") -> TrainingDataInstance:
    """A correction: what should have been said."""
    prompt, source = asked(number), (f"c{number}",)
    text = text or warm(number)
    return TrainingDataInstance(
        instance_id_of("default", LearningTask.SFT, prompt, text, None, None, source),
        SourceType.FEEDBACK,
        source,
        LearningTask.SFT,
        prompt,
        text,
        user_id=person or f"person-{number % 6}",
    )


def voice(
    preference: PreferenceSpec | None = None, batch_size: int = 4, accumulation: int = 2
) -> VoiceSpec:
    """A voice on the tiny base whose adapter learns quickly."""
    return VoiceSpec(
        persona="warm",
        base=BaseSpec(name="tiny-llama", source="/nowhere", license="Apache-2.0"),
        lora=LoraSpec(r=4, alpha=8),
        preference=preference or PreferenceSpec(learning_rate=5e-3),
        curriculum=CurriculumSpec(
            phases=(PhaseSpec(name="feedback", learning_rate=1e-3),),
            batch_size=batch_size,
            accumulation=accumulation,
        ),
    )
