"""What a night learns anew, and what it replays of earlier ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from components import _voice_training
from components._voice_models import ActiveVoice
from components._voice_rows import NightRows, rows_of
from components._voice_training import train_candidate, train_placebo_for
from everloop import settings
from everloop.adaptation.building import TRAIN_FILE
from everloop.adaptation.instance_file import write_instances
from everloop.contracts.documents import write
from everloop.contracts.evaluation import Check
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import Provenance
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voice_spec import VoicePrivacySpec
from everloop.contracts.voices import (
    AdapterFigures,
    Message,
    RewardModelFigures,
    SignalVolume,
    SourceType,
    Strategy,
    StrategyChoice,
    TrainingDataInstance,
)
from everloop.gates.voice import VoiceEvidence, decide_voice
from everloop.loops import load
from everloop.wiring import Workspace, open_workspace
from tests.made_adapters import drawn_adapter
from tests.voice_instances import pair, said, thumb, voice

RUN = ("2026-03-28", "default", "code")
NEXT = ("2026-03-29", "default", "code")
LONG = "a word " * 400


def _spec(epsilon: float | None = None) -> LoopSpec:
    chosen = voice(batch_size=4, accumulation=1).model_copy(
        update={"privacy": VoicePrivacySpec(epsilon=epsilon)}
    )
    return load("companion").model_copy(update={"voice": chosen})


def _knowing(*learned: TrainingDataInstance) -> Workspace:
    def instances(model_id: str, _: str) -> Iterator[TrainingDataInstance]:
        return iter(learned if model_id == "serves" else ())

    def versions(*_: object, **__: object) -> tuple[object, ...]:
        return (SimpleNamespace(model_id="serves", continued_from=None),)

    return cast(
        "Workspace", SimpleNamespace(voices=SimpleNamespace(instances=instances, versions=versions))
    )


def _rows(
    base: BaseFolder,
    folder: Path,
    rows: Sequence[TrainingDataInstance],
    known: Workspace,
    start: ActiveVoice,
    spec: LoopSpec | None = None,
    run: tuple[str, str, str] = RUN,
) -> NightRows:
    write_instances(rows, folder / TRAIN_FILE)
    return rows_of(spec or _spec(), known, run, base, start, folder / TRAIN_FILE)


SERVES = ActiveVoice("serves")


def test_what_was_learned_before_is_replayed_and_no_more(
    tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    old = [said(number) for number in range(30)]
    # The turn that the service begins with has moved since, and with it every row's id.
    turn = Message("system", "You are kind.")
    moved = [
        replace(row, instance_id=f"{n:064x}", prompt=(turn, *row.prompt))
        for n, row in enumerate(old)
    ]
    new = [said(number) for number in range(30, 48)]
    corpus = replace(said(60), source_type=SourceType.CORPUS, user_id=None)
    given = [*moved, pair(100), thumb(100, True), corpus, *new, pair(200), thumb(201, False)]
    known = _knowing(*old, pair(100), thumb(100, True))
    found = _rows(tiny_voice, tmp_path, given, known, SERVES)
    assert list(found.new) == [*new, pair(200), thumb(201, False)]
    # Two rows beside eighteen are a tenth; which two is another matter every date.
    assert len(found.earlier) == 2
    assert all(row in (*moved, corpus) for row in found.earlier)
    again = _rows(tiny_voice, tmp_path, given, known, SERVES)
    assert again == found
    later = _rows(tiny_voice, tmp_path, given, known, SERVES, run=NEXT)
    assert later.new == found.new
    assert later.earlier != found.earlier


def test_what_the_versions_before_learned_is_not_new(
    tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    """Each names what its own night could learn, and a correction's pair is no completion."""
    learned = {"serves": [said(0), pair(7)], "first": [said(1)], "other": [said(2)]}
    before = {"serves": "first", "first": "serves", "other": None}
    versions = tuple(
        SimpleNamespace(model_id=name, continued_from=known) for name, known in before.items()
    )
    voices = SimpleNamespace(
        instances=lambda model_id, _: iter(learned[model_id]), versions=lambda *_, **__: versions
    )
    known = cast("Workspace", SimpleNamespace(voices=voices))
    completion = replace(said(7), source_ids=pair(7).source_ids)
    given = [said(0), said(1), said(2), pair(7), completion]
    found = _rows(tiny_voice, tmp_path, given, known, SERVES)
    assert list(found.new) == [said(2), completion]


