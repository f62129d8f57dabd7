"""A training goes elsewhere by its question's name, and its policy comes back by it."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from everloop import settings
from everloop.contracts.documents import read
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldNameKnownId,
    ShouldProvideEngine,
    ShouldRestoreArtefact,
    ShouldRetryLater,
)
from everloop.contracts.models import RunRecord
from everloop.loops import load
from everloop.loops.sections import split
from everloop.sdk import train_policy
from everloop.sdk.placements.progress import MOST_SILENCES, JobState, Patience, wait_for
from everloop.sdk.placements.training import (
    LONGEST_NAME,
    PlacedTraining,
    job_name,
    place_training,
    submit_training,
)
from everloop.wiring import open_workspace
from rl.policy_card import PolicyCard
from tests.log_records import DAY
from tests.made_releases import release_people
from tests.two_tenants import LOOP
from tests.unit.sdk.placements.terms import a_cloud_run, a_kuberay

RUN = f"coach-{DAY}-0123abcd"
SMALL = ("training.iterations=2", "training.environments=8", "training.rollout_length=8")
SMALL += ("training.hidden=8", "training.profiles=40")
SOON = Patience(60, 0)


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("released")
    (folder / "coach.yaml").write_text(LOOP)
    settings.initialise(folder / "home")
    workspace = open_workspace(folder / "home")
    spec = load(folder / "coach.yaml")
    release_people(workspace, spec, folder / "made", day=DAY)
    now = datetime.now(UTC)
    sections: dict[str, Any] = asdict(split(spec))
    record = RunRecord(
        *(RUN, "daily-learning", "coach", DAY.isoformat(), now, now, "succeeded", "hold"),
        *(sections, (), ""),
    )
    workspace.runs.save(record)
    workspace.engine.dispose()
    return folder / "home"


@pytest.fixture
def home(released: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(released, tmp_path / "home"))


@dataclass
class Elsewhere:
    """Runs what the job's command says when it is submitted, as the job's own process would."""

    placed: PlacedTraining
    home: Path
    states: list[JobState] = field(default_factory=lambda: [JobState("succeeded")])
    submitted: list[Any] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)

    def submit(self, *job: Any) -> str:
        self.submitted.append(job)
        words = self.placed.command
        assert words[:5] == ("everloop", "train", "policy", "--from", RUN)
        assert words[-1] == "--publish"
        given = [value for name, value in pairwise(words) if name == "--set"]
        train_policy(
            RUN,
            settings=tuple(given),
            learner=words[words.index("--learner") + 1],
            publish=True,
            home=self.home,
        )
        return "execution-1"

    def state(self, _: str) -> JobState:
        return self.states.pop(0) if len(self.states) > 1 else self.states[0]

    def cancel(self, name: str) -> None:
        self.ended.append(name)


def greedy(home: Path) -> PlacedTraining:
    return place_training(RUN, a_cloud_run(), settings=SMALL, learner="greedy", home=home)


def test_the_command_asks_the_same_question_there(home: Path) -> None:
    placed = place_training(RUN, a_kuberay(), settings=SMALL, home=home)
    sets = [word for setting in SMALL for word in ("--set", setting)]
    assert placed.command == (
        *("everloop", "train", "policy", "--from", RUN, "--learner", "ppo"),
        *sets,
        *("--runners", "4", "--learners", "0", "--address", "{ADDRESS}", "--publish"),
    )
    assert placed == place_training(RUN, a_kuberay(), settings=SMALL, home=home)
    assert placed.manifest["metadata"]["name"] == placed.job == job_name(placed.policy)
    other = place_training(RUN, a_kuberay(runners=2), settings=SMALL, home=home)
    assert other.job != placed.job
    there = place_training(RUN, a_cloud_run(), settings=SMALL, home=home)
    assert "--address" not in there.command
    assert there.manifest["kind"] == "Job"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"loop": "coach.yaml"}, "is a file of this machine"),
        ({"learner": "greedy"}, "greedy learns in this process"),
        ({"learner": "nobody"}, "no learner 'nobody'"),
        ({"settings": ("privacy.epsilon=2",)}, "privacy"),
    ],
)
def test_what_could_not_run_there_is_refused_here(
    released: Path, arguments: dict[str, Any], said: str
) -> None:
    with pytest.raises(ShouldFixArgument, match=said):
        place_training(RUN, a_kuberay(), home=released, **arguments)


@pytest.mark.parametrize("loop", ["a", "Open_Bandit", "a" * 80, "x_-_y"])
def test_a_jobs_name_is_a_label_with_the_whole_digest(loop: str) -> None:
    name = job_name(f"{loop}-ppo-0123456789ab")
    assert len(name) <= LONGEST_NAME
    assert name.startswith("everloop-")
    assert name.endswith("-0123456789ab")
    assert name == name.lower().replace("_", "-")
    assert "--" not in name


def test_a_shared_folder_holds_the_policy_already(home: Path) -> None:
    placed = greedy(home)
    elsewhere = Elsewhere(placed, home, [JobState("waiting"), JobState("succeeded")])
    heard: list[JobState] = []
    found = submit_training(placed, elsewhere, SOON, heard=heard.append, home=home)
    assert [state.phase for state in heard] == ["waiting", "succeeded"]
    assert found.folder == home / "policies" / placed.policy
    assert found.version == read(PolicyCard, found.folder / "policy.json").version


def test_without_it_the_policy_comes_through_the_store(home: Path, tmp_path: Path) -> None:
    placed = greedy(home)
    elsewhere = Elsewhere(placed, home)
    elsewhere.submit()
    folder = home / "policies" / placed.policy
    made = {file.name: file.read_bytes() for file in folder.glob("policy.*")}
    shutil.rmtree(folder)  # the machine elsewhere is gone with its disk
    found = submit_training(placed, Again(placed, home), SOON, home=home)
    assert {file.name: file.read_bytes() for file in found.folder.glob("policy.*")} == made
    (found.folder / "policy.onnx").write_bytes(b"other")
    with pytest.raises(ShouldRestoreArtefact, match=r"policy\.onnx is not what its card says"):
        submit_training(placed, Again(placed, home), SOON, home=home)


class Again(Elsewhere):
    """A job that ended before anybody looked."""

    def submit(self, *job: Any) -> str:
        self.submitted.append(job)
        return "execution-1"


def test_nothing_that_came_back_is_told(home: Path) -> None:
    placed = greedy(home)
    with pytest.raises(ShouldNameKnownId, match=f"No policy {placed.policy} was published"):
        submit_training(placed, Again(placed, home), SOON, home=home)


def test_a_job_that_failed_is_told(home: Path) -> None:
    placed = greedy(home)
    failed = Again(placed, home, [JobState("running"), JobState("failed", "out of memory")])
    with pytest.raises(ShouldRetryLater, match=r"failed \(out of memory\)"):
        submit_training(placed, failed, SOON, home=home)


@pytest.mark.parametrize("asked", [True, False])
def test_an_interruption_ends_the_job_only_where_that_was_asked(home: Path, asked: bool) -> None:
    placed = greedy(home)
    jobs = Again(placed, home, [JobState("running")])

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    patience = Patience(60, 0, sleep=interrupted)
    with pytest.raises(KeyboardInterrupt):
        submit_training(placed, jobs, patience, delete_if_interrupted=asked, home=home)
    assert jobs.ended == (["execution-1"] if asked else [])


def test_a_folder_of_ones_own_is_not_published(home: Path, tmp_path: Path) -> None:
    with pytest.raises(ShouldFixArgument, match="found by its question's name"):
        train_policy(RUN, out=tmp_path / "out", publish=True, home=home)


def test_a_question_that_was_answered_is_not_trained_again(home: Path) -> None:
    placed = greedy(home)
    first = submit_training(placed, Elsewhere(placed, home), SOON, home=home)
    again = Again(placed, home)
    assert submit_training(placed, again, SOON, home=home) == first
    assert again.submitted == []


def test_a_job_that_was_taken_away_with_its_policy_published_is_answered(home: Path) -> None:
    placed = greedy(home)

    class Gone(Elsewhere):
        def state(self, _: str) -> JobState:
            raise ShouldProvideEngine("There is no such RayJob.", "Install KubeRay's operator.")

    assert submit_training(placed, Gone(placed, home), SOON, home=home).version


def test_a_silence_is_waited_out_and_a_long_one_is_told() -> None:
    looks = [0]

    def look() -> JobState:
        looks[0] += 1
        if looks[0] % MOST_SILENCES:
            raise ShouldRetryLater("Nobody answers.", "Try again.")
        return JobState("succeeded")

    assert wait_for("job", look, SOON).phase == "succeeded"
    assert looks == [MOST_SILENCES]

    def silent() -> JobState:
        looks[0] += 1
        raise ShouldRetryLater("Nobody answers.", "Try again.")

    with pytest.raises(ShouldRetryLater, match="Nobody answers"):
        wait_for("job", silent, SOON)
    assert looks == [2 * MOST_SILENCES]
