"""Which rows a voice's candidate and its placebo learn from: what is new, and a share of what is not."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components._voice_models import ActiveVoice
from everloop.adaptation.instance_file import read_instances
from everloop.adaptation.taught import Taught, taught_by
from everloop.adaptation.training.models import load_tokenizer
from everloop.adaptation.training.order import replayed_of
from everloop.adaptation.training.readable import readable
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voices import LearningTask, TrainingDataInstance
from everloop.loops.sections import voice_of
from everloop.wiring import Workspace

Rows = tuple[TrainingDataInstance, ...]


@dataclass(frozen=True, slots=True)
class NightRows:
    """``new``: what is to be learned; ``earlier``: what was learned before, as much as may be replayed."""

    new: Rows
    earlier: Rows = ()


def rows_of(
    spec: LoopSpec,
    workspace: Workspace,
    run: tuple[str, str, str],
    base: BaseFolder,
    start: ActiveVoice,
    file: Path,
) -> NightRows:
    """The rows of a file that can be rendered, parted by what the starting adapter learned before.

    All are new where it begins anew, and where it learns privately: a release is of everybody's texts, and
    its steps are fixed.

    Args:
        run: logical date, tenant, code.
        start: where the training begins.
    """
    voice = voice_of(spec)
    rows = readable(read_instances(file), voice, load_tokenizer(base), base.context_tokens)
    if not start.checkpoint_id or voice.privacy.epsilon is not None:
        return NightRows(tuple(rows))
    known = taught_to(workspace, voice.persona, start.checkpoint_id, run[1])
    new: list[TrainingDataInstance] = []
    old: list[TrainingDataInstance] = []
    for row in rows:
        (new if known.is_new(row) else old).append(row)
    return NightRows(tuple(new), _drawn(old, new, spec, run[0]))


def taught_to(workspace: Workspace, persona: str, model_id: str, tenant: str) -> Taught:
    """What a version learned, and those that it went on from: a night's references name what that night
    could learn."""
    versions = workspace.voices.versions(persona, tenant=tenant, references=False)
    before = {version.model_id: version.continued_from for version in versions}

    def learned() -> Iterator[TrainingDataInstance]:
        told, each = set[str](), model_id
        while each and each not in told:
            told.add(each)
            yield from workspace.voices.instances(each, tenant)
            each = before.get(each) or ""

    return taught_by(learned())


def _drawn(
    old: list[TrainingDataInstance], new: list[TrainingDataInstance], spec: LoopSpec, date: str
) -> Rows:
    """As many as all phases together can replay, others every date."""
    phases = voice_of(spec).phases
    taught = sum(row.task is LearningTask.SFT for row in new)
    most = len(phases.phases) * replayed_of(taught, phases.replay_share)
    drawn = sorted(
        (row for row in old if row.task is LearningTask.SFT),
        key=lambda row: hashlib.sha256(f"{date} {row.instance_id}".encode()).digest(),
    )
    return tuple(drawn[:most])