@pytest.mark.parametrize(
    ("start", "epsilon"), [(ActiveVoice(), None), (SERVES, 1.0), (ActiveVoice(), 1.0)]
)
def test_anew_everything_is_new(
    tiny_voice: BaseFolder, tmp_path: Path, start: ActiveVoice, epsilon: float | None
) -> None:
    rows = [said(number) for number in range(4)]
    found = _rows(tiny_voice, tmp_path, rows, _knowing(*rows), start, _spec(epsilon))
    assert found == NightRows(tuple(rows))


def test_what_cannot_be_rendered_is_nobodys_lesson(tiny_voice: BaseFolder, tmp_path: Path) -> None:
    long = said(9, text=LONG)
    half = replace(pair(3), rejected=LONG)
    found = _rows(tiny_voice, tmp_path, [said(1), long, half, pair(2)], _knowing(), ActiveVoice())
    assert found.new == (said(1), pair(2))


def test_candidate_and_placebo_match_whatever_people_wrote(
    tiny_voice: BaseFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long, short and too long: the gate finds the same examples, and as many tokens."""
    settings.initialise(tmp_path / "home")
    place = open_workspace(tmp_path / "home")
    active = ActiveVoice("serves", drawn_adapter(tmp_path / "serves", tiny_voice, 1))
    monkeypatch.setattr(_voice_training, "base_of", lambda *_: tiny_voice)
    monkeypatch.setattr(_voice_training, "active_voice", lambda *_: active)
    rows = [
        *(said(n) for n in range(6)),
        said(6, text="I see, and I am here. " * 12),
        said(7, text=LONG),
    ]
    data, strategy, scorer = tmp_path / "data", tmp_path / "strategy.json", tmp_path / "scorer"
    data.mkdir()
    scorer.mkdir()
    write_instances(rows, data / TRAIN_FILE)
    volume = SignalVolume(0, 0, 16.0, 0.0, 0.0, 0.0, 0.0, 0, 6)
    write(StrategyChoice((Strategy.SFT,), {}, {}, volume), strategy)
    write(RewardModelFigures("too few", "", None, 0, 0, 0, 0), scorer / "figures.json")
    inputs = (data, strategy, scorer)
    trained = train_candidate(_spec(), place, RUN, inputs, tmp_path / "a")
    placebo = train_placebo_for(_spec(), place, RUN, inputs, tmp_path / "b")
    assert [phase.examples for phase in trained.phases] == [7]
    assert trained.rows_by_task == placebo.rows_by_task == {"sft": 7}
    assert trained.people == len({row.user_id for row in rows[:7]})
    assert _placebo_check(trained, placebo).passed


def test_rows_and_people_are_counted_of_what_the_training_read(
    tiny_voice: BaseFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One person's corrections and another's single thumb, which nothing reads: one person taught."""
    settings.initialise(tmp_path / "home")
    made = AdapterFigures(tiny_voice.sha256, "a" * 64, (), (), 0.5, 8)
    monkeypatch.setattr(_voice_training, "base_of", lambda *_: tiny_voice)
    monkeypatch.setattr(_voice_training, "active_voice", lambda *_: ActiveVoice())
    monkeypatch.setattr(_voice_training, "train_where_asked", lambda *_: made)
    data, strategy, scorer = tmp_path / "data", tmp_path / "strategy.json", tmp_path / "scorer"
    data.mkdir()
    scorer.mkdir()
    rows = [said(n, person="a") for n in range(4)]
    other = replace(thumb(9, True), user_id="b")
    nobody = replace(said(60), source_type=SourceType.CORPUS, user_id=None)
    write_instances([*rows, nobody, other], data / TRAIN_FILE)
    volume = SignalVolume(0, 0, 16.0, 0.0, 0.0, 0.0, 0.0, 0, 6)
    write(StrategyChoice((Strategy.SFT,), {}, {}, volume), strategy)
    write(RewardModelFigures("too few", "", None, 0, 0, 0, 0), scorer / "figures.json")
    place, inputs = open_workspace(tmp_path / "home"), (data, strategy, scorer)
    found = train_candidate(_spec(), place, RUN, inputs, tmp_path / "a")
    assert (found.rows_by_task, found.people) == ({"sft": 5}, 1)


def _placebo_check(trained: AdapterFigures, placebo: AdapterFigures) -> Check:
    evidence = VoiceEvidence(
        Provenance.CONSENTED_TEXT, trained.adapter_sha256, training=trained, placebo=placebo
    )
    verdict = decide_voice(_spec(), evidence)
    return next(check for check in verdict.checks if check.name == "placebo")
