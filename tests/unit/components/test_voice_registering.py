"""What a registered voice's files tell of the people that it learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components._voice_models import ADAPTER, FIGURES
from components._voice_persona import collect_voice
from components._voice_registering import register_candidate_voice
from everloop import settings
from everloop.adaptation.building import TRAIN_FILE
from everloop.adaptation.instance_file import write_instances
from everloop.contracts.documents import write
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, CheckStatus, Decision, Verdict
from everloop.contracts.models import ModelCheckpoint, Provenance
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voices import (
    AdapterFigures,
    RewardModelFigures,
    SignalVolume,
    Strategy,
    StrategyChoice,
    TrainingDataInstance,
)
from everloop.trust.voice_card import public_voice_card
from everloop.wiring import Workspace, open_workspace
from tests import made_voices as made
from tests.made_adapters import drawn_adapter
from tests.voice_instances import pair, said, thumb

RUN = ("2026-03-28", "default", "code")
WEIGHTS = {"adapter_config.json", "adapter_model.safetensors"}


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    settings.initialise(tmp_path / "home")
    return open_workspace(tmp_path / "home")


def _inputs(folder: Path, base: BaseFolder, people: int, **trained: Any) -> tuple[Path, ...]:
    """What the steps before leave, with every figure that follows from how many people there are."""
    names = (
        "collection",
        "data",
        "strategy",
        "scorer",
        "adapter",
        "measure",
        "findings",
        "verdict",
    )
    paths = {name: folder / name for name in names}
    for name in ("data", "scorer", "adapter"):
        paths[name].mkdir(parents=True)
    rows = [said(number, f"{number:064x}") for number in range(people)]
    write_instances(rows, paths["data"] / TRAIN_FILE)
    write(made.data(rows_in=people + 3, rows_out=people, people=people), paths["data"] / FIGURES)
    volume = SignalVolume(0, 0, float(people), 0.0, 0.0, 0.0, 0.0, 0, people)
    write(StrategyChoice((Strategy.SFT,), {}, {}, volume), paths["strategy"])
    write(RewardModelFigures("too few", "", None, 0, 0, 0, 0), paths["scorer"] / FIGURES)
    adapter = drawn_adapter(paths["adapter"] / ADAPTER, base, 1)
    phase = made.phase("private", method="dp_sft", examples=people, tokens=31 * people)
    figures = made.training(adapter.sha256, phases=(phase,), **trained)
    write(figures, paths["adapter"] / FIGURES)
    effect = made.estimate("candidate - placebo", people / 1_000, n=4 * people)
    write(made.comparison(effect=effect), paths["measure"])
    write(made.sandbox(), paths["findings"])
    held = (Check("data", CheckStatus.FAILED, f"{people} people."),)
    write(Verdict(Decision.HOLD, held), paths["verdict"])
    return tuple(paths[name] for name in names)


def _registered(
    place: Workspace, base: BaseFolder, folder: Path, people: int, **trained: Any
) -> ModelCheckpoint:
    inputs = _inputs(folder, base, people, **trained)
    collect_voice(made.spec(), place, "default", inputs[0])
    return register_candidate_voice(made.spec(), place, RUN, inputs, folder / "out")


def test_a_private_releases_files_do_not_count_its_people(
    place: Workspace, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    released = {"epsilon": 1.0, "delta": 1e-5, "release_id": "r" * 64}
    one, other = (
        _registered(place, tiny_voice, tmp_path / str(people), people, **released)
        for people in (30, 31)
    )
    assert one.provenance is Provenance.PRIVATE_RELEASE
    assert one.files.keys() == WEIGHTS | {"model_card_public.md"}
    assert one.files == other.files
    # Operators find what was counted and measured in the run's folder.
    assert "30 people" in (tmp_path / "30" / "out" / "model_card.md").read_text()
    card = (tmp_path / "30" / "out" / "model_card_public.md").read_text()
    for told in ("epsilon = 1 at delta = 1e-05", "r" * 64, one.lineage["version"], "noisy steps"):
        assert told in card, told
    for inside in ("dataset", "data", "persona", "strategy"):
        assert one.lineage[inside]
        assert f"| {inside} |" not in card, inside


def test_a_voice_that_is_no_release_keeps_its_operators_card(
    place: Workspace, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    row = _registered(place, tiny_voice, tmp_path / "plain", 30)
    assert row.provenance is Provenance.CONSENTED_TEXT
    assert row.files.keys() == WEIGHTS | {"model_card.md", "figures.json"}


def test_what_no_training_read_is_no_reference(
    place: Workspace, tiny_voice: BaseFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A night of corrections leaves thumbs and pairs to be learned by a later one."""
    stored: dict[str, list[TrainingDataInstance]] = {}
    monkeypatch.setattr(
        type(place.voices),
        "add_instances",
        lambda _, rows, name: stored.setdefault(name, []).extend(rows),
    )
    inputs = _inputs(tmp_path, tiny_voice, 3)
    rows = [said(1), pair(2), thumb(3, True), thumb(4, False)]
    write_instances(rows, inputs[1] / TRAIN_FILE)
    collect_voice(made.spec(), place, "default", inputs[0])
    row = register_candidate_voice(made.spec(), place, RUN, inputs, tmp_path / "out")
    assert stored[row.checkpoint_id] == [said(1)]


@pytest.mark.parametrize("lacks", [{"epsilon": None}, {"release_id": ""}])
def test_only_a_release_has_a_card_for_everyone(lacks: dict[str, Any]) -> None:
    spec, training = made.spec(), made.training(epsilon=1.0, delta=1e-5, release_id="r")
    assert spec.voice is not None
    figures: AdapterFigures = replace(training, **lacks)
    with pytest.raises(ShouldFixArgument, match="was not trained privately"):
        public_voice_card(spec, spec.voice, version="v", lineage={}, training=figures)
