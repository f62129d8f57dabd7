"""How a private release is published by its step: the file and its note, or a reasoned refusal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from components._stage import Stage
from everloop.contracts.documents import read, write
from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldRestoreArtefact,
    ShouldWaitForBudget,
)
from everloop.contracts.models import Provenance
from everloop.contracts.policy_learning import REPORT_ONLY
from everloop.contracts.privacy import ReleaseNote
from everloop.privacy.plan import USER_MODEL
from everloop.reporting.wording import plural, release_figure
from rl.policy_card import PolicyCard
from rl.runtime import load_policy

NOTE = "note.json"
REFUSAL = "refusal.json"
FILE = "release.safetensors"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a stage made nothing, in words."""

    stage: str
    reason: str


def publish_release(
    told: Stage, path: str, make: Callable[[Path], tuple[Path, ReleaseNote]]
) -> bool:
    """Make a release in the artifact's folder; False when budget or data do not allow one.

    Args:
        told: the step's page and summary.
        path: the artifact's folder.
        make: makes the release in the folder it is given; (its file, its note).
    """
    folder = Path(path)
    folder.mkdir(parents=True, exist_ok=True)
    try:
        file, note = make(folder)
    except (ShouldWaitForBudget, ShouldCollectMoreData) as problem:
        reason = str(problem)
        write(Refusal(told.title, reason), folder / REFUSAL)
        told.says(f"refused: {reason}", metrics={"released": 0.0})
        return False
    if file.name != FILE:
        file.replace(folder / FILE)
    write(note, folder / NOTE)
    told.says(_summary(note), _rows(note), _metrics(note))
    return True


def released_file(path: str) -> Path:
    """The release's file within an artifact's folder; ``ShouldRestoreArtefact`` if there is none."""
    file = Path(path) / FILE
    if not file.exists():
        raise ShouldRestoreArtefact(f"{path} holds no release.", "Rerun the stage that makes it.")
    return file


def released_note(path: str) -> ReleaseNote:
    """The note beside a release."""
    return read(ReleaseNote, Path(path) / NOTE)


def refusal_of(path: str) -> Refusal | None:
    """The refusal that an artifact's folder holds instead of a release."""
    file = Path(path) / REFUSAL
    return read(Refusal, file) if file.exists() else None


def provenance_of(policy: str, notes: Sequence[ReleaseNote]) -> Provenance:
    """``private_release`` only if card and served form both say so and name exactly these releases.

    Raises:
        ShouldRestoreArtefact: the served form is not the one that the card was written for.
    """
    card = read(PolicyCard, Path(policy) / "policy.json")
    served = load_policy(Path(policy) / "policy.onnx", card.onnx_sha256)
    named = {card.user_model_release, card.profiles_release}
    learners = {card.learner, served.learner}
    made = (
        named == {note.release_id for note in notes}
        and {card.provenance, served.provenance} == {Provenance.PRIVATE_RELEASE}
        and len(learners) == 1
        and not learners & REPORT_ONLY
    )
    return Provenance.PRIVATE_RELEASE if made else Provenance.RAW_LOG


def _summary(note: ReleaseNote) -> str:
    if note.reused:
        return f"reused: {note.reused}"
    told = (
        f"ε = {note.epsilon:.3g} tonight at δ = {note.delta:g}, {note.people:,} people, "
        f"{note.parameters:,} parameters"
    )
    # after the user model the night goes on to spend, so only what is left after it is told
    if note.stage == USER_MODEL:
        return told
    return f"{told}, {plural(note.budget.nights_left, 'night')} left"


def _rows(note: ReleaseNote) -> tuple[tuple[str, str], ...]:
    budget = note.budget
    fitted = (release_figure(name, value) for name, value in note.metrics.items())
    return (
        ("release", note.release_id),
        ("new or reused", note.reused or "new"),
        ("mechanism", ", ".join(f"{name} {value}" for name, value in note.mechanism.items())),
        ("privacy loss of this release", f"ε = {note.epsilon:.4g} at δ = {note.delta:g}"),
        ("people who took part", f"{note.people:,}"),
        ("parameters", f"{note.parameters:,}"),
        (
            "budget",
            f"ε = {budget.epsilon_period:.4g} of {budget.epsilon_budget:g} spent in "
            f"{budget.period_days} days; {budget.epsilon_since_first_seen:.4g} since first seen",
        ),
        *((f"fit: {name}", value) for name, value in fitted),
        *(("warning", text) for text in note.warnings),
    )


def _metrics(note: ReleaseNote) -> dict[str, float]:
    return {
        "released": float(note.released),
        "epsilon": note.epsilon,
        "people": float(note.people),
        "parameters": float(note.parameters),
        "epsilon_period": note.budget.epsilon_period,
        "nights_left": float(note.budget.nights_left),
    }
