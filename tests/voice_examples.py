"""Training instances, made where a test needs some."""

from __future__ import annotations

from collections.abc import Sequence

from everloop.contracts.voice_spec import (
    BaseSpec,
    Category,
    CurriculumSpec,
    LoraSpec,
    PhaseSpec,
    VoiceSpec,
)
from everloop.contracts.voices import (
    LearningTask,
    Message,
    SourceType,
    TrainingDataInstance,
    instance_id_of,
)


def correction(
    asked: str,
    said: str,
    category: Category = Category.CONVERSATIONAL,
    weight: float = 1.0,
    user: str = "u",
) -> TrainingDataInstance:
    """What somebody should have been answered."""
    prompt = (Message("system", "You are a companion."), Message("user", asked))
    sources = (f"feedback of {asked}",)
    task = LearningTask.SFT
    return TrainingDataInstance(
        instance_id=instance_id_of("default", task, prompt, said, None, None, sources),
        source_type=SourceType.FEEDBACK,
        source_ids=sources,
        task=task,
        prompt=prompt,
        completion=said,
        user_id=user,
        weight=weight,
        category=category,
    )


def corrections(
    count: int, category: Category = Category.CONVERSATIONAL
) -> list[TrainingDataInstance]:
    """So many, of one to three sentences."""
    return [
        correction(
            f"How is day {number} of {category.value}?",
            "I am well, thank you. " * (1 + number % 3),
            category,
        )
        for number in range(count)
    ]


def voice(phases: Sequence[PhaseSpec] | None = None, **more: object) -> VoiceSpec:
    """A voice on the tiny base; a curriculum of its own where phases are given, with ``more`` in it."""
    base = BaseSpec(name="tiny-llama", source="drawn", license="Apache-2.0")
    lora = LoraSpec(r=8, alpha=16)
    if phases is None:
        return VoiceSpec(persona="companion", base=base, lora=lora)
    curriculum = CurriculumSpec.model_validate({"phases": tuple(phases), **more})
    return VoiceSpec(persona="companion", base=base, lora=lora, curriculum=curriculum)
