"""Daily schedules on a cluster: one for each loop, changed in place, and the body that makes one."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.daily_time import Drift
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFixPlatform,
    ShouldNameKnownId,
    ShouldResolveConflict,
    ShouldRetryLater,
)
from everloop.sdk.kubeflow.client import Kubeflow
from everloop.sdk.kubeflow.failures import Attempts
from everloop.sdk.kubeflow.questions import Question
from everloop.sdk.kubeflow.schedules import Schedule, ScheduleRequest, Schedules
from tests.unit.sdk.kubeflow.conftest import NEVER_ANSWERED, World

pytestmark = pytest.mark.usefixtures("small_files")
NAME = "everloop daily-learning companion default"
WINTER = datetime(2027, 1, 15, 12, tzinfo=UTC)
SUMMER = datetime(2027, 7, 15, 12, tzinfo=UTC)


def made(
    world: World, place: Path, now: datetime = WINTER, tenant: str = "default", **asked: object
) -> tuple[Schedule, bool]:
    request = ScheduleRequest(Question("companion", tenant=tenant), **asked)  # type: ignore[arg-type]
    return Schedules(world.client()).create(request, place, now)


def test_a_schedule_is_made_with_exactly_this_body(world: World, tmp_path: Path) -> None:
    schedule, changed = made(world, tmp_path, at="03:30", zone="Europe/Berlin")
    (sent,) = world.fake.seen("POST", "/recurringruns$")
    parameters = sent.body["runtime_config"].pop("parameters")
    (version,) = world.fake.versions
    assert sent.body == {
        "display_name": NAME,
        "description": "everloop: daily at 03:30 Europe/Berlin (scheduler in UTC), "
        + schedule.digest,
        "experiment_id": world.fake.experiments[0]["experiment_id"],
        "pipeline_version_reference": {
            "pipeline_id": version["pipeline_id"],
            "pipeline_version_id": version["pipeline_version_id"],
        },
        "runtime_config": {"pipeline_root": "gs://bucket/root"},
        "service_account": "robot",
        "trigger": {"cron_schedule": {"cron": "0 30 2 * * *"}},
        "mode": "ENABLE",
        "no_catchup": True,
        "max_concurrency": 1,
    }
    assert (parameters["logical_date"], parameters["refresh"]) == ("", "scheduled")
    assert (parameters["workspace"], parameters["tenant"]) == ("/workspace", "default")
    assert len(parameters["code"]) == 64
    assert (changed, schedule.paused, schedule.catchup) == (True, False, False)
    assert schedule.when is not None
    assert schedule.when.drifts(WINTER.date())[0] == Drift(date(2027, 3, 28), time(4, 30))


def test_the_coming_runs_say_for_which_day_they_learn(world: World, tmp_path: Path) -> None:
    schedule, _ = made(world, tmp_path, at="00:30", zone="Europe/Berlin")
    told = [(str(moment), day) for moment, day in schedule.next_runs(WINTER, 2)]
    # half past midnight there is the evening before in UTC, when that day has not ended
    assert told == [
        ("2027-01-16 00:30:00+01:00", "2027-01-14"),
        ("2027-01-17 00:30:00+01:00", "2027-01-15"),
    ]


def test_the_same_again_changes_nothing_and_another_replaces_it(
    world: World, tmp_path: Path, small_files: Callable[[str], None]
) -> None:
    first, _ = made(world, tmp_path)
    again, changed = made(world, tmp_path)
    assert (again, changed) == (first, False)
    for change in ({"at": "04:00"}, {"at": "04:00", "catchup": True}, {"max_concurrency": 2}):
        other, changed = made(world, tmp_path, **change)
        assert changed
        assert [r["recurring_run_id"] for r in world.fake.recurring] == [other.schedule_id]
    small_files("v2")  # a release
    other, changed = made(world, tmp_path, max_concurrency=2)
    assert changed
    assert len(world.fake.recurring) == 1
    assert [v["display_name"] for v in world.fake.versions] == ["v1", "v2"]


def test_after_the_clocks_change_the_same_command_moves_it(world: World, tmp_path: Path) -> None:
    asked = {"at": "03:00", "zone": "Europe/Berlin"}
    winter, _ = made(world, tmp_path, **asked)
    summer, changed = made(world, tmp_path, SUMMER, **asked)
    assert changed
    assert (winter.cron, summer.cron) == ("0 0 2 * * *", "0 0 1 * * *")
    assert len(world.fake.recurring) == 1


def test_tenants_have_schedules_of_their_own_and_strangers_are_left_alone(
    world: World, tmp_path: Path
) -> None:
    made(world, tmp_path)
    made(world, tmp_path, tenant="acme")
    by_hand = dict(world.fake.recurring[0]) | {"recurring_run_id": "x", "description": "by hand"}
    world.fake.recurring.append(by_hand)
    schedules = Schedules(world.client())
    assert [s.name for s in schedules.every()] == ["everloop daily-learning companion acme", NAME]
    assert schedules.delete(NAME) == 1
    assert by_hand in world.fake.recurring
    assert schedules.delete(NAME) == 0


def test_paused_stays_paused_through_a_change(world: World, tmp_path: Path) -> None:
    made(world, tmp_path)
    schedules = Schedules(world.client())
    assert schedules.pause(NAME).paused
    changed, _ = made(world, tmp_path, at="05:00")
    assert changed.paused
    assert world.fake.recurring[0]["mode"] == "DISABLE"
    assert not schedules.resume(NAME).paused


@pytest.mark.parametrize("how", ["lose", "slow"])
def test_a_lost_answer_makes_no_second_one(world: World, tmp_path: Path, how: str) -> None:
    world.fake.fail("POST", "/recurringruns$", how, seconds=0.8)
    schedule, changed = made(world, tmp_path)
    assert changed
    assert [r["recurring_run_id"] for r in world.fake.recurring] == [schedule.schedule_id]


def test_a_replacement_that_was_interrupted_is_finished_by_the_same_command(
    world: World, tmp_path: Path
) -> None:
    made(world, tmp_path)
    world.fake.fail("DELETE", "/recurringruns/", 500, times=99)
    with pytest.raises(ShouldRetryLater):
        made(world, tmp_path, at="04:00")
    assert len(world.fake.recurring) == 2  # rather twice than not at all
    with pytest.raises(ShouldResolveConflict, match="schedule create"):
        Schedules(world.client()).one(NAME)
    world.fake.failures.clear()
    kept, changed = made(world, tmp_path, at="04:00")
    assert not changed
    assert [r["recurring_run_id"] for r in world.fake.recurring] == [kept.schedule_id]


@pytest.mark.parametrize("one_second", [False, True])
def test_of_schedules_that_two_make_at_once_one_stays(
    world: World, tmp_path: Path, one_second: bool
) -> None:
    world.fake.one_second = one_second
    both = threading.Barrier(2, timeout=20)
    clients = [world.client() for _ in range(2)]

    def work(client: Kubeflow, at: str) -> None:
        client.experiment()
        upload = client.upload

        def late(*arguments: Any) -> Any:
            both.wait()
            return upload(*arguments)

        client.upload = late  # type: ignore[method-assign]
        request = ScheduleRequest(Question("companion"), at)
        Schedules(client).create(request, tmp_path / at, WINTER)

    threads = [
        threading.Thread(target=work, args=(client, at))
        for client, at in zip(clients, ("03:00", "04:00"), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(world.fake.seen("POST", "/recurringruns$")) == 2
    assert len(world.fake.recurring) == 1
    assert Schedules(world.client()).pause(NAME).paused


def test_one_replaced_within_the_second_of_its_making_is_replaced(
    world: World, tmp_path: Path
) -> None:
    world.fake.one_second = True
    made(world, tmp_path)

    def pause(_: float) -> None:
        world.fake.one_second = False

    client = Kubeflow(world.platform(), Attempts(4, sleep=pause), NEVER_ANSWERED)
    request = ScheduleRequest(Question("companion"), "04:00")
    kept, changed = Schedules(client).create(request, tmp_path, WINTER)
    assert (kept.cron, changed) == ("0 0 4 * * *", True)
    assert [r["recurring_run_id"] for r in world.fake.recurring] == [kept.schedule_id]


def test_pausing_pauses_whatever_an_interruption_left(world: World, tmp_path: Path) -> None:
    made(world, tmp_path)
    world.fake.fail("DELETE", "/recurringruns/", 500, times=99)
    with pytest.raises(ShouldRetryLater):
        made(world, tmp_path, at="04:00")
    assert Schedules(world.client()).pause(NAME).cron == "0 0 4 * * *"
    assert [r["status"] for r in world.fake.recurring] == ["DISABLED", "DISABLED"]


def test_deleting_survives_a_lost_answer(world: World, tmp_path: Path) -> None:
    made(world, tmp_path)
    world.fake.fail("DELETE", "/recurringruns/", "lose")
    assert Schedules(world.client()).delete(NAME) == 1
    assert world.fake.recurring == []


def test_what_is_not_there_is_answered_with_what_is(world: World, tmp_path: Path) -> None:
    made(world, tmp_path)
    for act in ("one", "pause", "resume"):
        with pytest.raises(ShouldNameKnownId, match="companion default"):
            getattr(Schedules(world.client()), act)("everloop daily-learning elsewhere default")


def test_a_kubeflow_that_does_not_say_when_a_run_was_scheduled_is_refused(
    world: World, tmp_path: Path
) -> None:
    world.fake.release = "2.16.1"
    with pytest.raises(ShouldFixPlatform, match=r"2\.16\.1") as caught:
        made(world, tmp_path)
    assert "2.17" in caught.value.remedy
    assert world.fake.recurring == []
    world.fake.release = "nightly"
    assert made(world, tmp_path)[1]


def test_no_overlap_beyond_what_kubeflow_allows() -> None:
    with pytest.raises(ShouldFixArgument, match="max_concurrency=11"):
        ScheduleRequest(Question("companion"), max_concurrency=11)
