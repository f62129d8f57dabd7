"""What may stand in for the active model: what served before it and was not taken away."""

from __future__ import annotations

import pytest

from everloop.serving.decisions.deployment import Deployed, predecessors, read_deployed
from tests.unit.serving.decisions.conftest import World, loop

SPEC = loop()


def log(*moves: str | None) -> list[dict[str, str | int | None]]:
    entries: list[dict[str, str | int | None]] = [
        {"alias": "active", "generation": number, "checkpoint_id": move}
        for number, move in enumerate(moves, start=1)
    ]
    return [{"alias": "candidate", "generation": 1, "checkpoint_id": "z"}, *reversed(entries)]


@pytest.mark.parametrize(
    ("moves", "found"),
    [
        ((), ()),
        (("a",), ()),
        (("a", "b", "c"), ("b", "a")),
        (("a", "b", "a"), ()),  # b was rolled back
        (("a", "b", "a", "c"), ("a",)),
        (("a", "b", "c", "b"), ("a",)),
        (("a", "b", "b"), ("a",)),
        (("a", "b", None), ()),
        (("a", None, "b"), ()),  # clearing took a away
        (("a", None, "b", "c"), ("b",)),
    ],
)
def test_predecessors_by_hand(moves: tuple[str | None, ...], found: tuple[str, ...]) -> None:
    assert predecessors(log(*moves), len(moves)) == found


def test_moves_after_the_alias_was_read_do_not_count() -> None:
    assert predecessors(log("a", "b", "c"), 2) == ("a",)


def test_the_log_is_read_only_where_the_alias_moved(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    whole = world.registry.deployment_log

    def counted(loop: str, tenant: str = "default") -> object:
        reads.append(loop)
        return whole(loop, tenant)

    monkeypatch.setattr(world.registry, "deployment_log", counted)
    one, two = world.deploy(SPEC, "one"), world.deploy(SPEC, "two")
    first = read_deployed("coach", "default", world.registry, world.deployments, Deployed())
    again = read_deployed("coach", "default", world.registry, world.deployments, first)
    assert again is first
    assert (first.active, first.generation) == (two.checkpoint_id, 2)
    assert first.predecessors == (one.checkpoint_id,)
    assert first.rollout is None
    assert reads == ["coach"]
    world.trial(SPEC, "three", 5.0)
    moved = read_deployed("coach", "default", world.registry, world.deployments, first)
    assert moved.rollout is not None
    assert moved.predecessors == first.predecessors
    assert reads == ["coach"]


def test_a_trial_lasts_while_the_alias_points_at_its_candidate(world: World) -> None:
    def trial() -> str | None:
        known = read_deployed("coach", "default", world.registry, world.deployments, Deployed())
        return known.rollout and known.rollout.rollout_id

    world.deploy(SPEC, "one")
    record = world.trial(SPEC, "two", 5.0)
    assert trial() == record.rollout_id
    world.point(SPEC, None, "candidate")
    assert trial() is None, "an operator ended it"
    world.point(SPEC, record.candidate, "candidate")
    assert trial() == record.rollout_id
    world.point(SPEC, record.candidate)
    assert trial() is None, "the candidate became the active model"


def test_a_waiting_rollout_is_no_trial(world: World) -> None:
    world.deploy(SPEC, "one")
    running = world.trial(SPEC, "two", 5.0)
    waiting = world.trial(SPEC, "three", 5.0)
    assert waiting.state == "waiting"
    world.point(SPEC, waiting.candidate, "candidate")
    known = read_deployed("coach", "default", world.registry, world.deployments, Deployed())
    assert known.rollout is None
    world.point(SPEC, running.candidate, "candidate")
    known = read_deployed("coach", "default", world.registry, world.deployments, Deployed())
    assert known.rollout == running
