"""What a training is worth and costs is told before its first step."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from components._voice_pages import strategy_rows
from components._voice_worth import with_steps, worth_training
from everloop.adaptation.building import HELD_OUT_FILE, TRAIN_FILE
from everloop.adaptation.instance_file import write_instances
from everloop.contracts.voices import SignalVolume, Strategy, StrategyChoice
from everloop.loops import load
from tests.voice_instances import said, thumb, voice

SPEC = load("companion").model_copy(update={"voice": voice()})
VOLUME = SignalVolume(0, 5, 40.0, 0.0, 0.0, 0.0, 0.0, 0, 6)
CHOICE = StrategyChoice((Strategy.SFT,), {"sft": "40.0 effective corrections."}, {}, VOLUME)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Forty examples, nine people who judge, and three who say what they did not want."""
    write_instances([said(n) for n in range(40)], tmp_path / TRAIN_FILE)
    judges = [said(n, f"judge-{n}") for n in range(9)]
    disliked = [replace(thumb(n, False), user_id=f"no-{n}") for n in range(3)]
    write_instances([*judges, *disliked], tmp_path / HELD_OUT_FILE)
    return tmp_path


def test_the_page_and_the_summary_say_how_many_steps(data: Path) -> None:
    summary, rows, metrics, _ = with_steps(strategy_rows(CHOICE), SPEC, CHOICE, data)
    told = "about 5 steps of 8 examples, and as many for the placebo"
    assert summary == f"chosen: sft; {told}"
    assert rows[-1] == ("optimiser steps", told)
    assert metrics["expected_steps"] == 5.0


def test_nine_people_judge_nothing_that_asks_for_ten(data: Path) -> None:
    found = worth_training(SPEC, CHOICE, data)
    assert found.chosen == ()
    assert "9, of at least 10" in found.skipped["sft"]
    assert with_steps(strategy_rows(found), SPEC, found, data) == strategy_rows(found)
