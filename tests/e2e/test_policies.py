"""``everloop train policy`` and ``everloop tune`` on what a night released."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from everloop.contracts.documents import read
from everloop.sdk import run_daily
from rl.policy_card import PolicyCard
from tests.e2e.whole_runs import command, small_plan


@pytest.mark.slow
@pytest.mark.timeout(900)
# Ray starts processes whose sockets it leaves to the collector
@pytest.mark.filterwarnings("default")
def test_a_nights_releases_are_learned_from_again(
    workspace: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = run_daily(small_plan(), home=workspace)
    home = ("--home", str(workspace))
    capsys.readouterr()
    dataset = run.manifest.dataset_id[:12]
    assert command("train", "policy", "--from", dataset, *home, "--json") == 0
    trained = json.loads(capsys.readouterr().out)
    assert trained["source"] == run.run_id
    card = read(PolicyCard, Path(trained["folder"]) / "policy.json")
    assert card.weights_sha256 == run.training.weights_sha256
    assert card.user_model_release == run.user_model_release.release_id

    space = ("--space", "training.learning_rate=loguniform(1e-4,1e-2)", "--trials", "2")
    out = tmp_path / "sweep"
    asked = ("tune", "--from", run.run_id, *space, "--out", str(out), *home)
    assert command(*asked) == 0
    shown = capsys.readouterr().out
    best = read(PolicyCard, out / "best" / "policy.json")
    assert best.version in shown
    assert f"release {card.user_model_release}, reused" in shown
    assert command(*asked, "--json") == 0
    table = json.loads(capsys.readouterr().out)
    assert len(table["trials"]) == 2
    assert table["trials"][0]["value"]["value"] >= table["trials"][1]["value"]["value"]
