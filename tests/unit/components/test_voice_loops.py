"""Two loops may have one persona; what the other's voice learned and serves is not this one's."""

from __future__ import annotations

from pathlib import Path

import pytest

from components._voice_data import _versions
from components._voice_persona import collect_voice
from everloop import settings
from everloop.contracts.errors import ShouldResolveConflict
from everloop.contracts.models import ModelType
from everloop.contracts.voices import VersionStatus
from everloop.loops import load
from everloop.wiring import open_workspace
from tests.deployment_records import registered
from tests.voice_records import version


def test_a_night_sees_its_own_loops_versions(tmp_path: Path) -> None:
    settings.initialise(tmp_path / "home")
    place, spec = open_workspace(tmp_path / "home"), load("companion")
    for number, loop in enumerate(("companion", "mine"), start=1):
        made = registered(number, ModelType.ADAPTER, loop=loop)
        place.registry.register(made)
        place.voices.add_version(version(number, persona="companion", model_id=made.checkpoint_id))
    place.voices.set_status(made.checkpoint_id, VersionStatus.ACTIVE)
    with pytest.raises(ShouldResolveConflict, match="loop 'mine'"):
        collect_voice(spec, place, "default", tmp_path / "collected")
    (found,) = _versions(spec, place, "default")
    assert (found.version_number, found.status) == (1, VersionStatus.ARCHIVED), "nothing serves"
    (other, _) = place.voices.versions("companion")
    assert other.status is VersionStatus.ACTIVE, "the other loop's head tells of it"
