"""A night's pairing and emotion models: exported, measured, registered beside its policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from components._checkpoint import register_candidate
from components._deployment import begin_trial
from components._heads import FIGURES, export_and_measure, is_better_than_nothing
from components._private import FILE, NOTE
from components.export_heads import export_heads
from everloop import settings
from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.documents import read, sha256_of, write
from everloop.contracts.encoded_file import save_encoded
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.figures import HeadFigures, HeadModel, QualityFigures
from everloop.contracts.models import ModelType, Provenance
from everloop.contracts.rollouts import Deployment
from everloop.loops import load
from everloop.loops.sections import split
from everloop.registry import registration
from everloop.registry.promotion import promote
from everloop.wiring import Workspace, open_workspace
from rl.encoders import layout
from rl.policy_card import PolicyCard
from synthetic.user_model.file import save_user_model
from synthetic.user_model.linear import LinearUserModel
from synthetic.user_model.tonight import cold_model
from tests.made_policies import made_policy
from tests.unit.reporting import conftest as night

SPEC = load("companion")
PEOPLE, EACH = 60, 4


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workspace]:
    for name in (settings.HOME_VARIABLE, *settings.KEYS):
        monkeypatch.delenv(name, raising=False)
    settings.initialise(tmp_path / "w")
    opened = open_workspace(tmp_path / "w")
    yield opened
    opened.engine.dispose()


def log() -> EncodedEpisodes:
    """Held-out people who do everything, with rewards and signals at random."""
    rng, n = np.random.default_rng(8), PEOPLE * EACH
    known = layout(SPEC)
    interacting = np.zeros(known.width, dtype=np.bool_)
    interacting[known.of_kind("vector")[0].dimensions] = True
    return EncodedEpisodes(
        episode_id=np.array([str(row) for row in range(n)]),
        person=np.repeat(np.arange(PEOPLE), EACH),
        people=np.array([f"{p:064x}" for p in range(PEOPLE)]),
        context=rng.uniform(-0.9, 0.9, (n, known.width)).astype(np.float32),
        interacting=interacting,
        action=rng.integers(0, len(SPEC.actions), n),
        mask=np.ones((n, len(SPEC.actions)), dtype=np.bool_),
        propensity=np.full(n, 1.0 / len(SPEC.actions)),
        reward=rng.uniform(-1.0, 1.0, n),
        signals=rng.uniform(0.0, 1.0, (n, len(SPEC.signals))),
        holdout=np.ones(n, dtype=np.bool_),
        comparison=np.zeros(n, dtype=np.bool_),
        timestamp=np.arange(n, dtype=np.float64) * 3_600.0,
        encoder=known.encoder,
    )


def model(episodes: EncodedEpisodes) -> LinearUserModel:
    cold = cold_model(SPEC, episodes, layout(SPEC))
    drawn = np.random.default_rng(3).normal(0.0, 0.3, cold.parameters)
    found = cold.moved(cold.heads.flat + drawn)
    assert isinstance(found, LinearUserModel)
    found.facts = replace(found.facts, release_id="user-model-release")
    return found


def policy(folder: Path) -> Path:
    folder.mkdir()
    onnx = made_policy(SPEC, "companion-made", folder / "policy.onnx")
    (folder / "policy.safetensors").write_bytes(b"weights")
    needed = {
        field.name: 1
        for field in dataclasses.fields(PolicyCard)
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
    }
    wanted = {
        "version": "companion-made",
        "loop": SPEC.name,
        "encoder": layout(SPEC).encoder,
        "actions": SPEC.action_ids,
        "spec_sha256": SPEC.checksum,
        "user_model_release": "rel-user",
        "profiles_release": "rel-people",
        "weights_sha256": sha256_of(folder / "policy.safetensors"),
        "onnx_sha256": sha256_of(onnx),
        "torch_version": "2",
        "learner": "ppo",
        "provenance": Provenance.PRIVATE_RELEASE,
    }
    write(PolicyCard(**(needed | wanted)), folder / "policy.json")  # type: ignore[arg-type]
    return folder


def knowing(head: HeadModel, share: float = 0.9, error: float = 0.1) -> HeadModel:
    """The head with figures that a model which knows something would have."""
    told = {
        "pairing_accuracy": share,
        "pairing_majority_share": 0.6,
        "next_emotion_rmse": error,
        "next_emotion_unchanged_rmse": 0.2,
    }
    figures = tuple(
        replace(f, value=told[f.name], low=told[f.name] - 0.05, high=told[f.name] + 0.05)
        if f.name in told
        else f
        for f in head.figures
    )
    return replace(head, figures=figures)


@pytest.fixture
def artefacts(tmp_path: Path) -> tuple[Any, ...]:
    """What the register step is given, as its files."""
    episodes, heads = log(), tmp_path / "heads"
    measured = export_and_measure(SPEC, model(episodes), episodes, heads)
    good = replace(measured, models=tuple(knowing(head) for head in measured.models))
    write(good, heads / FIGURES)
    documents: dict[str, Any] = {
        "dataset": night.manifest("companion", 28, [350] * 28),
        "quality": QualityFigures((), ()),
        "evaluation": night.evaluation(),
        "comparison": night.comparison(),
        "verdict": night.verdict(),
    }
    for name, document in documents.items():
        write(document, tmp_path / name)
    for name in ("user", "people"):
        (tmp_path / name).mkdir()
        note = replace(night.note(name), release_id=f"rel-{name}")
        write(note, tmp_path / name / NOTE)
    policy(tmp_path / "policy")
    order = ("dataset", "user", "people", "quality", "policy")
    rest = ("evaluation", "comparison", "heads", "verdict")
    return tuple(SimpleNamespace(path=str(tmp_path / name)) for name in (*order, *rest))


def register(workspace: Workspace, artefacts: tuple[Any, ...], out: Path) -> None:
    register_candidate(SPEC, workspace, "default", "code", artefacts, out)


def rows(workspace: Workspace) -> dict[str, str]:
    """Kind -> id of everything registered."""
    found = workspace.registry.checkpoints("companion", "default")
    kinds = {row.model_type.value: row.checkpoint_id for row in found}
    assert len(kinds) == len(found)
    return kinds


def test_the_step_writes_both_models_and_their_figures(tmp_path: Path) -> None:
    episodes = log()
    made, sections = model(episodes), split(SPEC)
    save_user_model(tmp_path / "user_model" / FILE, made.features, made.weights, made.facts)
    save_encoded(episodes, tmp_path / "episodes")
    names = ("episodes", "user_model", "heads", "page", "metrics")
    export_heads.python_func(
        product=sections.product,
        privacy=sections.privacy,
        code="code",
        **{name: SimpleNamespace(path=str(tmp_path / name), metadata={}) for name in names},
    )
    found = read(HeadFigures, tmp_path / "heads" / FIGURES)
    assert [head.model_type for head in found.models] == ["pairing", "emotion"]
    for head in found.models:
        assert sha256_of(tmp_path / "heads" / head.file) == head.sha256
        assert head.version.startswith(f"companion-{head.model_type}-")
        assert head.error < 1e-5
    told = [{figure.name for figure in head.figures} for head in found.models]
    assert told[0] >= {"pairing_accuracy", "pairing_majority_share", "pairing_balanced_accuracy"}
    assert told[1] >= {"resonance_rmse", "next_emotion_rmse", "next_emotion_unchanged_rmse"}
    assert not told[0] & told[1]


def test_three_rows_of_one_night_serve_under_their_own_aliases(
    workspace: Workspace, artefacts: tuple[Any, ...], tmp_path: Path
) -> None:
    register(workspace, artefacts, tmp_path / "out")
    found = {r.model_type: r for r in workspace.registry.checkpoints("companion", "default")}
    assert set(found) == {ModelType.INTERVENTION, ModelType.PAIRING, ModelType.EMOTION}
    heads = {
        head.model_type: head
        for head in read(HeadFigures, Path(artefacts[7].path) / FIGURES).models
    }
    for kind in (ModelType.PAIRING, ModelType.EMOTION):
        row, head = found[kind], heads[kind.value]
        assert (row.weights_sha256, row.lineage["version"]) == (head.sha256, head.version)
        assert row.provenance is Provenance.PRIVATE_RELEASE
        assert row.verdict == found[ModelType.INTERVENTION].verdict == "continue"
        assert row.lineage["user_model_release"] == "rel-user"
        for figure in head.figures:
            assert row.performance_metrics[figure.name] == pytest.approx(figure.value)
            assert row.performance_metrics[f"{figure.name}_n"] == figure.n
    aliases = {"pairing": "active-pairing", "emotion": "active-emotion", "intervention": "active"}
    for kind, row in found.items():
        promote(
            row.checkpoint_id, workspace.registry, workspace.blobs, workspace.deployments, "better"
        )
        for other, alias in aliases.items():
            serving = workspace.registry.alias("companion", alias)[0]
            assert serving == row.checkpoint_id or other != kind.value
    assert len({workspace.registry.alias("companion", a)[0] for a in aliases.values()}) == 3


def trial_of(workspace: Workspace, artefacts: tuple[Any, ...], out: Path) -> Deployment:
    """Register a night and begin its trial; the manifest on trial."""
    register(workspace, artefacts, out)
    given = (artefacts[5], artefacts[8], SimpleNamespace(path=str(out)))
    record = begin_trial(SPEC, workspace, given, "companion 2026-03-11", datetime.now(UTC))
    assert record.state == "shadow"
    return workspace.deployments.deployment(record.deployment_id)


def test_the_heads_of_a_night_serve_with_its_policy_and_not_before(
    workspace: Workspace, artefacts: tuple[Any, ...], tmp_path: Path
) -> None:
    manifest = trial_of(workspace, artefacts, tmp_path / "out")
    made = rows(workspace)
    assert {part.role: part.artefact_id for part in manifest.artefacts} == {
        "policy": made["intervention"],
        "pairing": made["pairing"],
        "emotion": made["emotion"],
    }
    assert {part.encoder for part in manifest.artefacts} == {layout(SPEC).encoder}
    assert manifest.verdict is not None
    assert manifest.predicted is not None
    head = workspace.deployments.head("companion")
    assert head.serves == {}
    after = workspace.deployments.swap(manifest, head.revision, "promoted", "won", "a test")
    serves = {role: found.checkpoint_id for role, found in after.serves.items()}
    assert serves == {part.role: part.artefact_id for part in manifest.artefacts}


def test_a_held_head_leaves_the_candidate_with_what_serves(
    workspace: Workspace, artefacts: tuple[Any, ...], tmp_path: Path
) -> None:
    register(workspace, artefacts, tmp_path / "before")
    serving = rows(workspace)["pairing"]
    promote(serving, workspace.registry, workspace.blobs, workspace.deployments, "better")
    place = Path(artefacts[7].path) / FIGURES
    figures = read(HeadFigures, place)
    write(replace(figures, models=tuple(knowing(h, 0.5, 0.3) for h in figures.models)), place)
    manifest = trial_of(workspace, artefacts, tmp_path / "out")
    parts = {part.role: part.artefact_id for part in manifest.artefacts}
    assert set(parts) == {"policy", "pairing"}
    assert parts["pairing"] == serving


@pytest.mark.parametrize(("share", "error"), [(0.64, 0.16), (0.5, 0.3)])
def test_a_head_that_does_not_beat_what_needs_no_model_is_held(
    workspace: Workspace, artefacts: tuple[Any, ...], tmp_path: Path, share: float, error: float
) -> None:
    place = Path(artefacts[7].path) / FIGURES
    figures = read(HeadFigures, place)
    write(replace(figures, models=tuple(knowing(h, share, error) for h in figures.models)), place)
    register(workspace, artefacts, tmp_path / "out")
    found = {r.model_type: r for r in workspace.registry.checkpoints("companion", "default")}
    assert found[ModelType.INTERVENTION].verdict == "continue"
    for kind in (ModelType.PAIRING, ModelType.EMOTION):
        assert found[kind].verdict == "hold"
        with pytest.raises(ShouldFixArgument, match="held by the gate"):
            promote(
                found[kind].checkpoint_id,
                workspace.registry,
                workspace.blobs,
                workspace.deployments,
                "hope",
            )


def test_a_head_without_figures_is_held(artefacts: tuple[Any, ...]) -> None:
    for head in read(HeadFigures, Path(artefacts[7].path) / FIGURES).models:
        assert is_better_than_nothing(head)
        assert not is_better_than_nothing(replace(head, figures=()))


def test_registering_again_gives_the_same_rows(
    workspace: Workspace, artefacts: tuple[Any, ...], tmp_path: Path
) -> None:
    register(workspace, artefacts, tmp_path / "out")
    first = rows(workspace)
    register(workspace, artefacts, tmp_path / "again")
    assert rows(workspace) == first
    assert len(first) == 3


@pytest.mark.parametrize("survived", [0, 1, 2])
def test_a_killed_register_is_made_up_for(
    workspace: Workspace,
    artefacts: tuple[Any, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    survived: int,
) -> None:
    other = open_workspace(settings.initialise(tmp_path / "whole")[0].home)
    register(other, artefacts, tmp_path / "out")
    whole, real, done = rows(other), registration.checkpoint_id, []
    other.engine.dispose()

    def killed(*given: Any) -> str:
        if len(done) == survived:
            raise KeyboardInterrupt
        done.append(given)
        return real(*given)

    with monkeypatch.context() as patched:
        patched.setattr(registration, "checkpoint_id", killed)
        with pytest.raises(KeyboardInterrupt):
            register(workspace, artefacts, tmp_path / "killed")
    assert len(rows(workspace)) == survived
    register(workspace, artefacts, tmp_path / "repeated")
    assert rows(workspace) == whole
