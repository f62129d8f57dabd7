from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from everloop.contracts import documents
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.figures import (
    QualityFigures,
    RewardFigures,
    SignalFigures,
    SuccessFigure,
    TrainingFigures,
)
from everloop.reporting import RunEvidence


def test_figures_travel_as_documents(full: RunEvidence, tmp_path: Path) -> None:
    for value in (full.training, full.quality, full.success[0], full.success[3]):
        assert value is not None
        path = documents.write(value, tmp_path / "figures.json")
        assert documents.read(type(value), path) == value
    assert full.rewards is not None
    path = documents.write(full.rewards, tmp_path / "rewards.json")
    back = documents.read(RewardFigures, path)
    assert math.isnan(back.daily[9].mean)
    assert replace(back, daily=()) == replace(full.rewards, daily=())


def test_figures_refuse_what_cannot_be(full: RunEvidence) -> None:
    rewards, training = full.rewards, full.training
    assert rewards is not None
    assert training is not None
    with pytest.raises(ShouldFixArgument, match="10000 of 9869"):
        replace(rewards, rewarded=10_000)
    with pytest.raises(ShouldFixArgument, match="20 bins need 21 edges, not 20"):
        replace(rewards, histogram_edges=rewards.histogram_edges[1:])
    with pytest.raises(ShouldFixArgument, match="do not increase"):
        replace(rewards, histogram_edges=rewards.histogram_edges[::-1])
    with pytest.raises(ShouldFixArgument, match=r"positive_share=1\.2"):
        replace(rewards, positive_share=1.2)
    with pytest.raises(ShouldFixArgument, match=r"anomaly_share=-0\.1"):
        replace(rewards, anomaly_share=-0.1)
    with pytest.raises(ShouldFixArgument, match=r"Signal click: share=1\.5"):
        SignalFigures("click", 3, 0.1, 1.5)
    with pytest.raises(ShouldFixArgument, match="iterations do not increase"):
        replace(training, curve=training.curve[::-1])
    with pytest.raises(ShouldFixArgument, match="trust has no current value and no reason"):
        SuccessFigure("trust", 1, 2, "score", None, "")
    assert math.isnan(replace(rewards, positive_share=math.nan).positive_share)
    assert QualityFigures((), ()).inside_boundary
    assert TrainingFigures((), 0, "", 0, 0, 0, 0).curve == ()
