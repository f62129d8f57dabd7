"""What a question comes to, and a run that is followed to its end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from everloop import sdk
from everloop.contracts.errors import ShouldFixArgument, ShouldRetryLater
from everloop.sdk.kubeflow.following import follow
from everloop.sdk.kubeflow.questions import Question, run_request
from everloop.sdk.kubeflow.records import RunState
from everloop.sdk.kubeflow.submitting import opened_platform
from pipelines.compile import compile_graph
from pipelines.local_run import StageEvent
from pipelines.platform_file import EXAMPLE
from tests.unit.sdk.kubeflow.conftest import World

DAY = "2026-03-28"


@pytest.mark.usefixtures("small_files")
def test_the_same_question_has_the_same_name_and_another_another(
    world: World, tmp_path: Path
) -> None:
    platform = world.platform()

    def name(question: Question, day: str = DAY) -> str:
        return run_request(question, platform, day, tmp_path).name

    plain = name(Question("companion"))
    assert plain.startswith("companion-daily-learning-2026-03-28-")
    assert name(Question("companion")) == plain
    others = {
        name(Question("companion"), "2026-03-27"),
        name(Question("companion", tenant="acme")),
        name(Question("companion", settings=("training.iterations=60",))),
        name(Question("companion", extra=(("refresh", "again"),))),
        name(Question("companion", graph="adversarial-review")),
        plain,
    }
    assert len(others) == 6


@pytest.mark.usefixtures("small_files")
def test_a_question_gives_the_graph_what_it_takes_and_no_more(world: World, tmp_path: Path) -> None:
    given = run_request(
        Question("companion", graph="adversarial-review", extra=(("model", "m1"),)),
        world.platform(workspace="/data"),
        DAY,
        tmp_path,
    ).parameters
    assert set(given) == {
        "product", "thresholds", "workspace", "logical_date", "code", "tenant", "model",
    }  # fmt: skip
    assert (given["workspace"], given["model"]) == ("/data", "m1")
    trials = run_request(
        Question("companion", graph="experiment", extra=(("trials", "5"),)),
        world.platform(), DAY, tmp_path,
    )  # fmt: skip
    assert trials.parameters["trials"] == 5


@pytest.mark.parametrize(
    ("question", "day", "says"),
    [
        (Question("companion", extra=(("colour", "red"),)), DAY, "no parameter 'colour'"),
        (Question("companion", graph="nightly"), DAY, "no graph 'nightly'"),
        (Question("companion", graph="rollout-watch"), DAY, "needs at"),
        (Question("companion", graph="experiment", extra=(("trials", "x"),)), DAY, "whole number"),
        (Question("companion"), "yesterday", "no date"),
        (Question("companion"), "1999-12-31", "2000-01-01"),
        (Question("companion"), "2999-01-01", "is not between"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(
    world: World, tmp_path: Path, question: Question, day: str, says: str
) -> None:
    with pytest.raises(ShouldFixArgument, match=says):
        run_request(question, world.platform(), day, tmp_path)
    assert world.fake.requests == []


@pytest.mark.usefixtures("small_files")
def test_today_has_not_ended_and_within_it_is_another_question(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class At(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> At:
            return cls(2026, 3, 28, 12, tzinfo=tz)

    monkeypatch.setattr("everloop.sdk.kubeflow.questions.datetime", At)
    for graph in ("daily-learning", "adversarial-review"):
        within = Question("companion", graph, intraday=True)
        with pytest.raises(ShouldFixArgument, match="--intraday"):
            run_request(Question("companion", graph), world.platform(), DAY, tmp_path)
        asked = run_request(within, world.platform(), DAY, tmp_path)
        At.now = classmethod(lambda cls, tz=None: cls(2026, 3, 29, 12, tzinfo=tz))  # type: ignore[assignment]
        over = run_request(Question("companion", graph), world.platform(), DAY, tmp_path)
        assert over.name != asked.name
        assert asked.parameters.get("refresh", "intraday") == "intraday"
        At.now = classmethod(lambda cls, tz=None: cls(2026, 3, 28, 12, tzinfo=tz))  # type: ignore[assignment]


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("text", ["20260328", "2026-W13-6"])
def test_a_day_is_one_question_however_it_is_written(
    world: World, tmp_path: Path, text: str
) -> None:
    question, platform = Question("companion"), world.platform()
    asked = run_request(question, platform, text, tmp_path)
    plain = run_request(question, platform, DAY, tmp_path)
    assert (asked.name, asked.parameters) == (plain.name, plain.parameters)


def test_a_jobs_run_is_named_after_the_job_alone(
    world: World, tmp_path: Path, small_files: Callable[[str], None]
) -> None:
    question = Question("companion", job="job-1", extra=(("refresh", "job-1"),))
    before = run_request(question, world.platform(), DAY, tmp_path)
    small_files("v2")  # another release, or another limit of memory
    after = run_request(question, world.platform(), DAY, tmp_path)
    assert before.version != after.version
    assert before.name == after.name
    assert before.job
    with pytest.raises(ShouldFixArgument, match="Job"):
        Question("companion", job="a b")


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("how", [401, 403, 404])
def test_a_refusal_while_a_run_goes_on_does_not_end_the_following(world: World, how: int) -> None:
    run = sdk.submit("companion", DAY, platform=world.platform())
    world.fake.fail("GET", "/runs/.+", how, times=3)
    world.fake.moves += [{"state": "SUCCEEDED"}]
    found = follow(world.client(), run.run_id, poll_s=0.001, known=run)
    assert found.state is RunState.SUCCEEDED
    world.fake.move(run.run_id, "RUNNING")
    world.fake.fail("GET", "/runs/.+", how, times=99)
    with pytest.raises(ShouldRetryLater, match=run.run_id):
        follow(world.client(), run.run_id, poll_s=0.001, known=run)


def test_two_threads_compile_at_once(world: World, tmp_path: Path) -> None:
    problems: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for name in ("rollout-watch", "adversarial-review"):
                compile_graph(name, tmp_path / str(number) / f"{name}.yaml", world.platform())
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    made = {(tmp_path / str(n) / "rollout-watch.yaml").read_bytes() for n in range(3)}
    assert len(made) == 1


def test_no_tenant() -> None:
    with pytest.raises(ShouldFixArgument, match="Tenant"):
        Question("companion", tenant="a/b")


@pytest.mark.usefixtures("small_files")
def test_a_run_is_submitted_and_followed(world: World) -> None:
    world.fake.moves += [
        {"state": "RUNNING", "extract_episodes": "RUNNING", "extract_episodes_driver": "SUCCEEDED"},
        {"state": "RUNNING", "extract_episodes": "SUCCEEDED", "report_2": "SKIPPED"},
        {"state": "SUCCEEDED", "extract_episodes": "SUCCEEDED", "report_4": "SUCCEEDED"},
    ]
    events: list[StageEvent] = []
    run = sdk.submit(
        "companion", DAY, platform=world.platform(), wait=True, on_event=events.append, poll_s=0.01
    )
    assert run.state is RunState.SUCCEEDED
    assert [(e.stage, e.kind) for e in events] == [
        ("extract_episodes", "started"),
        ("extract_episodes", "succeeded"),
        ("report", "succeeded"),
    ]
    assert len(world.fake.runs) == 1


@pytest.mark.usefixtures("small_files")
def test_a_date_left_out_is_the_last_day_that_ended(world: World) -> None:
    before = datetime.now(UTC).date()
    sdk.submit("companion", platform=world.platform())
    after = datetime.now(UTC).date()
    sent = world.fake.runs[0]["runtime_config"]["parameters"]["logical_date"]
    assert before - timedelta(days=1) <= date.fromisoformat(sent) <= after - timedelta(days=1)


@pytest.mark.usefixtures("small_files")
def test_following_outlasts_a_silence_but_not_any(world: World) -> None:
    run = sdk.submit("companion", DAY, platform=world.platform())
    client = world.client(most=1)
    world.fake.move(run.run_id, "RUNNING")
    looks = 0
    real = client.run

    def flaky(run_id: str) -> Any:
        nonlocal looks
        looks += 1
        if looks == 2:
            world.fake.fail("GET", "/runs/.+", 503, times=29)
            world.fake.moves += [{"state": "FAILED", "error": "boom"}]
        return real(run_id)

    client.run = flaky  # type: ignore[method-assign]
    found = follow(client, run.run_id, poll_s=0.001)
    assert (found.state, found.error, looks) == (RunState.FAILED, "boom", 31)

    world.fake.move(run.run_id, "RUNNING")
    looks = 0

    def silent(run_id: str) -> Any:
        nonlocal looks
        looks += 1
        if looks == 2:
            world.fake.fail("GET", "/runs/.+", 503, times=99)
        return real(run_id)

    client.run = silent  # type: ignore[method-assign]
    with pytest.raises(ShouldRetryLater):
        follow(client, run.run_id, poll_s=0.001)
    assert looks == 31


@pytest.mark.usefixtures("small_files")
def test_stopping_to_look_leaves_the_run(world: World) -> None:
    run = sdk.submit("companion", DAY, platform=world.platform())
    stop = threading.Event()
    stop.set()
    assert follow(world.client(), run.run_id, stop=stop).state is RunState.PENDING
    assert world.fake.seen("POST", ":terminate") == []
    with pytest.raises(ShouldFixArgument, match="poll_s"):
        follow(world.client(), run.run_id, poll_s=0)


@pytest.mark.usefixtures("small_files")
def test_schedules_from_python(world: World) -> None:
    platform = world.platform()
    made = sdk.schedule("companion", "03:00", zone="Europe/Berlin", platform=platform)
    assert [s.schedule_id for s in sdk.schedules(platform=platform)] == [made.schedule_id]
    assert sdk.pause_schedule("companion", platform=platform).paused
    assert not sdk.resume_schedule("companion", platform=platform).paused
    assert sdk.delete_schedule("companion", platform=platform)
    assert not sdk.delete_schedule("companion", platform=platform)


def test_a_platform_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EVERLOOP_PLATFORM", raising=False)
    with pytest.raises(ShouldFixArgument, match="EVERLOOP_PLATFORM"):
        opened_platform(None)
    monkeypatch.setenv("EVERLOOP_PLATFORM", EXAMPLE)
    monkeypatch.chdir(Path(__file__).parents[4])
    assert opened_platform(None).experiment == "everloop"
