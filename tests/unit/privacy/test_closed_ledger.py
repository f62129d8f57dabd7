"""A closed ledger reads as the one behind it, and takes nothing from it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from everloop import settings
from everloop.contracts.errors import ShouldWaitForBudget
from everloop.contracts.privacy import ReleaseRequest
from everloop.loops import load
from everloop.privacy.closed import ClosedLedger
from everloop.wiring import Workspace, open_workspace
from tests.made_releases import DAY, paid_release
from tests.two_tenants import LOOP


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name in (settings.HOME_VARIABLE, *settings.KEYS):
        monkeypatch.delenv(name, raising=False)
    settings.initialise(tmp_path / "home")
    return open_workspace(tmp_path / "home")


def test_it_reads_and_never_charges(place: Workspace, tmp_path: Path) -> None:
    (tmp_path / "coach.yaml").write_text(LOOP)
    spec = load(tmp_path / "coach.yaml")
    (tmp_path / "made").write_text("a release")
    row = paid_release(place, spec, "user_model", tmp_path / "made")
    ledger, pipeline = place.ledger, f"{spec.name}/default"
    closed = ClosedLedger(ledger, "An experiment spends nothing")
    assert closed.history() == ledger.history()
    assert closed.verify() == ledger.verify() == len(ledger.history())
    assert closed.latest_release(pipeline, "user_model", DAY) == ledger.latest_release(
        pipeline, "user_model", DAY
    )
    assert closed.status(spec, DAY) == ledger.status(spec, DAY)
    assert closed.plan(spec, pipeline, DAY) == ledger.plan(spec, pipeline, DAY)
    mechanism = closed.night_mechanism(spec, pipeline, "profiles", DAY)
    assert mechanism == ledger.night_mechanism(spec, pipeline, "profiles", DAY)
    request = ReleaseRequest(pipeline, DAY, "profiles", "c" * 64, "d" * 64, mechanism)
    before = ledger.history()
    with pytest.raises(ShouldWaitForBudget, match=r"An experiment spends nothing\. Leave profiles"):
        closed.reserve(request, ["a" * 64], spec, 1)
    with pytest.raises(ShouldWaitForBudget):
        closed.complete(row.release_id, "url", "s" * 64)
    with pytest.raises(ShouldWaitForBudget):
        closed.rename({"a" * 64: "b" * 64})
    assert ledger.history() == before
    place.engine.dispose()
    shutil.rmtree(tmp_path / "home")
