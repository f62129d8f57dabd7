"""The matched placebo: what training itself does, without what people said.

Training on a voice's own answers, cut to the lengths of the wanted ones, moves the same measures. What
counts is what a candidate does beyond that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from everloop.contracts.speaking import Speaker, SpeakRequest
from everloop.contracts.voice_spec import GenerationSpec
from everloop.contracts.voices import LearningTask, TrainingDataInstance, instance_id_of

_BATCH = 16


def placebo_of(
    instances: Sequence[TrainingDataInstance],
    speaker: Speaker,
    adapter: str,
    generation: GenerationSpec,
    seed: int,
) -> Iterator[TrainingDataInstance]:
    """The same rows with the voice's own words in the places of people's; rows of nobody stay.

    A completion becomes the voice's own answer to the prompt, cut to the wanted one's number of words; of
    a pair both texts do. Whether a thumb was up stays. Weights, prompts, order and categories are the same,
    so that the training takes the same steps at the same rates, on the same corpora.

    Args:
        adapter: version that speaks now; "" is the base alone.
        seed: of the draws; row i draws with seed + 2 i, its rejected text with seed + 2 i + 1.
    """
    for start in range(0, len(instances), _BATCH):
        batch = instances[start : start + _BATCH]
        first = seed + 2 * start
        people = [row for row in batch if row.user_id is not None]
        said = iter(_answers(people, speaker, adapter, generation, first))
        paired = [row for row in people if row.rejected is not None]
        again = iter(_answers(paired, speaker, adapter, generation, first + 1))
        for row in batch:
            if row.user_id is None:
                yield row
                continue
            completion = _cut(next(said), row.completion)
            rejected = None if row.rejected is None else _cut(next(again), row.rejected)
            if rejected == completion:
                rejected = f"{completion} …"
            yield _row(row, completion, rejected)


def _answers(
    rows: Sequence[TrainingDataInstance],
    speaker: Speaker,
    adapter: str,
    generation: GenerationSpec,
    seed: int,
) -> list[str]:
    requests = [
        SpeakRequest(row.prompt, adapter, seed + 2 * position, _enough(row, generation))
        for position, row in enumerate(rows)
    ]
    return [answer.text for answer in speaker.answer(requests)] if requests else []


def _enough(row: TrainingDataInstance, generation: GenerationSpec) -> GenerationSpec:
    """As many tokens as the wanted text can need, so that no time goes into what is cut off."""
    longest = max(len(row.completion), len(row.rejected or ""))
    wanted = min(generation.max_new_tokens, 8 + longest // 3)
    return generation.model_copy(update={"max_new_tokens": wanted})


def _cut(text: str, wanted: str) -> str:
    words = text.split()
    kept = " ".join(words[: max(1, len(wanted.split()))])
    return kept or "…"


def _row(row: TrainingDataInstance, completion: str, rejected: str | None) -> TrainingDataInstance:
    task: LearningTask = row.task
    return replace(
        row,
        instance_id=instance_id_of(
            row.tenant, task, row.prompt, completion, rejected, row.liked, row.source_ids
        ),
        completion=completion,
        rejected=rejected,
    )
