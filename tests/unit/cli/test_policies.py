"""``everloop train policy`` and ``everloop tune``: what they find, what they refuse, what they leave."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest

from everloop import settings
from everloop.cli import app as cli
from everloop.cli.progress import training_line
from everloop.contracts.documents import read, sha256_of
from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldFixLoopSpec,
    ShouldResolveConflict,
    ShouldRetryLater,
)
from everloop.contracts.evaluation import Estimate
from everloop.contracts.figures import TrainingPoint
from everloop.contracts.models import RunRecord
from everloop.loops import load
from everloop.loops.sections import split
from everloop.sdk import train_policy
from everloop.sdk.policies import tuning
from everloop.wiring import open_workspace
from rl.policy_card import PolicyCard
from rl.runtime import load_policy
from rl.tune.sweep import SweepResult, SweepTable, TrialRow
from tests.log_records import DAY
from tests.made_releases import release_people
from tests.two_tenants import LOOP

RUN = f"coach-{DAY}-0123abcd"
SMALL = (
    "training.iterations=3",
    "training.environments=8",
    "training.rollout_length=8",
    "training.hidden=8",
    "training.profiles=40",
)
SET = [word for setting in SMALL for word in ("--set", setting)]


def run_of(name: str, loop: str, sections: dict[str, str]) -> RunRecord:
    now = datetime.now(UTC)
    return RunRecord(
        name,
        "daily-learning",
        loop,
        DAY.isoformat(),
        now,
        now,
        "succeeded",
        "hold",
        sections,
        (),
        "",
    )


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    (folder / "coach.yaml").write_text(LOOP)
    settings.initialise(folder / "home")
    workspace = open_workspace(folder / "home")
    spec = load(folder / "coach.yaml")
    release_people(workspace, spec, folder / "made", day=DAY)
    workspace.runs.save(run_of(RUN, "coach", asdict(split(spec))))
    workspace.runs.save(run_of("nobody-1", "nobody", asdict(split(spec))))
    workspace.engine.dispose()
    return folder


@pytest.fixture
def folder(released: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the workspace, in the folder that commands run in."""
    shutil.copytree(released, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*words: str) -> None:
    cli.app([*words, "--home", "home"], standalone_mode=False)


def spent(folder: Path) -> str:
    workspace = open_workspace(folder / "home")
    return str(workspace.ledger.status(load(folder / "coach.yaml"), DAY))


def test_a_policy_is_trained_on_a_runs_releases_and_spends_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = spent(folder)
    command("train", "policy", "--from", "coach-2", "--out", "made", *SET)
    told = capsys.readouterr().out
    assert spent(folder) == before
    card = read(PolicyCard, folder / "made" / "policy.json")
    assert card.version in told
    assert f"release {card.user_model_release}, reused" in told
    assert f"release {card.profiles_release}, reused" in told
    assert RUN in told
    assert "tensorboard --logdir" in told
    spec = load(folder / "coach.yaml")
    policy = load_policy(folder / "made" / "policy.onnx", card.onnx_sha256, spec)
    assert policy.version == card.version
    assert (card.iterations, card.hidden) == (3, 8)


