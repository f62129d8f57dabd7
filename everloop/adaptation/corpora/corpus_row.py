"""One conversation of a corpus, and the training instance that it becomes."""

from __future__ import annotations

from dataclasses import dataclass

from everloop.adaptation.categorising import UNNAMED
from everloop.contracts.errors import ShouldFixInput
from everloop.contracts.voice_spec import Category, CorpusSpec
from everloop.contracts.voices import (
    LearningTask,
    Message,
    SourceType,
    TrainingDataInstance,
    instance_id_of,
)


@dataclass(frozen=True, slots=True)
class CorpusRow:
    """A conversation whose last turn is what the voice should say.

    Attributes:
        row_id: finds the row again in its corpus.
        turns: at least two, the last one the assistant's, the one before it not.
        category: None where the corpus names none.
        source: where the corpus has it from; "" where it does not say.

    Raises:
        ShouldFixInput: the turns are no conversation that ends with an answer.
    """

    row_id: str
    turns: tuple[Message, ...]
    category: Category | None = None
    source: str = ""

    def __post_init__(self) -> None:
        if any(not turn.content.strip() for turn in self.turns):
            raise ShouldFixInput(f"{self.row_id}: a turn is empty.", "Leave the row out.")
        if [turn.role for turn in self.turns[-2:]] not in (
            ["user", "assistant"],
            ["system", "assistant"],
        ):
            raise ShouldFixInput(
                f"{self.row_id}: it does not end with an answer to somebody's turn.",
                "End the conversation with one turn of the assistant.",
            )


def as_instance(row: CorpusRow, spec: CorpusSpec, tenant: str) -> TrainingDataInstance:
    """The training instance of a row; category and source are metadata and in no text."""
    prompt, completion = row.turns[:-1], row.turns[-1].content
    sources = (f"{spec.name}/{row.row_id}",)
    category = row.category or spec.category
    return TrainingDataInstance(
        instance_id=instance_id_of(
            tenant, LearningTask.SFT, prompt, completion, None, None, sources
        ),
        source_type=SourceType.CORPUS,
        source_ids=sources,
        task=LearningTask.SFT,
        prompt=prompt,
        completion=completion,
        category=category or Category.CONVERSATIONAL,
        metadata={
            "corpus": spec.name,
            "source": row.source or spec.source,
            "license": spec.license,
            **({} if category else UNNAMED),
        },
        tenant=tenant,
    )
