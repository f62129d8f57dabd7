"""Adapters and bases of a service: an adapter speaks on its own base, and no loop waits for another's."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import Message
from everloop.registry.registration import REQUIRED_LINEAGE
from everloop.serving.speaking import voices as voices_module
from everloop.serving.speaking.answering import Asked, begin
from everloop.serving.speaking.voices import ServedSpeaker, Voices
from everloop.speaking import engine as engine_module
from everloop.speaking.engine import Engine
from tests.fake_speaker import FakeSpeaker
from tests.fake_voices import WordScreen
from tests.two_tenants import THEIRS, World, two_tenants
from tests.unit.serving.test_speaking import Deploys


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with two_tenants(tmp_path_factory.mktemp("service")) as made:
        yield made


@pytest.fixture
def spec(world: World) -> LoopSpec:
    return world.service.loops["coach"]


def question(loop: LoopSpec) -> Asked:
    said = (Message("user", "How are you?"),)
    return Asked(str(uuid.uuid4()), loop, THEIRS, "p1", "s1", said, None, 4, 30.0)


def test_an_adapter_is_refused_on_another_base_of_the_same_shapes(
    world: World, spec: LoopSpec, tiny_voice: BaseFolder, tmp_path: Path
) -> None:
    deploys = Deploys(world, spec, tiny_voice, tmp_path)
    other = dict.fromkeys(REQUIRED_LINEAGE, "made") | {"version": "v1", "base": "0" * 64}
    engine = Engine(tiny_voice, device="cpu")
    with Voices(world.service.workspace, lambda _: engine, lambda _: WordScreen()) as voices:
        deploys.serve(deploys.adapter(1, "v1", lineage=other))
        with pytest.raises(ShouldFixArgument, match="v1 was trained on base 000"):
            begin(voices, question(spec))
        assert engine.versions == frozenset()
        deploys.serve(deploys.adapter(2, "v2"))
        assert begin(voices, question(spec)).speaks.version == "v2"


def finishes(work: Callable[[], object]) -> bool:
    """Whether it ends while something else is held up."""
    done = threading.Event()

    def run() -> None:
        work()
        done.set()

    threading.Thread(target=run, daemon=True).start()
    return done.wait(10.0)


class Held(FakeSpeaker):
    """Speaks on a real base's checksum; loads adapters once it may."""

    def __init__(self, base: BaseFolder) -> None:
        super().__init__()
        self._base, self.reached, self.may = base, threading.Event(), threading.Event()

    @property
    def base(self) -> BaseFolder:
        return self._base

    def load(self, adapter: AdapterFolder) -> None:
        self.reached.set()
        self.may.wait(30.0)
        super().load(adapter)


@pytest.mark.parametrize("held_while", ["opening", "loading"])
def test_another_loop_that_opens_or_loads_holds_nobody_up(
    world: World, spec: LoopSpec, tiny_voice: BaseFolder, tmp_path: Path, held_while: str
) -> None:
    engine, slow = Engine(tiny_voice, device="cpu"), Held(tiny_voice)
    other = spec.model_copy(update={"name": "other"})
    opened: list[ServedSpeaker] = []

    def opens(_: VoiceSpec) -> ServedSpeaker:
        opened.append(slow if opened else engine)
        if opened[-1] is slow and held_while == "opening":
            slow.reached.set()
            slow.may.wait(30.0)
        return opened[-1]

    for loop, version in ((spec, f"v1 {held_while}"), (other, f"v2 {held_while}")):
        deploys = Deploys(world, loop, tiny_voice, tmp_path)
        deploys.serve(deploys.adapter(1, version))
    with Voices(world.service.workspace, opens, lambda _: WordScreen()) as voices:
        begin(voices, question(spec))
        waits = threading.Thread(target=lambda: begin(voices, question(other)))
        waits.start()
        assert slow.reached.wait(10.0)
        answered = finishes(lambda: begin(voices, question(spec)))
        slow.may.set()
        waits.join(10.0)
        assert answered
        assert begin(voices, question(other)).speaks.version == f"v2 {held_while}"


def test_loops_on_one_base_share_it_and_keep_their_own_screens(
    world: World, spec: LoopSpec, tiny_voice: BaseFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Engine] = []

    def counted(base: BaseFolder) -> Engine:
        made.append(Engine(base, device="cpu"))
        return made[-1]

    monkeypatch.setattr(voices_module, "prepared_base", lambda *_: tiny_voice)
    monkeypatch.setattr(engine_module, "Engine", counted)
    other = spec.model_copy(update={"name": "other"})
    with Voices(world.service.workspace, None, lambda _: WordScreen()) as voices:
        shared = voices.batcher(spec)
        assert voices.batcher(other) is shared
        assert voices.screen(other) is not voices.screen(spec)
        assert len(made) == 1
    assert not shared.alive
