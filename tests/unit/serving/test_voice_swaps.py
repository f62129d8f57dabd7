"""While voices are tried, promoted and rolled back, everybody is answered, by what serves just then."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from everloop.contracts.episodes import Arm
from everloop.contracts.personas import Exemplar
from everloop.contracts.speaking import BaseFolder
from everloop.rollout import by_hand
from everloop.serving.speaking.voices import Voices
from everloop.speaking.engine import Engine
from tests.fake_voices import WordScreen
from tests.two_tenants import THEIRS, World, two_tenants
from tests.unit.serving.test_speaking import PATH, Deploys, events

ASKERS = 6
PAUSE_S = 0.03
Allowed = frozenset[tuple[str, str]]
"""(arm, version) pairs."""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with two_tenants(tmp_path / "service") as made:
        yield made


@dataclass(frozen=True)
class Heard:
    sent: float
    done: float
    status: int
    arm: str
    version: str
    told: str


@dataclass
class Operator:
    """Moves the head again and again, and notes what was allowed from when to when."""

    world: World
    deploys: Deploys
    adapters: Sequence[str]
    prompt: str

    def __post_init__(self) -> None:
        self.allowed: list[tuple[float, float, Allowed]] = []
        self.problem: BaseException | None = None
        self.over = threading.Event()

    def work(self, rounds: int) -> None:
        try:
            self.rounds(rounds)
        except BaseException as problem:  # told by the test's own thread
            self.problem = problem
        finally:
            self.over.set()

    def rounds(self, rounds: int) -> None:
        one, two, three = self.adapters
        self.does(lambda: None, self.serves("base"))
        self.tries(None, two, "base", promoted=False)
        self.tries(None, two, "base", promoted=True)
        self.does(lambda: self.deploys.serve(one), self.serves("v1"))
        for number in range(rounds):
            self.tries(one, two, "v1", promoted=number % 2 == 0)
            self.does(lambda: self.deploys.serve(three), self.serves("v3"))
            self.does(lambda: self.deploys.serve(one), self.serves("v1"))

    def tries(self, active: str | None, candidate: str, version: str, promoted: bool) -> None:
        made: list[str] = []
        both = self.serves(version) | {(Arm.CANDIDATE.value, "v2")}
        parts = [candidate, self.prompt]
        self.does(lambda: made.append(self.deploys.trial(active, parts, 50.0).rollout_id), both)
        place, spec = self.world.service.workspace, self.world.service.loops["coach"]
        now, who = datetime.now(UTC), "ann"
        if promoted:
            self.does(
                lambda: by_hand.promote(spec, place, made[0], who, "well", now, THEIRS),
                self.serves("v2"),
            )
        self.does(
            lambda: by_hand.rollback(spec, place, made[0], who, "worse", now, THEIRS),
            self.serves(version),
        )

    def does(self, move: Callable[[], object], allowed: Allowed) -> None:
        began = time.monotonic()
        move()
        self.allowed.append((began, time.monotonic(), allowed))
        time.sleep(PAUSE_S)

    @staticmethod
    def serves(version: str) -> Allowed:
        return frozenset({(Arm.ACTIVE.value, version)})

    def was_allowed(self, heard: Heard) -> bool:
        """Whether what somebody heard served at any moment between their question and its answer."""
        ends = [ended for _, ended, _ in self.allowed[1:]] + [float("inf")]
        return any(
            (heard.arm, heard.version) in allowed
            for (began, _, allowed), end in zip(self.allowed, ends, strict=True)
            if began <= heard.done and heard.sent <= end
        )


def test_everybody_is_answered_by_what_may_serve_while_voices_come_and_go(
    world: World, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    engine = Engine(tiny_voice, device="cpu")
    world.service.voices.close()
    world.service.voices = Voices(world.service.workspace, lambda _: engine, lambda _: WordScreen())
    deploys = Deploys(world, world.service.loops["coach"], tiny_voice, tmp_path)
    adapters = [deploys.adapter(number, f"v{number}") for number in (1, 2, 3)]
    prompt = deploys.prompt("p2", Exemplar("How are you?", "Splendid.", "praise"))
    operator = Operator(world, deploys, adapters, prompt)
    headers = {"Authorization": f"Bearer {world.keys[THEIRS]}"}

    async def asks(asker: int, found: list[Heard]) -> None:
        for number in itertools.count():
            if operator.over.is_set():
                return
            body = {
                "user_id": f"person {asker} {number % 5}",
                "said": [{"role": "user", "text": "How are you?"}],
                "max_new_tokens": 4,
                "stream": asker % 2 == 0,
            }
            sent = time.monotonic()
            response = await world._client.post(PATH, json=body, headers=headers)
            done = time.monotonic()
            answer: dict[str, Any] = {}
            if response.status_code == 200:
                answer = events(response)[-1][1] if body["stream"] else response.json()
            version = answer.get("model_version", "").partition("+")[0]
            status = answer.get("status", response.status_code)
            found.append(Heard(sent, done, status, answer.get("arm", ""), version, response.text))

    async def all_ask() -> list[Heard]:
        found: list[Heard] = []
        await asyncio.gather(*(asks(number, found) for number in range(ASKERS)))
        return found

    spec, moment = world.service.loops["coach"], datetime.now(UTC)
    for other in (world.theirs.awaiting, world.theirs.rollout):
        by_hand.end(spec, world.service.workspace, other, "ann", "room", moment, THEIRS)
    worker = threading.Thread(target=operator.work, args=(4,))
    worker.start()
    heard = world._loop.run(all_ask())
    worker.join()
    if operator.problem is not None:
        raise operator.problem
    assert [each.told for each in heard if each.status != 200] == []
    assert [each for each in heard if not operator.was_allowed(each)] == []
    assert {each.version for each in heard} == {"base", "v1", "v2", "v3"}
    assert {each.arm for each in heard} == {Arm.ACTIVE.value, Arm.CANDIDATE.value}
