"""Praised and corrected answers that the prompts of the people who gave them show at once."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from everloop.adaptation.collected import Collected, read_collected
from everloop.adaptation.instances import learned_of
from everloop.adaptation.reliability import Reliability
from everloop.adaptation.screens.screen import VoiceScreen
from everloop.adaptation.standing import Standings
from everloop.contracts.feedback import FeedbackSource
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.personas import Exemplar
from everloop.contracts.voice_ports import SpokenFeedback
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import LearningTask
from everloop.loops.sections import voice_of
from everloop.persona.exemplars import KEPT, with_exemplar
from everloop.persona.revisions import revised
from everloop.wiring import Workspace

_REASON = "An answer that this person praised or corrected."
_TRAIN = "train"


def show_exemplars(spec: LoopSpec, workspace: Workspace, tenant: str, collection: Path) -> int:
    """Put each person's newest praised or corrected answers into that person's own persona graph.

    Nobody else's prompt changes: what one person likes was tried on nobody else. Left out are disputed,
    contradicted and quarantined feedback, people who judge, who refuse training by now or were erased, and
    whatever the data's screen keeps out. A second time it changes nothing, also where it was undone.

    Returns:
        How many exemplars are new.
    """
    voice, screen, new = voice_of(spec), None, 0
    for person, rows in _newest(voice, read_collected(collection)).items():
        if _refuses(workspace, tenant, person):
            continue
        stored = workspace.feedback.interactions([log for _, log in rows], tenant)
        for exemplar, log_id in rows:
            cause = exemplar.source_id
            if log_id not in stored or workspace.personas.caused_by(
                voice.persona, cause, person, tenant
            ):
                continue
            screen = screen or VoiceScreen(voice.data)
            if screen.reason((exemplar.asked, exemplar.answered)):
                continue
            change = partial(with_exemplar, exemplar=exemplar)
            now = datetime.now(UTC)
            revised(workspace.personas, voice, change, cause, _REASON, now, person, tenant)
            new += 1
    return new


def _newest(voice: VoiceSpec, collected: Collected) -> Mapping[str, deque[tuple[Exemplar, str]]]:
    """Person who trains -> the last exemplars that they gave, oldest first, each with its log's id."""
    reliability, standings = Reliability(), Standings()
    for spoken in collected.feedback():
        reliability.add(spoken)
        standings.add(spoken)
    judges = collected.judges(voice.data.held_out_share)
    found: dict[str, deque[tuple[Exemplar, str]]] = defaultdict(lambda: deque(maxlen=KEPT))
    for spoken in collected.feedback():
        person = spoken.feedback.user_id
        if judges(person):
            continue
        exemplar = _exemplar(spoken, reliability, standings)
        if exemplar is not None:
            found[person].append((exemplar, spoken.interaction.log_id))
    return found


def _exemplar(
    spoken: SpokenFeedback, reliability: Reliability, standings: Standings
) -> Exemplar | None:
    said = spoken.feedback
    if said.source is FeedbackSource.IMPLICIT:
        return None
    for instance in learned_of(spoken, reliability, standings).instances:
        liked = instance.task is LearningTask.THUMB and instance.liked
        if liked or instance.task is LearningTask.SFT:
            asked = instance.prompt[-1].content
            return Exemplar(asked, instance.completion, said.feedback_id, said.user_id)
    return None


def _refuses(workspace: Workspace, tenant: str, person: str) -> bool:
    """Whether the person's newest word on training is no; the collection may be older than that."""
    said = [each for each in workspace.log.consents(person, tenant) if each.purpose == _TRAIN]
    return bool(said) and not max(said, key=lambda each: each.recorded_at).granted
