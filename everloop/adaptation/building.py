"""What people said, what they gave and public corpora become two files: to learn from and to judge by.

The collection is read a few times, a row at a time: for who is to be believed, for who is held out, for
who trains; once more each where more is there than will be drawn, and what may be drawn is looked at
closely alone. Held-out texts are known first, so that whatever nearly repeats one of them is not learned
from. Corpora are read once and come last, so that a person's own words are never left out for a corpus'.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from everloop.adaptation.admission import Admission
from everloop.adaptation.augmentation import is_correction, paraphrased
from everloop.adaptation.categorising import Classifier
from everloop.adaptation.collected import Collected
from everloop.adaptation.data_tally import DataTally
from everloop.adaptation.drawing import NOT_DRAWN, Kind, Shortlist, ahead
from everloop.adaptation.few_texts import FewTexts
from everloop.adaptation.filters import NearDuplicateFilter, Screen
from everloop.adaptation.instance_file import InstanceWriter, writing_instances
from everloop.adaptation.instances import Learned, Render, learned_of, no_system
from everloop.adaptation.limiting import limit
from everloop.adaptation.packages import learned_of_package
from everloop.adaptation.reliability import Reliability
from everloop.adaptation.reserved import Reserved
from everloop.adaptation.standing import Standings
from everloop.adaptation.tags import require_no_tags
from everloop.adaptation.taught import NOTHING, Taught
from everloop.adaptation.training.order import replayed_in
from everloop.contracts import documents
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.speaking import Speaker
from everloop.contracts.voice_ports import SpokenFeedback
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import DataFigures, TrainingDataInstance

TRAIN_FILE = "train.jsonl.zst"
HELD_OUT_FILE = "held_out.jsonl.zst"
FIGURES_FILE = "figures.json"

TOO_LONG = "too_long"

Group = tuple[TrainingDataInstance, ...]
Fits = Callable[[TrainingDataInstance], bool]
"""Whether all that an example wants said fits into what training reads at once and serving scores."""


def any_length(_: TrainingDataInstance) -> bool:
    """No example is too long."""
    return True


def build(
    spec: VoiceSpec,
    collected: Collected,
    *,
    corpora: Iterable[TrainingDataInstance],
    screen: Screen,
    near_duplicates: NearDuplicateFilter,
    speaker: Speaker | None,
    seed: int,
    out: Path,
    render: Render = no_system,
    fits: Fits = any_length,
    unlearned: Iterable[TrainingDataInstance] = (),
    classifier: Classifier | None = None,
    taught: Taught = NOTHING,
) -> DataFigures:
    """Write ``train.jsonl.zst``, ``held_out.jsonl.zst`` and ``figures.json`` into ``out``.

    Of each task ``max_examples`` are drawn, of the judging rows ``max_held_out``. The same arguments write
    the same bytes, as far as ``speaker`` answers the same. No text of any
    example holds a tag, an id, a pseudonym or metadata: one that does is left out (``tag``).

    Where the voice trains privately, what becomes of a person's rows follows from that person alone: texts
    are held against the same person's, nobody's rows are drawn or paraphrased because of how many others
    there are, weights follow nobody else, and what somebody said of another's conversation is left out
    (``of_another``). That includes held-out people, whose texts may then be taught in others' words.

    Args:
        corpora: examples of nobody in particular, failures of the sandbox among them; all train.
        near_duplicates: an empty one.
        speaker: its base paraphrases scarce corrections; None: rules alone do.
        render: what the product tells the voice before a conversation. An exemplar in it that is the
            answer to be learned would give that answer away.
        fits: what does not is left out on both sides (``too_long``), so that candidate and placebo see the
            same rows and all that judges can be scored.
        unlearned: what judges by its own words, the golden set among it: nothing nearly like it teaches
            (``golden``).
        classifier: names the category of what is drawn where nobody did; without it, and where the voice
            trains privately, that is conversational.
        taught: what was learned before: it is drawn for replay alone, and where there is room. Privately,
            it draws nothing.

    Raises:
        ShouldFixArgument: ``corpora`` holds an example of a person, who could not be held out.
        ShouldRestoreArtefact: the collection is damaged.
        ShouldFreeDisk: the disk is full.
    """
    jaccard, private = spec.data.near_duplicate_jaccard, spec.privacy.epsilon is not None
    builder = _Builder(
        spec,
        collected,
        Admission(screen, near_duplicates, (lambda: FewTexts(jaccard)) if private else None),
        Reserved(jaccard, unlearned),
        render,
        fits,
        seed,
        taught,
    )
    with (
        writing_instances(out / HELD_OUT_FILE) as held_out,
        writing_instances(out / TRAIN_FILE) as train,
    ):
        builder.write_held_out(held_out)
        corrections = builder.write_people(train)
        builder.write_corpora(corpora, train)
        builder.write_paraphrases(paraphrased(corrections, spec.data, speaker, seed), train)
    counted = builder.tally.figures(spec.data)
    named = None if private else classifier
    files = out / TRAIN_FILE, out / HELD_OUT_FILE
    replay = replayed_in(spec.phases)
    figures = limit(*files, counted, spec.data, seed, private, named, taught, replay)
    documents.write(figures, out / FIGURES_FILE)
    return figures


class _Builder:
    """One build's state: who is believed, what was admitted, what was counted."""

    def __init__(
        self,
        spec: VoiceSpec,
        collected: Collected,
        admission: Admission,
        reserved: Reserved,
        render: Render,
        fits: Fits,
        seed: int,
        taught: Taught,
    ) -> None:
        self._taught = taught
        self._spec, self._collected, self._seed = spec.data, collected, seed
        self._private = spec.privacy.epsilon is not None
        self._admission, self._reserved = admission, reserved
        self._render, self._fits = render, fits
        self._is_held_out = collected.judges(self._spec.held_out_share)
        # Who judges must not decide how much is learned from the others, nor the other way round.
        self._reliability = {side: Reliability(crowd=not self._private) for side in (True, False)}
        self._standings = Standings()
        for spoken in collected.feedback():
            self._reliability[self._is_held_out(spoken.feedback.user_id)].add(spoken)
            self._standings.add(spoken)
        self.tally = DataTally()

    def write_held_out(self, file: InstanceWriter) -> None:
        """What is fit of the people who judge; what they said twice judges twice. Nothing like anything
        that they said is learned from, whether it judges or not."""
        found = Counter[str]()
        for group in self._groups(held_out=True, tell=_nobody):
            self._admission.keep(group)
            if not self._private:
                self._reserved.keep(group)
        for group in self._shortlisted(True, self._spec.max_held_out, _task, found):
            if self._passes(group, self._admission.unfit(group)):
                found.update(map(_task, group))
                for instance in group:
                    file.write(_clean(instance))
                    self.tally.judges(instance)

    def write_people(self, file: InstanceWriter) -> list[TrainingDataInstance]:
        """What is fit and new of the others; the first corrections, as many as may be paraphrased."""
        corrections: list[TrainingDataInstance] = []
        most, found = None if self._private else self._spec.max_examples, Counter[str]()
        for group in self._shortlisted(False, most, self._lesson, found):
            if self._admits(group):
                found.update(map(self._lesson, group))
                self._teach(group, file)
                if not self._private and len(corrections) < self._spec.augment_below:
                    corrections += filter(is_correction, group)
        return corrections

    def write_corpora(self, corpora: Iterable[TrainingDataInstance], file: InstanceWriter) -> None:
        """What is fit and new."""
        most = self._spec.max_examples
        rows: Iterable[TrainingDataInstance] = map(_of_nobody, corpora)
        if most is not None:
            rows = ahead(rows, most, self._seed, self._left)
        for instance in rows:
            for group in self._fitting((instance,)):
                if self._admits(group):
                    self._teach(group, file)

    def write_paraphrases(
        self, paraphrases: Iterable[TrainingDataInstance], file: InstanceWriter
    ) -> None:
        """Everything fit whose words nobody used: a paraphrase is near its parent by its nature."""
        for instance in paraphrases:
            reason = self._admission.unfit((instance,)) or self._reserved.reason((instance,))
            if not reason and not self._fits(instance):
                reason = TOO_LONG
            if not reason and not self._admission.is_new(instance):
                reason = "near_duplicate"
            if self._passes((instance,), reason):
                self._teach((instance,), file)

    def _shortlisted(
        self, held_out: bool, most: int | None, kind: Kind, found: Counter[str]
    ) -> Iterator[Group]:
        """What fits of one side's groups; where at most so many are drawn (of each kind, or of all kinds of
        those who judge), of those alone that may be, until as many were ``found`` fit."""
        if most is None:
            for group in self._groups(held_out, self.tally.removed):
                yield from self._fitting(group)
            return
        listed, unseen = Shortlist(most, self._seed, kind, together=held_out), Counter[bool]()
        for number, group in enumerate(self._groups(held_out, self.tally.removed)):
            listed.add(number, group)
            unseen.update(map(self._taught.is_new, group))
        while numbers := listed.further(found):
            for number, group in enumerate(self._groups(held_out, _nobody)):
                if number in numbers:
                    unseen.subtract(map(self._taught.is_new, group))
                    yield from self._fitting(group)
        self._left(unseen.total())
        if not held_out:
            self.tally.unseen(unseen[True])

    def _left(self, rows: int) -> None:
        if rows:
            self.tally.removed(NOT_DRAWN, rows)

    def _groups(self, held_out: bool, tell: Callable[[str], None]) -> Iterator[Group]:
        """The examples of each source of the people on one side. A feedback's examples share their fate, a
        package's texts do not.

        Args:
            tell: why a source makes none.
        """
        for spoken in self._collected.feedback():
            if self._is_held_out(spoken.feedback.user_id) is held_out:
                learned = self._learned(spoken)
                if learned.reason:
                    tell(learned.reason)
                elif learned.instances:
                    yield learned.instances
        for package in self._collected.packages():
            if self._is_held_out(package.user_id) is held_out:
                weight = self._reliability[held_out].weight(package.user_id)
                learned = learned_of_package(package, weight)
                if learned.reason:
                    tell(learned.reason)
                for each in learned.instances:
                    yield (each,)

    def _learned(self, spoken: SpokenFeedback) -> Learned:
        """Who judges another's conversation teaches with the other's words: both must be on one side."""
        people = (spoken.feedback.user_id, spoken.interaction.user_id)
        if len({self._is_held_out(user_id) for user_id in people}) > 1:
            return Learned(reason="of_both_sides")
        if self._private and len(set(people)) > 1:
            return Learned(reason="of_another")
        reliability = self._reliability[self._is_held_out(spoken.feedback.user_id)]
        return learned_of(spoken, reliability, self._standings, self._render)

    def _lesson(self, instance: TrainingDataInstance) -> str:
        """Its task; what was learned before stands apart, so that it is in nobody's way."""
        return _task(instance) if self._taught.is_new(instance) else f"{_task(instance)} again"

    def _fitting(self, group: Group) -> Iterator[Group]:
        """What fits of a group, where something does."""
        short = tuple(instance for instance in group if self._fits(instance))
        if len(short) < len(group):
            self.tally.removed(TOO_LONG, len(group) - len(short))
        if short:
            yield short

    def _admits(self, group: Group) -> bool:
        return self._passes(
            group,
            self._admission.unfit(group)
            or self._reserved.reason(group)
            or self._admission.repeats(group),
        )

    def _passes(self, group: Group, reason: str) -> bool:
        if reason:
            self.tally.removed(reason, len(group))
        return not reason

    def _teach(self, group: Group, file: InstanceWriter) -> None:
        for instance in group:
            file.write(_clean(instance))
            self.tally.teaches(instance)


def _nobody(_: str) -> None:
    """It was told before."""


def _task(instance: TrainingDataInstance) -> str:
    return instance.task.value


def _of_nobody(instance: TrainingDataInstance) -> TrainingDataInstance:
    if instance.user_id is not None:
        raise ShouldFixArgument(
            f"Instance {instance.instance_id} among the corpora is of a person.",
            "Collect people's texts, so that they can be held out and leave.",
        )
    return instance


def _clean(instance: TrainingDataInstance) -> TrainingDataInstance:
    require_no_tags(instance)
    return instance
