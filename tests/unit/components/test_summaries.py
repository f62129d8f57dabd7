"""What steps say of their result in one line."""

from __future__ import annotations

from datetime import date

import pytest

from components._pages import dataset_rows
from components._private import _rows, _summary
from everloop.contracts.datasets import DatasetManifest, Exclusions, FileEntry
from everloop.contracts.privacy import BudgetStatus, ReleaseNote


def _manifest(exclusions: Exclusions) -> DatasetManifest:
    return DatasetManifest(
        dataset_id="d" * 64,
        loop="companion",
        tenant="default",
        logical_date=date(2026, 3, 28),
        window_days=28,
        episode_watermark=1,
        signal_watermark=1,
        consent_revision=1,
        spec_sha256="s" * 64,
        files=(
            FileEntry("episodes.parquet", "e" * 64, 26_201, 1),
            FileEntry("signals.parquet", "f" * 64, 44_896, 1),
        ),
        exclusions=exclusions,
        episodes_per_day={"2026-03-28": 26_201},
    )


def _note(stage: str) -> ReleaseNote:
    return ReleaseNote(
        release_id="r",
        stage=stage,
        released=True,
        reused="",
        epsilon=0.386,
        delta=1e-5,
        mu_squared=0.0126,
        mechanism={"kind": "gaussian"},
        people=2965,
        parameters=300,
        budget=BudgetStatus(1.0, 1e-5, 365, 0.4, 0.4, 0.4, 0.07, 0.01, 341, 0),
        metrics={"warm_started": 1.0},
        warnings=(),
    )


@pytest.mark.parametrize(
    ("exclusions", "says"),
    [
        (Exclusions(0, 0, 0, 1947, 939), "; left out: 939 episodes, 1,947 signals"),
        (Exclusions(3, 40, 2, 0, 1), "; left out: 41 episodes, 2 signals"),
        (Exclusions(disputed_signals=1), "; left out: 1 signal"),
        (Exclusions(), "in 28 days"),
    ],
)
def test_episodes_and_signals_left_out_are_not_added_up(exclusions: Exclusions, says: str) -> None:
    summary, _, metrics, _ = dataset_rows(_manifest(exclusions))
    assert summary.endswith(says)
    out = exclusions
    assert metrics["episodes_left_out"] == out.opted_out_episodes + out.open_episodes
    assert metrics["signals_left_out"] == out.disputed_signals + out.late_signals


def test_nights_left_are_told_once_a_night_after_its_last_release() -> None:
    assert "left" not in _summary(_note("user_model"))
    assert _summary(_note("profiles")).endswith("300 parameters, 341 nights left")


def test_a_releases_own_figures_are_in_words() -> None:
    assert ("fit: started from", "the release before it") in _rows(_note("profiles"))
