"""``everloop run adversarial`` on a small log: a sound model, a collapsed one, and none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.models import ModelType, Provenance
from everloop.contracts.oversight import OversightKind
from everloop.loops import load
from everloop.registry.promotion import promote
from everloop.registry.registration import REQUIRED_LINEAGE, Candidate, register
from everloop.sdk.adversarial import run_adversarial
from everloop.wiring import Workspace, open_workspace
from pipelines.local_run import exclusive
from tests.e2e.whole_runs import EXAMPLE_DAY, command
from tests.made_policies import made_policy

SPEC = load("companion")


def deploy(place: Workspace, folder: Path, version: str, sharpness: float) -> str:
    """Make a policy that prefers later actions, ``sharpness`` more each, what serves."""
    bias = (sharpness * np.arange(len(SPEC.actions))).tolist()
    made = register(
        Candidate(
            loop=SPEC.name,
            model_type=ModelType.INTERVENTION,
            files={"policy.onnx": made_policy(SPEC, version, folder / f"{version}.onnx", bias)},
            served="policy.onnx",
            performance_metrics={},
            lineage=dict.fromkeys(REQUIRED_LINEAGE, version),
            provenance=Provenance.PRIVATE_RELEASE,
            verdict="continue",
            training_date=datetime.now(UTC),
        ),
        place.registry,
        place.blobs,
    )
    promote(made.checkpoint_id, place.registry, place.blobs, place.deployments, "a test")
    return made.checkpoint_id


def test_what_serves_is_attacked_and_the_answer_is_recorded_once(
    workspace: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ("run", "adversarial", "--loop", "companion", "--date", EXAMPLE_DAY.isoformat())
    line = (*line, "--home", str(workspace))
    with pytest.raises(ShouldFixArgument, match="has no active model to attack"):
        command(*line)

    place = open_workspace(workspace)
    sound = deploy(place, tmp_path, "companion-sound", 0.1)
    code = command(*line)
    said = capsys.readouterr().out
    for attack in ("perturbed_states", "extreme_contexts", "catalogue_tricks"):
        assert f"passed       {attack}" in said
    # The people on each side follow from the workspace's key, and few bots tell on a log this small.
    withstood = "passed       poisoned_rewards" in said
    assert code == (0 if withstood else 3)
    word = place.oversights.latest("companion", OversightKind.ADVERSARIAL_TEST)
    assert word is not None
    assert (word.subject_id, word.passed) == (sound, withstood)

    again = run_adversarial("companion", EXAMPLE_DAY, home=workspace)
    assert again.passed is withstood
    assert {stage.outcome for stage in again.record.stages} == {"cached"}
    assert place.oversights.all("companion") == (word,)
    assert "perturbed_states: passed" in Path(again.record.report).read_text()

    collapsed = deploy(place, tmp_path, "companion-collapsed", 20.0)
    assert command(*line) == 3
    assert "failed       extreme_contexts" in capsys.readouterr().out
    word = place.oversights.latest("companion", OversightKind.ADVERSARIAL_TEST)
    assert word is not None
    assert (word.subject_id, word.passed) == (collapsed, False)
    assert "extreme_contexts" in word.reason
    assert len(place.oversights.all("companion")) == 2
    runs = [run for run in place.runs.runs("companion") if run.pipeline == "adversarial-review"]
    assert {run.verdict.split(":")[0] for run in runs} == {
        "passed" if withstood else "failed",
        "failed",
    }


def test_dates_that_are_not_over_and_busy_folders_are_refused(
    workspace: Path, tmp_path: Path
) -> None:
    deploy(open_workspace(workspace), tmp_path, "companion-sound", 0.1)
    today = datetime.now(UTC).date()
    for day in (today, today + timedelta(days=1)):
        with pytest.raises(ShouldFixArgument, match="is not over"):
            run_adversarial("companion", day, home=workspace)
    with pytest.raises(ShouldFixArgument, match="is no date"):
        run_adversarial("companion", "soon", home=workspace)
    folder = workspace / "runs" / "companion" / "default" / f"adversarial-{EXAMPLE_DAY}"
    line = ("run", "adversarial", "--loop", "companion", "--date", EXAMPLE_DAY.isoformat())
    with exclusive(folder):
        assert command(*line, "--home", str(workspace)) == 4
