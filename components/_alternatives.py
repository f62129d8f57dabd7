"""What is learned beside PPO, in two artifacts: what may be shipped, and what is only reported."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components._pages import Told
from components._private import released_file
from everloop.contracts.documents import read, sha256_of, write
from everloop.contracts.encoded_file import load_encoded
from everloop.contracts.errors import ShouldCollectMoreData, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import Provenance
from everloop.contracts.policy_learning import (
    DEFAULT_LEARNER,
    REPORT_ONLY,
    LearningTask,
    PolicyLearner,
)
from rl.off_policy.compare import Entrant
from rl.policy_card import PolicyCard
from rl.runtime import load_policy
from synthetic.profiles import load_profiles
from synthetic.user_model import load_user_model

NOTES = "learned.json"


@dataclass(frozen=True, slots=True)
class LearnedNote:
    """One alternative: its version and cost, or why there is none."""

    learner: str
    version: str
    cpu_seconds: float
    steps: int
    refusal: str = ""


def learn_alternatives(
    spec: LoopSpec,
    episodes: str,
    user_model: str,
    profiles: str,
    deployable: Path,
    report_only: Path,
) -> Told:
    """Learn ``training.alternatives``, each into a folder of its name in the artifact it belongs to.

    Only learners that need the log are given it, and what they learn goes into ``report_only``.
    """
    model = load_user_model(released_file(user_model), spec)
    people = load_profiles(released_file(profiles))
    notes: dict[Path, list[LearnedNote]] = {deployable: [], report_only: []}
    for name in spec.training.alternatives:
        # loads torch, which the steps after this one do without, and a night without alternatives too
        from rl.learners import LEARNERS

        learner = LEARNERS[name]
        raw = learner.provenance is Provenance.RAW_LOG
        place = report_only if raw else deployable
        log = load_encoded(episodes) if raw else None
        task = LearningTask(spec, model, people, spec.training.seed, place / name, log)
        notes[place].append(_learned(learner, task))
        print(f"@progress {name}: {notes[place][-1].version or 'refused'}", flush=True)
    for place, found in notes.items():
        write(tuple(found), place / NOTES, tuple[LearnedNote, ...])
    return _told([*notes[deployable], *notes[report_only]])


def _learned(learner: PolicyLearner, task: LearningTask) -> LearnedNote:
    try:
        made = learner.learn(task)
    except ShouldCollectMoreData as problem:
        # a figure for the report must not end a night that could ship a policy
        return LearnedNote(learner.name, "", 0.0, 0, str(problem))
    return LearnedNote(learner.name, made.version, made.cpu_seconds, made.steps)


def _told(notes: Sequence[LearnedNote]) -> Told:
    rows = [
        (
            note.learner + (", report only" if note.learner in REPORT_ONLY else ""),
            note.refusal
            or f"{note.version}, {note.cpu_seconds:.1f} CPU s, {note.steps:,} simulated decisions",
        )
        for note in notes
    ]
    learned = [note for note in notes if not note.refusal]
    names = ", ".join(note.learner for note in learned)
    summary = f"{len(learned)} learned: {names}" if learned else "none asked for"
    metrics = {f"cpu_seconds_{note.learner}": note.cpu_seconds for note in learned}
    return summary, rows, metrics, ()


def entrants_of(
    spec: LoopSpec, policy: str, alternatives: str, report_only: str
) -> tuple[tuple[Entrant, Path], ...]:
    """Every policy of the night with its folder, PPO first; what is deployable follows from its place.

    Raises:
        ShouldRestoreArtefact: a folder's files do not belong together, are another learner's, or say
            that they were learned from something else than their place allows.
    """
    private, raw = Provenance.PRIVATE_RELEASE, Provenance.RAW_LOG
    places = [(Path(policy), DEFAULT_LEARNER, private)]
    for artefact, provenance in ((alternatives, private), (report_only, raw)):
        notes = read(tuple[LearnedNote, ...], Path(artefact) / NOTES)
        places += [(Path(artefact) / n.learner, n.learner, provenance) for n in notes if n.version]
    return tuple(
        (entrant(spec, folder, learner, provenance), folder)
        for folder, learner, provenance in places
    )


def entrant(spec: LoopSpec, folder: Path, learner: str, provenance: Provenance) -> Entrant:
    """A policy whose card, weights and served form agree on whose it is and what it was made from."""
    card = read(PolicyCard, folder / "policy.json")
    policy = load_policy(folder / "policy.onnx", card.onnx_sha256, spec)
    weights = sha256_of(folder / "policy.safetensors")
    wanted = {
        "learner": (learner, (card.learner, policy.learner)),
        "provenance": (provenance.value, (card.provenance.value, policy.provenance.value)),
        "weights": (card.weights_sha256, (weights,)),
        "version": (f"{spec.name}-{weights[:16]}", (card.version, policy.version)),
    }
    for what, (expected, found) in wanted.items():
        strange = next((value for value in found if value != expected), None)
        if strange is not None:
            raise ShouldRestoreArtefact(
                f"{folder} should hold a policy of {what} {expected}, but its files say {strange}.",
                "Rerun train_policy and train_alternatives.",
            )
    return Entrant(learner, policy, provenance)
