"""What serves is compared, trained beside and tried on the base alone that it was trained on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from components._voice_models import active_voice
from everloop import settings
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.models import ModelType, Provenance
from everloop.contracts.speaking import BaseFolder
from everloop.loops import load
from everloop.registry.promotion import promote
from everloop.registry.registration import VOICE_LINEAGE, Candidate, register
from everloop.speaking.adapters import WEIGHTS, adapter_files
from everloop.wiring import Workspace, open_workspace
from tests.made_adapters import drawn_adapter


@pytest.fixture
def serving(tiny_voice: BaseFolder, tmp_path: Path) -> Callable[[str], Workspace]:
    """A workspace whose active adapter says that it was trained on such a base."""

    def made(trained_on: str) -> Workspace:
        settings.initialise(tmp_path / "home")
        place = open_workspace(tmp_path / "home")
        candidate = Candidate(
            loop="companion",
            model_type=ModelType.ADAPTER,
            files=dict(adapter_files(drawn_adapter(tmp_path / "made", tiny_voice, 1))),
            served=WEIGHTS,
            performance_metrics={},
            lineage=dict.fromkeys(VOICE_LINEAGE, "v1") | {"base": trained_on},
            provenance=Provenance.CONSENTED_TEXT,
            verdict="continue",
            training_date=datetime.now(UTC),
        )
        row = register(candidate, place.registry, place.blobs)
        promote(row.checkpoint_id, place.registry, place.blobs, place.deployments, "a test")
        return place

    return made


def test_it_is_opened_on_its_own_base(
    serving: Callable[[str], Workspace], tiny_voice: BaseFolder
) -> None:
    place = serving(tiny_voice.sha256)
    assert active_voice(load("companion"), place, "default", tiny_voice).version == "v1"


def test_it_is_refused_on_another_base_of_the_same_shapes(
    serving: Callable[[str], Workspace], tiny_voice: BaseFolder
) -> None:
    place = serving("0" * 64)
    with pytest.raises(ShouldFixArgument, match="v1 was trained on base 000"):
        active_voice(load("companion"), place, "default", tiny_voice)
