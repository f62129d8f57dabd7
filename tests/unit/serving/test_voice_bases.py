"""Adapters and bases of a service: an adapter speaks on its own base, and no loop waits for another's."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.speaking import BaseFolder
from everloop.contracts.voices import Message
from everloop.registry.registration import REQUIRED_LINEAGE
from everloop.serving.speaking.answering import Asked, begin
from everloop.serving.speaking.voices import Voices
from everloop.speaking.engine import Engine
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