def test_the_same_question_is_the_same_folder_and_continues(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(point: TrainingPoint, iterations: int) -> None:
        assert iterations == 7
        if point.iteration == 6:
            raise KeyboardInterrupt

    more = (*SMALL, "training.iterations=7")
    with pytest.raises(KeyboardInterrupt):
        train_policy(RUN, settings=more, home="home", progress=stop)
    (begun,) = (folder / "home" / "policies").iterdir()
    words = [word for setting in more for word in ("--set", setting)]
    command("train", "policy", "--from", RUN, *words, "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["resumed_from"] == 5
    assert Path(told["folder"]) == begun
    first = sha256_of(begun / "policy.safetensors")
    command("train", "policy", "--from", RUN, *words, "--fresh", "--json")
    assert json.loads(capsys.readouterr().out)["resumed_from"] == 0
    assert sha256_of(begun / "policy.safetensors") == first


def test_a_cheap_learner_learns_from_the_same_releases(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command("train", "policy", "--from", RUN, *SET, "--learner", "greedy", "--out", "greedy")
    assert "greedy" in capsys.readouterr().out
    assert load_policy(folder / "greedy" / "policy.onnx").loop == "coach"


def test_a_policy_of_another_training_is_not_overwritten(folder: Path) -> None:
    words = ("train", "policy", "--from", RUN, *SET, "--out", "made", "--learner")
    command(*words, "greedy")
    first = read(PolicyCard, folder / "made" / "policy.json")
    command(*words, "greedy")
    with pytest.raises(ShouldResolveConflict, match=r"of something else \(greedy for coach"):
        command(*words, "lin_ucb")
    assert read(PolicyCard, folder / "made" / "policy.json") == first
    with pytest.raises(ShouldFixArgument, match="are both in made"):
        command(*words, "ppo", "--start", "made", "--fresh")
    command(*words, "lin_ucb", "--fresh")
    assert read(PolicyCard, folder / "made" / "policy.json").learner == "lin_ucb"


def test_a_search_does_not_overwrite_another_ones_table(folder: Path) -> None:
    (folder / "searched").mkdir()
    (folder / "searched" / "trials.json").write_text("theirs")
    words = ("--space", "training.clip=uniform(0.1,0.3)", "--out", "searched")
    with pytest.raises(ShouldResolveConflict, match=r"holds trials\.json of something else"):
        command("tune", "--from", RUN, *SET, *words)
    assert (folder / "searched" / "trials.json").read_text() == "theirs"


@pytest.mark.parametrize(
    ("words", "kind", "said"),
    [
        (["--from", "other"], ShouldFixArgument, f"is the start of no run.*{RUN}"),
        (["--from", "nobody"], ShouldFixArgument, "of loop 'nobody'"),
        (["--from", RUN, "--set", "privacy.epsilon=2"], ShouldFixArgument, "section 'privacy'"),
        (["--from", RUN, "--set", "training.hiden=2"], ShouldFixLoopSpec, "names nothing"),
        (["--from", RUN, "--loop", "companion"], ShouldFixArgument, "specifies 'companion'"),
        (
            ["--from", RUN, "--learner", "greedy", "--runners", "2"],
            ShouldFixArgument,
            "this process",
        ),
        (["--from", RUN, "--address", "10.0.0.5"], ShouldFixArgument, "no address"),
        (["--from", RUN, "--address", "127.0.0.1:1"], ShouldRetryLater, "Nothing answers at 127"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_it_starts(
    folder: Path, words: list[str], kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        command("train", "policy", *words)


def test_a_run_without_a_release_has_nothing_to_learn_from(folder: Path) -> None:
    spec = load(folder / "coach.yaml")
    early = run_of("early-1", "coach", asdict(split(spec)))
    workspace = open_workspace(folder / "home")
    workspace.runs.save(
        RunRecord(**{name: getattr(early, name) for name in early.__slots__} | {"tenant": "bolt"})
    )
    with pytest.raises(ShouldCollectMoreData, match="early-1 led to no release of stage"):
        command("train", "policy", "--from", "early")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--space", "training.learning_rat=uniform(0.1,0.2)"], "cannot be tuned"),
        (
            ["--space", "training.clip=uniform(0.1,0.3)", "--scheduler", "pbt", "--trials", "2"],
            "of 2",
        ),
    ],
)
def test_a_search_that_cannot_be_made_starts_no_cluster(
    folder: Path, words: list[str], said: str
) -> None:
    with pytest.raises(ShouldFixArgument, match=said):
        command("tune", "--from", RUN, *words)


WRONG = (
    ("train", "policy", "--set", "training.hidden=none"),
    ("train", "policy", "--set", "privacy.epsilon=2"),
    ("train", "policy", "--address", "10.0.0.5"),
    ("tune", "--space", "training.clip=uniform(0.3)"),
    ("tune", "--space", "training.clip=uniform(0.1,7)"),
    ("tune", "--space", "training.clip=uniform(0.1,0.3)", "--set", "training.hiden=2"),
    ("tune", "--space", "training.clip=uniform(0.1,0.3)", "--address", "ray://10.0.0.5:1"),
    ("tune", "--space", "training.clip=uniform(0.1,0.3)", "--scheduler", "pbt", "--trials", "2"),
)


def test_wrong_arguments_are_told_before_anything_heavy_is_loaded(folder: Path) -> None:
    line = f"""
import sys
from everloop.cli import app as cli
from everloop.contracts.errors import ShouldFixArgument, ShouldFixLoopSpec
for words in {WRONG}:
    try:
        cli.app([*words, "--from", "{RUN}", "--home", "home"], standalone_mode=False)
    except (ShouldFixArgument, ShouldFixLoopSpec):
        print(" ".join(words), [name for name in ("torch", "ray", "synthetic") if name in sys.modules])
"""
    ran = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines() == [f"{' '.join(words)} []" for words in WRONG]


def test_a_search_tells_what_its_best_earned_when_judged_again(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def worth(value: float, n: int) -> Estimate:
        return Estimate("simulated return", value, value - 0.1, value + 0.1, 0.95, n, n, "")

    rows = tuple(
        TrialRow(name, {"training.clip": clip}, 3, 192, worth(value, 512), "finished")
        for name, clip, value in (("b", 0.1, 0.75), ("a", 0.3, 0.5))
    )
    table = SweepTable(rows, "b", worth(0.625, 4096), "asha", "model-1", "people-1")
    best = SimpleNamespace(
        card=SimpleNamespace(version="coach-0"), card_path=folder / "policy.json"
    )
    found = SweepResult(table, folder / "trials.json", best, False)  # type: ignore[arg-type]
    monkeypatch.setattr(tuning, "tune_policy", lambda *_, **__: found)
    words = ("tune", "--from", RUN, "--space", "training.clip=uniform(0.1,0.3)")
    command(*words)
    told = " ".join(capsys.readouterr().out.split())
    assert "the best of 2 trials is optimistic; judged again: 0.625 [0.525, 0.725]" in told
    command(*words, "--json")
    assert json.loads(capsys.readouterr().out)["judged_again"]["value"] == 0.625


def test_an_iteration_is_a_line() -> None:
    point = TrainingPoint(
        4, 512, 0.25, 0.2, 0.3, 0.0125, 0.125, 1.1, 0.3, 3e-4, 0.2, steps_per_second=8123.4
    )
    assert training_line(point) == (
        "8,123 steps/s · reward 0.250 (0.200 to 0.300) · KL 0.0125 · clipped 12% · entropy 1.10 · ε 0.30"
    )
