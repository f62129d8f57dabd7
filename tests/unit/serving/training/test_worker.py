"""A worker keeps its lease, stores how a job ended, and leaves what it could not end to others."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.serving import JobState, TrainingJob
from everloop.serving.training.runner import Ended, How, Launcher
from everloop.serving.training.worker import MOST_ATTEMPTS, Worker
from tests.conformance.test_job_store import job
from tests.log_records import NOON
from tests.unit.serving.training.conftest import World
from tests.unit.serving.training.test_trigger import until

STALE_S = 60.0


def worker(
    world: World,
    launcher: Launcher,
    name: str = "w",
    closing: Event | None = None,
    stale_after_s: float = STALE_S,
    retry_s: float = 0.0,
) -> Worker:
    loops, closing = ("walk",), closing or Event()
    return Worker(name, world.jobs, loops, launcher, world.clock, stale_after_s, closing, retry_s)


def says(ended: Ended) -> Launcher:
    return lambda job, stop: ended


def until_stopped(started: Event) -> Launcher:
    def launch(job: TrainingJob, stop: Event) -> Ended:
        started.set()
        assert stop.wait(20)
        return Ended(How.STOPPED)

    return launch


def in_background(step: Callable[[], Any]) -> threading.Thread:
    thread = threading.Thread(target=step)
    thread.start()
    return thread


def test_nothing_to_do_is_told(world: World) -> None:
    assert not worker(world, says(Ended(How.SUCCEEDED))).work()
    world.jobs.request(job(loop="run"))
    assert not worker(world, says(Ended(How.SUCCEEDED))).work()


def test_a_success_is_stored_with_its_run(world: World) -> None:
    world.jobs.request(job(error="stopped before"))
    assert worker(world, says(Ended(How.SUCCEEDED, "walk-1"))).work()
    done = world.jobs.job(job().job_id)
    assert (done.state, done.run_id, done.error, done.attempts) == (
        JobState.SUCCEEDED,
        "walk-1",
        "",
        1,
    )
    assert done.finished_at == NOON
    assert not worker(world, says(Ended(How.SUCCEEDED))).work()


def test_a_failure_is_tried_again_and_then_told(world: World) -> None:
    world.jobs.request(job())
    tries = 0

    def launch(_: TrainingJob, __: Event) -> Ended:
        nonlocal tries
        tries += 1
        return Ended(How.FAILED, f"walk-{tries}", f"disk on fire {tries}")

    while worker(world, launch).work():
        found = world.jobs.job(job().job_id)
        assert found.state is (JobState.FAILED if tries == MOST_ATTEMPTS else JobState.QUEUED)
        assert (found.error, found.run_id) == (f"disk on fire {tries}", f"walk-{tries}")
    assert tries == MOST_ATTEMPTS


def test_a_refusal_is_told_at_once(world: World) -> None:
    world.jobs.request(job())
    patient = worker(world, says(Ended(How.FAILED, "", "no such day", True)), retry_s=600.0)
    assert patient.work()
    found = world.jobs.job(job().job_id)
    assert (found.state, found.error, found.attempts) == (JobState.FAILED, "no such day", 1)
    assert found.finished_at == NOON


def test_between_two_attempts_the_lease_is_kept(world: World) -> None:
    world.jobs.request(job())
    tried, closing = Event(), Event()

    def launch(_: TrainingJob, __: Event) -> Ended:
        tried.set()
        return Ended(How.FAILED, "", "gone away")

    patient = worker(world, launch, closing=closing, retry_s=600.0)
    thread = in_background(patient.work)
    assert tried.wait(20)
    assert not worker(world, launch, "other").work()
    assert world.jobs.job(job().job_id).state is JobState.RUNNING
    closing.set()
    thread.join(20)
    found = world.jobs.job(job().job_id)
    assert (found.state, found.attempts, found.error) == (JobState.QUEUED, 1, "gone away")


def test_what_a_launcher_refuses_is_a_failure(world: World) -> None:
    world.jobs.request(job())

    def launch(_: TrainingJob, __: Event) -> Ended:
        raise ShouldNameKnownId("There is no loop 'walk'.", "Serve it.")

    for _ in range(MOST_ATTEMPTS):
        assert worker(world, launch).work()
    found = world.jobs.job(job().job_id)
    assert (found.state, found.error) == (JobState.FAILED, "There is no loop 'walk'. Serve it.")


def test_services_that_die_again_and_again_give_up_a_job(world: World) -> None:
    world.jobs.request(job())
    for _ in range(MOST_ATTEMPTS):
        assert world.jobs.claim("dead", world.clock.now(), STALE_S) is not None
        world.clock.moment += timedelta(seconds=STALE_S + 1)
    ran = Event()

    def launch(_: TrainingJob, __: Event) -> Ended:
        ran.set()
        return Ended(How.SUCCEEDED)

    assert worker(world, launch).work()
    assert not ran.is_set()
    found = world.jobs.job(job().job_id)
    assert found.state is JobState.FAILED
    assert found.error == "Given up after 3 attempts: the service ended while it ran"


def test_a_service_that_stops_gives_its_job_back(world: World) -> None:
    world.jobs.request(job())
    started, closing = Event(), Event()
    thread = in_background(worker(world, until_stopped(started), closing=closing).work)
    assert started.wait(20)
    closing.set()
    thread.join(20)
    found = world.jobs.job(job().job_id)
    assert (found.state, found.attempts) == (JobState.QUEUED, 0)
    assert worker(world, says(Ended(How.SUCCEEDED, "r")), "next").work()
    assert world.jobs.job(job().job_id).state is JobState.SUCCEEDED


def test_a_run_is_stopped_when_another_worker_took_its_job(world: World) -> None:
    world.jobs.request(job())
    started = Event()
    thread = in_background(worker(world, until_stopped(started), stale_after_s=0.6).work)
    assert started.wait(20)
    stolen = world.jobs.claim("thief", world.clock.now() + timedelta(hours=1), 0.0)
    assert stolen is not None
    thread.join(20)
    assert not thread.is_alive()
    assert world.jobs.job(job().job_id) == stolen
    assert world.jobs.finish(replace(stolen, state=JobState.SUCCEEDED), "thief")


def test_hearts_beat_while_a_job_runs_and_survive_a_failing_database(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.jobs.request(job())
    started, go_on = Event(), Event()

    def launch(_: TrainingJob, stop: Event) -> Ended:
        started.set()
        assert go_on.wait(20)
        assert not stop.is_set()
        return Ended(How.SUCCEEDED)

    real, broken = world.jobs.heartbeat, [OSError("gone away")] * 2

    def heartbeat(*arguments: Any) -> bool:
        if broken:
            raise broken.pop()
        return real(*arguments)

    world.jobs.heartbeat = heartbeat  # type: ignore[method-assign]
    thread = in_background(worker(world, launch, stale_after_s=0.6).work)
    assert started.wait(20)
    world.clock.moment = later = NOON + timedelta(hours=1)
    until(lambda: world.jobs.job(job().job_id).heartbeat_at == later)
    go_on.set()
    thread.join(20)
    assert "no heartbeat" in caplog.text
    assert world.jobs.job(job().job_id).state is JobState.SUCCEEDED
