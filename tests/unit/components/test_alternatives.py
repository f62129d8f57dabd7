"""A policy learned on the raw log is never a candidate: forged cards, swapped artifacts, other names."""

from __future__ import annotations

import dataclasses
import shutil
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

import components._alternatives as module
import rl.learners
from components._alternatives import NOTES, LearnedNote, entrants_of, learn_alternatives
from components._evaluation import candidates_so_far
from components._private import provenance_of
from everloop.contracts.documents import read, sha256_of, write
from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldRestoreArtefact,
)
from everloop.contracts.models import ModelType, Provenance
from everloop.contracts.policy_learning import REPORT_ONLY, LearnedPolicy, LearningTask
from rl.encoders.context import layout
from rl.off_policy.compare import compare
from rl.policy_card import PolicyCard
from tests.learning.worlds import loop_of
from tests.made_policies import made_policy

SPEC = loop_of(fields=2, actions=3, alternatives=("lin_ts", "raw_dr"))
PRIVATE, RAW = Provenance.PRIVATE_RELEASE, Provenance.RAW_LOG
RELEASES: Any = (SimpleNamespace(release_id="model"), SimpleNamespace(release_id="people"))


def policy(folder: Path, learner: str, provenance: Provenance, seed: int) -> Path:
    """A policy's folder as its learner writes it."""
    folder.mkdir(parents=True)
    bias = np.random.default_rng(seed).standard_normal(3)
    (folder / "policy.safetensors").write_bytes(save({"bias": bias}))
    digest = sha256_of(folder / "policy.safetensors")
    version = f"{SPEC.name}-{digest[:16]}"
    onnx = made_policy(
        SPEC,
        version,
        folder / "policy.onnx",
        bias=bias.tolist(),
        learner=learner,
        provenance=provenance,
    )
    private = provenance is PRIVATE
    wanted = {
        "version": version,
        "loop": SPEC.name,
        "encoder": layout(SPEC).encoder,
        "actions": SPEC.action_ids,
        "spec_sha256": SPEC.checksum,
        "user_model_release": "model" if private else "",
        "profiles_release": "people" if private else "",
        "weights_sha256": digest,
        "onnx_sha256": sha256_of(onnx),
        "torch_version": "2",
        "learner": learner,
        "provenance": provenance,
    }
    needed = {
        field.name: 1
        for field in dataclasses.fields(PolicyCard)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    write(PolicyCard(**(needed | wanted)), folder / "policy.json")  # type: ignore[arg-type]
    return folder


@dataclasses.dataclass(frozen=True)
class Night:
    ppo: Path
    alternatives: Path
    report_only: Path

    def entrants(self) -> Any:
        return entrants_of(SPEC, str(self.ppo), str(self.alternatives), str(self.report_only))


def noted(place: Path, learner: str) -> None:
    write((LearnedNote(learner, "v", 1.0, 1),), place / NOTES, tuple[LearnedNote, ...])


@pytest.fixture
def night(tmp_path: Path) -> Night:
    found = Night(tmp_path / "ppo", tmp_path / "alternatives", tmp_path / "report_only")
    policy(found.ppo, "ppo", PRIVATE, 1)
    policy(found.alternatives / "lin_ts", "lin_ts", PRIVATE, 2)
    policy(found.report_only / "raw_dr", "raw_dr", RAW, 3)
    noted(found.alternatives, "lin_ts")
    noted(found.report_only, "raw_dr")
    return found


def relabelled(folder: Path, **changes: Any) -> None:
    card = read(PolicyCard, folder / "policy.json")
    write(dataclasses.replace(card, **changes), folder / "policy.json")


def swapped(source: Path, target: Path) -> None:
    shutil.rmtree(target)
    shutil.copytree(source, target)


def test_what_a_policy_may_be_follows_from_where_it_lies(night: Night) -> None:
    found = [(e.learner, e.provenance, folder) for e, folder in night.entrants()]
    assert found == [
        ("ppo", PRIVATE, night.ppo),
        ("lin_ts", PRIVATE, night.alternatives / "lin_ts"),
        ("raw_dr", RAW, night.report_only / "raw_dr"),
    ]


def test_a_card_that_claims_private_releases_is_refused(night: Night) -> None:
    relabelled(night.report_only / "raw_dr", provenance=PRIVATE)
    with pytest.raises(ShouldRestoreArtefact, match="provenance raw_log"):
        night.entrants()


def test_the_raw_logs_files_in_a_deployable_place_are_refused(night: Night) -> None:
    swapped(night.report_only / "raw_dr", night.alternatives / "lin_ts")
    with pytest.raises(ShouldRestoreArtefact, match="learner lin_ts"):
        night.entrants()
    relabelled(night.alternatives / "lin_ts", learner="lin_ts", provenance=PRIVATE)
    with pytest.raises(ShouldRestoreArtefact, match="files say raw_dr"):
        night.entrants()


def test_the_two_artifacts_swapped_are_refused(night: Night) -> None:
    with pytest.raises(ShouldRestoreArtefact, match="provenance private_release"):
        entrants_of(SPEC, str(night.ppo), str(night.report_only), str(night.alternatives))


def test_raw_dr_in_the_deployable_artifact_is_refused_even_when_all_files_agree(
    night: Night,
) -> None:
    shutil.rmtree(night.alternatives / "lin_ts")
    policy(night.alternatives / "raw_dr", "raw_dr", PRIVATE, 4)
    noted(night.alternatives, "raw_dr")
    with pytest.raises(ShouldFixArgument, match="raw_dr is not deployable"):
        night.entrants()


def test_the_raw_logs_weights_under_another_name_are_refused(night: Night) -> None:
    """Every file forged: card, served form and place agree, but the weights are raw_dr's."""
    shutil.rmtree(night.alternatives / "lin_ts")
    policy(night.alternatives / "lin_ts", "lin_ts", PRIVATE, 3)
    entrants = [entrant for entrant, _ in night.entrants()]
    judging: Any = None  # nobody is judged before the entrants are checked
    with pytest.raises(ShouldFixArgument, match="lin_ts has the weights"):
        compare(judging, entrants)


@pytest.mark.parametrize("name", ["policy.onnx", "policy.safetensors"])
def test_another_learners_file_is_refused(night: Night, name: str) -> None:
    shutil.copyfile(night.report_only / "raw_dr" / name, night.alternatives / "lin_ts" / name)
    with pytest.raises(ShouldRestoreArtefact):
        night.entrants()


def test_the_gate_sees_through_a_forged_card(night: Night) -> None:
    raw = night.report_only / "raw_dr"
    assert provenance_of(str(night.ppo), RELEASES) is PRIVATE
    assert provenance_of(str(night.alternatives / "lin_ts"), RELEASES) is PRIVATE
    assert provenance_of(str(raw), RELEASES) is RAW
    relabelled(
        raw,
        provenance=PRIVATE,
        learner="ppo",
        user_model_release="model",
        profiles_release="people",
    )
    assert provenance_of(str(raw), RELEASES) is RAW
    shutil.copyfile(raw / "policy.onnx", night.ppo / "policy.onnx")
    with pytest.raises(ShouldRestoreArtefact):
        provenance_of(str(night.ppo), RELEASES)


def test_report_only_learners_are_those_that_learn_on_the_log() -> None:
    raw = {name for name, each in rl.learners.LEARNERS.items() if each.provenance is RAW}
    assert raw == REPORT_ONLY


@dataclasses.dataclass
class Recorded:
    """A learner that keeps what it was given."""

    name: str
    provenance: Provenance
    refuses: bool = False
    task: LearningTask | None = None

    def learn(self, task: LearningTask) -> LearnedPolicy:
        self.task = task
        if self.refuses:
            raise ShouldCollectMoreData("Too little.", "Collect more.")
        return LearnedPolicy(self.name, "v", task.workdir, self.provenance, 0.5, 7)


@pytest.mark.parametrize("refuses", [False, True])
def test_the_log_reaches_report_only_learners_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    private, raw = Recorded("lin_ts", PRIVATE), Recorded("raw_dr", RAW, refuses)
    monkeypatch.setattr(rl.learners, "LEARNERS", {"lin_ts": private, "raw_dr": raw})
    for name in ("released_file", "load_profiles"):
        monkeypatch.setattr(module, name, lambda path: path)
    monkeypatch.setattr(module, "load_user_model", lambda path, _: path)
    monkeypatch.setattr(module, "load_encoded", lambda path: f"log at {path}")
    places = tmp_path / "alternatives", tmp_path / "report_only"
    summary, _, metrics, _ = learn_alternatives(SPEC, "log", "model", "people", *places)
    assert private.task is not None
    assert raw.task is not None
    assert private.task.episodes is None
    assert str(raw.task.episodes) == "log at log"
    assert (private.task.workdir, raw.task.workdir) == (places[0] / "lin_ts", places[1] / "raw_dr")
    (note,) = read(tuple[LearnedNote, ...], places[1] / NOTES)
    assert bool(note.refusal) is refuses
    assert summary == ("1 learned: lin_ts" if refuses else "2 learned: lin_ts, raw_dr")
    assert ("cpu_seconds_raw_dr" in metrics) is not refuses


def test_a_night_may_learn_nothing_beside_ppo(
    night: Night, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = SPEC.model_copy(
        update={"training": SPEC.training.model_copy(update={"alternatives": ()})}
    )
    monkeypatch.setattr(module, "released_file", lambda path: path)
    monkeypatch.setattr(module, "load_profiles", lambda path: path)
    monkeypatch.setattr(module, "load_user_model", lambda path, _: path)
    monkeypatch.delattr(rl.learners, "LEARNERS")
    places = tmp_path / "alternatives", tmp_path / "report_only"
    summary, rows, metrics, _ = learn_alternatives(alone, "log", "model", "people", *places)
    assert (summary, list(rows), metrics) == ("none asked for", [], {})
    found = module.entrants_of(SPEC, str(night.ppo), *map(str, places))
    assert [entrant.learner for entrant, _ in found] == ["ppo"]


def test_every_policy_that_a_night_compared_counts_once_within_the_window() -> None:
    rows = [
        {"logical_date": "2026-03-01", "version": "a", "compared": "a b c"},
        {"logical_date": "2026-03-02", "version": "b", "compared": "b d"},
        {"logical_date": "2026-02-27", "version": "e"},
        {"logical_date": "2026-02-01", "version": "old", "compared": "old older"},
        {"logical_date": "2026-03-09", "version": "later", "compared": "later latest"},
    ]
    checkpoints = [SimpleNamespace(lineage=row, model_type=ModelType.INTERVENTION) for row in rows]
    head = {"logical_date": "2026-03-01", "version": "emotion-a"}
    checkpoints.append(SimpleNamespace(lineage=head, model_type=ModelType.EMOTION))
    place: Any = SimpleNamespace(
        registry=SimpleNamespace(checkpoints=lambda loop, tenant: checkpoints)
    )
    # a, b, c, d and e, which an older record names alone; of tonight's only f is new
    assert candidates_so_far(place, SPEC, "t", date(2026, 3, 3), {"f", "a"}) == 6
