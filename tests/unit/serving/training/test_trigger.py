"""When training is asked for: at the thousandth, after a day, once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date, timedelta
from threading import Event
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.contracts.errors import ShouldFixArgument, ShouldResolveConflict
from everloop.contracts.serving import JobCause, JobState, TrainingJob
from everloop.serving.training.runner import Ended, How
from everloop.serving.training.trigger import ACTOR, TrainingTrigger
from everloop.wiring import Workspace
from tests.log_records import NOON, loop_spec
from tests.unit.serving.training.conftest import World

HOUR = timedelta(hours=1)


def spec(
    after: int = 5, hours: float = 24.0, name: str = "walk", closes_after: timedelta = 0 * HOUR
) -> Any:
    serving = {"train_after_episodes": after, "train_after_hours": hours}
    plain = loop_spec(int(closes_after.total_seconds()), name)
    return plain.model_validate(plain.model_dump() | {"serving": serving})


def trigger(world: World, *specs: Any, **changes: Any) -> TrainingTrigger:
    loops = {one.name: one for one in (specs or (spec(),))}

    class Parts:
        jobs = world.jobs
        home = world.home

    arguments: dict[str, Any] = {"poll_s": 0.02, "launcher": lambda job, stop: Ended(How.SUCCEEDED)}
    return TrainingTrigger(
        cast(Workspace, Parts), loops, {name: name for name in loops}, world.clock,
        **(arguments | changes),
    )  # fmt: skip


def finish(world: World, job: TrainingJob, state: JobState = JobState.SUCCEEDED) -> None:
    taken = world.jobs.claim("w", world.clock.now(), 60.0, (job.loop,))
    assert taken is not None
    assert taken.job_id == job.job_id
    assert world.jobs.finish(replace(taken, state=state, finished_at=world.clock.now()), "w")


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def test_the_last_missing_episode_asks_for_one_training(world: World) -> None:
    watching = trigger(world)
    assert watching.look() == ()
    world.log(4)
    assert watching.look() == ()
    world.log(1)
    (made,) = watching.look()
    assert made.cause is JobCause.EPISODES
    assert (made.loop, made.tenant, made.requested_by) == ("walk", "default", ACTOR)
    assert (made.watermark, made.created_at, made.logical_date) == (5, NOON, NOON.date())
    assert world.jobs.jobs() == (made,)
    world.log(9)
    assert watching.look() == ()
    assert world.jobs.jobs() == (made,)


def test_the_next_thousand_counts_from_the_last_job(world: World) -> None:
    watching = trigger(world)
    world.log(5)
    (first,) = watching.look()
    world.log(4)
    finish(world, first)
    assert watching.look() == ()
    world.log(1)
    (second,) = watching.look()
    assert second.watermark == 10
    finish(world, second, JobState.FAILED)
    assert watching.look() == ()
    world.log(5)
    assert len(watching.look()) == 1


def test_it_counts_what_came_while_no_service_ran(world: World) -> None:
    world.log(3)
    assert trigger(world).look() == ()
    world.log(2)
    assert len(trigger(world).look()) == 1


def test_replays_and_other_loops_do_not_count(world: World) -> None:
    world.log(4)
    world.logged = 0
    world.log(4)
    world.log(3, loop="run")
    assert trigger(world).look() == ()


def test_an_episode_counts_once_its_feedback_window_has_passed(world: World) -> None:
    watching = trigger(world, spec(closes_after=10 * HOUR))
    world.log(18)
    assert watching.look() == ()
    world.clock.moment = NOON + 10 * HOUR - timedelta(microseconds=1)
    assert watching.look() == trigger(world, spec(closes_after=10 * HOUR)).look() == ()
    world.clock.moment = NOON + 10 * HOUR
    (made,) = watching.look()
    assert made.cause is JobCause.EPISODES
    finish(world, made)
    assert watching.look() == ()


@pytest.mark.parametrize("keep", [False, True])
def test_what_was_open_at_a_job_counts_for_the_next(world: World, keep: bool) -> None:
    """``keep``: whether one service looks on, or each look is a restart."""
    one = trigger(world, spec(closes_after=10 * HOUR))

    def look() -> tuple[TrainingJob, ...]:
        return (one if keep else trigger(world, spec(closes_after=10 * HOUR))).look()

    world.clock.moment = NOON + HOUR
    world.log(5)
    world.log(4, at=NOON + HOUR)
    world.clock.moment = NOON + 10 * HOUR
    (first,) = look()
    assert first.watermark == 9
    finish(world, first)
    world.clock.moment = NOON + 11 * HOUR
    assert look() == ()
    world.log(1, at=NOON + 2 * HOUR)
    assert look() == ()
    world.clock.moment = NOON + 12 * HOUR
    (second,) = look()
    finish(world, second)
    world.clock.moment = NOON + 100 * HOUR
    assert look() == ()
    world.log(4)
    assert [job.cause for job in look()] == [JobCause.DAY]


def test_a_day_alone_starts_nothing_that_has_nothing_to_learn_from(world: World) -> None:
    watching = trigger(world, spec(closes_after=72 * HOUR))
    world.log(2)
    world.clock.moment = NOON + 71 * HOUR
    assert watching.look() == ()
    world.clock.moment = NOON + 72 * HOUR
    assert [job.cause for job in watching.look()] == [JobCause.DAY]


def test_each_tenant_and_loop_has_its_own_count(world: World) -> None:
    watching = trigger(world, spec(), spec(after=2, name="run"))
    world.log(4)
    world.log(2, loop="run")
    world.log(5, tenant="other")
    made = {(job.tenant, job.loop) for job in watching.look()}
    assert made == {("default", "run"), ("other", "walk")}
    world.log(1)
    assert [(job.tenant, job.loop) for job in watching.look()] == [("default", "walk")]


def test_a_day_after_the_first_episode_one_is_enough(world: World) -> None:
    watching = trigger(world)
    world.clock.moment = NOON + 48 * HOUR
    assert watching.look() == ()
    world.log(1)
    assert watching.look() == ()
    world.clock.moment += 24 * HOUR - timedelta(microseconds=1)
    assert watching.look() == ()
    world.clock.moment += timedelta(microseconds=1)
    (made,) = watching.look()
    assert (made.cause, made.logical_date) == (JobCause.DAY, (NOON + 72 * HOUR).date())


def test_a_day_after_the_last_job_there_must_be_something_new(world: World) -> None:
    watching = trigger(world)
    world.log(5)
    (first,) = watching.look()
    finish(world, first)
    world.clock.moment += 100 * HOUR
    assert watching.look() == ()
    world.log(1)
    (second,) = watching.look()
    assert second.cause is JobCause.DAY
    finish(world, second)
    world.clock.moment += 23 * HOUR
    world.log(1)
    assert watching.look() == ()
    world.clock.moment += HOUR
    assert len(watching.look()) == 1


def test_a_clock_that_stepped_back_asks_for_nothing_twice(world: World) -> None:
    watching = trigger(world)
    world.clock.moment = NOON + 10 * HOUR
    world.log(5)
    (first,) = watching.look()
    finish(world, first)
    world.clock.moment = NOON
    world.log(5)
    (second,) = watching.look()
    finish(world, second)
    assert trigger(world).look() == watching.look() == ()


def test_of_two_services_that_counted_alike_one_asks(world: World) -> None:
    one, two = trigger(world), trigger(world)
    world.log(4)
    assert one.look() == two.look() == ()
    world.log(1)
    slow = next(two._backlogs.look())
    (made,) = one.look()
    finish(world, made)
    late = two._job("walk", "default", NOON.date(), JobCause.EPISODES, ACTOR, slow.until)
    assert world.jobs.request(late, slow.last_id).job_id == made.job_id
    assert two.look() == ()
    assert len(world.jobs.jobs()) == 1


def test_many_services_at_once_ask_for_each_thousand_once(world: World) -> None:
    runs: list[str] = []

    def launch(job: TrainingJob, stop: Event) -> Ended:
        runs.append(job.job_id)
        return Ended(How.SUCCEEDED, run_id="walk-1")

    services = [trigger(world, launcher=launch) for _ in range(4)]
    for service in services:
        service.start()
    try:
        for round_ in range(1, 4):
            world.log(5)
            until(lambda n=round_: len(runs) == n)
            until(lambda: all(job.state is JobState.SUCCEEDED for job in world.jobs.jobs()))
    finally:
        for service in services:
            service.close()
    assert len(set(runs)) == len(runs) == len(world.jobs.jobs()) == 3


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(batches=st.lists(st.integers(1, 9), min_size=1, max_size=12), keep=st.booleans())
def test_no_thousand_is_missed_or_counted_twice(
    world: World, batches: list[int], keep: bool
) -> None:
    """Against a count by hand; ``keep``: whether one service looks on, or each look is a restart."""
    tenant = f"t{world.logged}"
    watching = trigger(world)
    pending = 0
    for batch in batches:
        world.log(batch, tenant=tenant)
        pending += batch
        made = [j for j in (watching if keep else trigger(world)).look() if j.tenant == tenant]
        assert len(made) == (pending >= 5)
        if made:
            pending = 0
            finish(world, made[0])


def test_a_manual_request_joins_the_open_job(world: World) -> None:
    asked = trigger(world)
    world.log(3)
    job = asked.request("walk", "default", NOON.date(), "key:abc")
    assert (job.cause, job.requested_by, job.watermark) == (JobCause.MANUAL, "key:abc", 3)
    assert asked.request("walk", "default", NOON.date(), "key:def") == job
    with pytest.raises(ShouldFixArgument, match="has not begun"):
        asked.request("walk", "default", date(2026, 3, 11), "key:abc")


def test_a_request_for_another_date_than_the_open_job_s_is_a_conflict(world: World) -> None:
    asked = trigger(world)
    world.log(3, at=NOON - 24 * HOUR)
    job = asked.request("walk", "default", NOON.date(), "key:abc")
    with pytest.raises(
        ShouldResolveConflict, match=f"{job.job_id} of walk for 2026-03-10 is queued"
    ):
        asked.request("walk", "default", date(2026, 3, 9), "key:abc")
    assert world.jobs.jobs() == (job,)
    finish(world, job)
    assert asked.request("walk", "default", date(2026, 3, 9), "key:abc").job_id != job.job_id


def test_a_date_before_anything_was_logged_is_refused(world: World) -> None:
    asked = trigger(world)
    for day in (date.min, date(1999, 12, 31)):
        with pytest.raises(ShouldFixArgument, match="nothing to learn from before 2000-01-01"):
            asked.request("walk", "default", day, "key:abc")
    world.log(1, at=NOON - 48 * HOUR)
    world.log(1, loop="run", at=NOON - 96 * HOUR)
    world.log(1, tenant="other", at=NOON - 96 * HOUR)
    with pytest.raises(ShouldFixArgument, match="nothing to learn from before 2026-03-08"):
        asked.request("walk", "default", date(2026, 3, 7), "key:abc")
    assert asked.request("walk", "default", date(2026, 3, 8), "key:abc").state is JobState.QUEUED


def test_a_request_is_worked_on_at_once_and_survives_a_database_that_fails_for_a_while(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    ran = Event()

    def launch(job: TrainingJob, stop: Event) -> Ended:
        ran.set()
        return Ended(How.SUCCEEDED)

    broken = 3
    real = world.jobs.claim

    def claim(*arguments: Any) -> TrainingJob | None:
        nonlocal broken
        if broken:
            broken -= 1
            raise OSError("gone away")
        return real(*arguments)

    world.jobs.claim = claim  # type: ignore[method-assign]
    working = trigger(world, launcher=launch)
    before = threading.active_count()
    working.start()
    working.start()
    try:
        until(lambda: broken == 0)
        working.request("walk", "default", NOON.date(), "key:abc")
        assert ran.wait(20)
    finally:
        working.close()
    assert "will be tried again" in caplog.text
    assert threading.active_count() <= before


def test_a_poll_needs_time(world: World) -> None:
    with pytest.raises(ShouldFixArgument, match="poll_s=0"):
        trigger(world, poll_s=0)
