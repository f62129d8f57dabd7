"""The matched placebo: what training itself does, without what people said.

Training on a voice's own answers, as long as the wanted ones, moves the same measures. What counts is what
a candidate does beyond that.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from everloop.contracts.speaking import Speaker, SpeakRequest
from everloop.contracts.voice_spec import GenerationSpec
from everloop.contracts.voices import LearningTask, Message, TrainingDataInstance, instance_id_of

_WINDOW, _TOGETHER = 256, 32
"""Rows among which answers of like length are looked for, and answers that are asked for at once."""
_DRAWS = 3
"""Answers that are joined where one is too short; what is still missing is said again."""
_SILENCE = "…"
Length = Callable[[str], int]


def words_of(text: str) -> int:
    """How many words a text has."""
    return len(text.split())


def placebo_of(
    instances: Sequence[TrainingDataInstance],
    speaker: Speaker,
    adapter: str,
    generation: GenerationSpec,
    seed: int,
    length: Length = words_of,
    tasks: Collection[LearningTask] = frozenset(LearningTask),
    on_answers: Callable[[int], None] = lambda _: None,
) -> Iterator[TrainingDataInstance]:
    """The same rows with the voice's own words in the places of people's; rows of nobody stay.

    A completion becomes the voice's own answer to the prompt, as long as the wanted one; of a pair both
    texts do. Whether a thumb was up stays. Weights, prompts, order and categories are the same, so that the
    training takes the same steps at the same rates, on the same corpora.

    An answer that ends too early is joined with up to two more draws, and then repeated; what is too long
    is cut after the last word with which it is not longer than the wanted text.

    Args:
        adapter: version that speaks now; "" is the base alone.
        generation: how it is drawn; the wanted length takes the place of ``max_new_tokens``.
        seed: of the draws, every one of which has its own.
        length: of a text, in tokens of the base or in words.
        tasks: what the training learns from; rows of other tasks, which it passes over, stay.
        on_answers: told how many answers have come since it was told last.
    """
    voice = _Voice(speaker, adapter, generation, length, on_answers)
    for start in range(0, len(instances), _WINDOW):
        rows = instances[start : start + _WINDOW]
        own = [row.user_id is not None and row.task in tasks for row in rows]
        wanted = {
            (at, chosen): (row.prompt, text)
            for at, row in enumerate(rows)
            if own[at]
            for chosen, text in ((True, row.completion), (False, row.rejected))
            if text is not None
        }
        answers = voice.says(list(wanted.values()), seed + 2 * _DRAWS * start)
        said = dict(zip(wanted, answers, strict=True))
        for at, row in enumerate(rows):
            yield _row(row, said[at, True], said.get((at, False))) if own[at] else row


@dataclass(frozen=True, slots=True)
class _Voice:
    """What speaks, and how its texts are measured."""

    speaker: Speaker
    adapter: str
    generation: GenerationSpec
    length: Length
    on_answers: Callable[[int], None]

    def says(self, wanted: Sequence[tuple[tuple[Message, ...], str]], seed: int) -> list[str]:
        """Its own texts in answer to the prompts, as long as the wanted ones."""
        lengths = [self.length(text) for _, text in wanted]
        texts = [""] * len(wanted)
        # Without a temperature every draw is the same one.
        for draw in range(_DRAWS if self.generation.temperature > 0.0 else 1):
            short = [at for at, text in enumerate(texts) if self.length(text) < lengths[at]]
            if not short:
                break
            # Those of one batch go on for as long as the longest does.
            short.sort(key=lambda at: lengths[at] - self.length(texts[at]))
            for start in range(0, len(short), _TOGETHER):
                part = short[start : start + _TOGETHER]
                requests = [
                    SpeakRequest(
                        wanted[at][0],
                        self.adapter,
                        seed + _DRAWS * at + draw,
                        self._enough(lengths[at] - self.length(texts[at])),
                    )
                    for at in part
                ]
                for at, answer in zip(part, self.speaker.answer(requests), strict=True):
                    texts[at] = f"{texts[at]} {answer.text}".strip()
                self.on_answers(len(part))
        return [self._cut(text, most) for text, most in zip(texts, lengths, strict=True)]

    def _enough(self, missing: int) -> GenerationSpec:
        """A few tokens more than are missing, since a cut is at a word's end."""
        return self.generation.model_copy(update={"max_new_tokens": missing + 8})

    def _cut(self, text: str, most: int) -> str:
        words = text.split() or [_SILENCE]
        while self.length(" ".join(words)) < most:
            words += words
        low, high = 1, len(words)
        while low < high:
            middle = (low + high + 1) // 2
            fits = self.length(" ".join(words[:middle])) <= most
            low, high = (middle, high) if fits else (low, middle - 1)
        return " ".join(words[:low])


def _row(row: TrainingDataInstance, completion: str, rejected: str | None) -> TrainingDataInstance:
    if rejected == completion:
        rejected = f"{completion} …"
    task: LearningTask = row.task
    return replace(
        row,
        instance_id=instance_id_of(
            row.tenant, task, row.prompt, completion, rejected, row.liked, row.source_ids
        ),
        completion=completion,
        rejected=rejected,
    )
