"""Where a voice's steps train, and what they say of where they began."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from components import _voice_placing, _voice_training
from components._stage import Stage
from components._voice_evidence import run_evidence
from components._voice_models import ActiveVoice
from components._voice_placing import train_where_asked
from components._voice_registering import version_row
from components._voice_training import (
    candidate_or_refusal,
    train_candidate,
    train_placebo_for,
)
from everloop import settings
from everloop.adaptation.building import TRAIN_FILE
from everloop.adaptation.collected import collect
from everloop.adaptation.instance_file import read_instances, write_instances
from everloop.adaptation.training.job import TrainingJob
from everloop.contracts.documents import write
from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldProvideEngine,
    ShouldProvideKey,
    ShouldRetryLater,
    ShouldWaitForBudget,
)
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import Placement, PlacementSpec, VoicePrivacySpec
from everloop.contracts.voices import (
    AdapterFigures,
    RewardModelFigures,
    SignalVolume,
    Strategy,
    StrategyChoice,
)
from everloop.loops import load
from everloop.reporting.voice import render_voice, sentence_of, word_of
from everloop.wiring import Workspace, open_workspace
from tests.log_records import NOON
from tests.made_adapters import drawn_adapter
from tests.memory_voice_log import MemoryVoiceLog
from tests.voice_instances import pair, said, voice
from tests.voice_records import package

VOLUME = SignalVolume(0, 0, 16.0, 0.0, 0.0, 0.0, 0.0, 0, 6)
RUN = ("2026-03-28", "default", "code")
FOUND = AdapterFigures("base", "a" * 64, (), (), 0.5, 8)
TWO = PlacementSpec(where=Placement.ACCELERATE, processes=2)


def _spec(placement: PlacementSpec | None = None) -> LoopSpec:
    chosen = voice(batch_size=2, accumulation=4)
    if placement is not None:
        chosen = chosen.model_copy(update={"placement": placement})
    return load("companion").model_copy(update={"voice": chosen})


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    settings.initialise(tmp_path / "home")
    return open_workspace(tmp_path / "home")


def _inputs(folder: Path, *chosen: Strategy) -> tuple[Path, Path, Path]:
    data, strategy, scorer = folder / "data", folder / "strategy.json", folder / "scorer"
    for made in (data, scorer):
        made.mkdir(parents=True)
    write_instances([said(number) for number in range(4)], data / TRAIN_FILE)
    write(StrategyChoice(chosen or (Strategy.SFT,), {}, {}, VOLUME), strategy)
    write(RewardModelFigures("too few", "", None, 0, 0, 0, 0), scorer / "figures.json")
    return data, strategy, scorer


@pytest.fixture
def serving(monkeypatch: pytest.MonkeyPatch, tiny_voice: BaseFolder, tmp_path: Path) -> ActiveVoice:
    """An adapter that serves; the base is the tiny one."""
    active = ActiveVoice("serves", drawn_adapter(tmp_path / "serves", tiny_voice, 1))
    monkeypatch.setattr(_voice_training, "base_of", lambda *_: tiny_voice)
    monkeypatch.setattr(_voice_training, "active_voice", lambda *_: active)
    return active


def _noted(monkeypatch: pytest.MonkeyPatch, module: Any, name: str) -> list[Any]:
    seen: list[Any] = []

    def train(job: Any, *_: Any, **__: Any) -> AdapterFigures:
        seen.append(job)
        return FOUND

    monkeypatch.setattr(module, name, train)
    return seen


def test_a_training_says_which_adapter_it_went_on_from(
    monkeypatch: pytest.MonkeyPatch, place: Workspace, serving: ActiveVoice, tmp_path: Path
) -> None:
    jobs = _noted(monkeypatch, _voice_training, "train_where_asked")
    inputs = _inputs(tmp_path / "in")
    further = train_candidate(_spec(), place, RUN, inputs, tmp_path / "a")
    assert (further.continued_from, jobs[-1].start_from) == ("serves", serving.adapter)
    inputs = _inputs(tmp_path / "anew", Strategy.FULL_RETRAINING)
    anew = train_candidate(_spec(), place, RUN, inputs, tmp_path / "b")
    assert (anew.continued_from, jobs[-1].start_from) == ("", None)


def test_a_private_training_goes_on_from_no_texts(
    monkeypatch: pytest.MonkeyPatch, place: Workspace, serving: ActiveVoice, tmp_path: Path
) -> None:
    jobs = _noted(monkeypatch, _voice_training, "train_where_asked")
    private = voice().model_copy(update={"privacy": VoicePrivacySpec(epsilon=1.0)})
    spec = _spec().model_copy(update={"voice": private})
    found = train_candidate(spec, place, RUN, _inputs(tmp_path / "in"), tmp_path / "a")
    assert serving.adapter is not None
    assert (found.continued_from, jobs[-1].start_from) == ("", None)


@pytest.mark.parametrize("problem", [ShouldWaitForBudget, ShouldCollectMoreData])
def test_what_does_not_suffice_is_a_refusal_that_the_report_tells(
    monkeypatch: pytest.MonkeyPatch,
    place: Workspace,
    serving: ActiveVoice,
    tmp_path: Path,
    problem: type[Exception],
) -> None:
    def refuse(*_: Any, **__: Any) -> AdapterFigures:
        raise problem("2 of 6 people can afford it.", "Wait.")

    monkeypatch.setattr(_voice_training, "train_where_asked", refuse)
    told, inputs, out = Stage("train_adapter"), _inputs(tmp_path / "in"), tmp_path / "a"
    assert not candidate_or_refusal(told, _spec(), place, RUN, inputs, out)
    assert told.summary.startswith("refused: 2 of 6 people can afford it.")
    assert not (out / "figures.json").exists()
    # Texts of people stay in no folder that nobody comes back to.
    assert list((place.home / "training").iterdir()) == []
    known = collect(MemoryVoiceLog((), ()), "friend", "default", tmp_path / "collection")
    assert known.people == 0
    made = [SimpleNamespace(path=str(p)) for p in (tmp_path / "collection", inputs[1], out)]
    found = run_evidence(
        _spec(), RUN, (made[0], None, made[1], None, made[2], None, None, None, None, None, None)
    )
    assert found.training is None
    assert (word_of(found), "2 of 6 people" in sentence_of(found)) == ("Not trained", True)
    assert "Not trained" in render_voice(found)


def test_what_is_broken_is_no_refusal(
    monkeypatch: pytest.MonkeyPatch, place: Workspace, serving: ActiveVoice, tmp_path: Path
) -> None:
    def fail(*_: Any, **__: Any) -> AdapterFigures:
        raise ShouldFixArgument("broken", "Mend it.")

    monkeypatch.setattr(_voice_training, "train_where_asked", fail)
    with pytest.raises(ShouldFixArgument):
        candidate_or_refusal(
            Stage("train_adapter"), _spec(), place, RUN, _inputs(tmp_path / "in"), tmp_path / "a"
        )


def test_a_version_says_where_it_began_and_what_it_knew(tmp_path: Path) -> None:
    log = MemoryVoiceLog((), [package(1, received_at=NOON)])
    known = collect(log, "friend", "default", tmp_path / "out")
    row = ModelCheckpoint(
        *("c1", ModelType.ADAPTER, "companion", "url", "a" * 64, {}, NOON),
        *(Provenance.CONSENTED_TEXT, {}, "continue"),
    )
    begun = version_row(voice(), row, FOUND, known, [said(1)])
    assert (begun.continued_from, begun.data_until) == (None, NOON)
    assert begun.training_references == (said(1).instance_id,)
    further = replace(FOUND, continued_from="serves")
    assert version_row(voice(), row, further, known, ()).continued_from == "serves"


@pytest.mark.parametrize("train", [train_candidate, train_placebo_for])
def test_candidate_and_placebo_train_where_the_voice_says(
    monkeypatch: pytest.MonkeyPatch,
    place: Workspace,
    serving: ActiveVoice,
    tmp_path: Path,
    train: Callable[..., AdapterFigures],
) -> None:
    learned = [said(number, text="by itself") for number in range(3)]
    monkeypatch.setattr(_voice_training, "placebo_of", lambda *_: learned)
    rows: list[list[str]] = []

    def placed(job: TrainingJob, *_: Any) -> AdapterFigures:
        rows.append([row.completion for row in read_instances(job.instances)])
        assert job.spec.placement == TWO
        assert job.out.is_absolute()
        return FOUND

    monkeypatch.setattr(_voice_placing, "train_placed", placed)
    train(_spec(TWO), place, RUN, _inputs(tmp_path / "in"), tmp_path / "out")
    own = train is train_placebo_for
    assert rows == [[row.completion for row in (learned if own else map(said, range(4)))]]


def _job(base: BaseFolder, folder: Path, placement: PlacementSpec) -> TrainingJob:
    spec = voice(batch_size=2, accumulation=4).model_copy(update={"placement": placement})
    work = folder / "work"
    work.mkdir(parents=True)
    return TrainingJob(
        base=base,
        spec=spec,
        choice=StrategyChoice((Strategy.PREFERENCE_PAIRS,), {}, {}, VOLUME),
        instances=work / TRAIN_FILE,
        out=folder / "out",
        work=work,
        figures=work / "figures.json",
        seed=3,
    )


def _train(job: TrainingJob) -> AdapterFigures:
    rows = [pair(number) for number in range(16)]
    return train_where_asked(job, rows, None, lambda *_: None)


def test_the_cluster_is_the_one_that_the_environment_names(
    monkeypatch: pytest.MonkeyPatch, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    job = _job(tiny_voice, tmp_path, PlacementSpec(where=Placement.RAY, processes=2))
    monkeypatch.setenv("EVERLOOP_RAY_ADDRESS", "127.0.0.1:1")
    with pytest.raises(ShouldRetryLater, match=r"Nothing answers at 127\.0\.0\.1:1"):
        _train(job)
    monkeypatch.setenv("EVERLOOP_RAY_ADDRESS", "nowhere")
    with pytest.raises(ShouldFixArgument, match="no address of a Ray cluster"):
        _train(job)
    monkeypatch.setenv("EVERLOOP_RAY_ADDRESS", "127.0.0.1:1")
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "missing"))
    with pytest.raises(ShouldProvideKey, match="RAY_AUTH_TOKEN_PATH names"):
        _train(job)


def test_what_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    monkeypatch.setattr(_voice_placing, "find_spec", lambda _: None)
    with pytest.raises(ShouldProvideEngine, match="accelerate is not installed"):
        _train(_job(tiny_voice, tmp_path, TWO))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:::ray")
@pytest.mark.parametrize("where", [Placement.ACCELERATE, Placement.RAY])
def test_elsewhere_it_is_the_same_training(
    monkeypatch: pytest.MonkeyPatch, tiny_voice: BaseFolder, tmp_path: Path, where: Placement
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path.cwd()))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    here = _train(_job(tiny_voice, tmp_path / "here", PlacementSpec()))
    there = _train(_job(tiny_voice, tmp_path / "there", PlacementSpec(where=where)))
    assert [step.loss for step in there.steps] == pytest.approx(
        [step.loss for step in here.steps], rel=1e-3
    )
    assert (tmp_path / "there" / "out" / "adapter_model.safetensors").exists()
