"""Of which voices' failures in the sandbox the next one learns."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

from components._voice_data import failures_to_learn
from everloop.contracts.models import Provenance
from everloop.contracts.voice_spec import BaseSpec, VoicePrivacySpec, VoiceSpec
from everloop.contracts.voices import ModelVersion, SourceType, TrainingDataInstance
from everloop.wiring import Workspace
from tests.voice_records import corpus_row, version

VOICE = VoiceSpec(persona="friend", base=BaseSpec(name="tiny", source="tiny", license="Apache-2.0"))


@dataclass
class Home:
    """Five versions; what each failed, and what an unknown one did."""

    forgets: int = 0
    released: int = 0

    def __post_init__(self) -> None:
        self.voices = self.registry = self

    def versions(self, persona: str, **_: Any) -> tuple[ModelVersion, ...]:
        assert persona == "friend"
        return tuple(
            version(n, model_id=f"m{n}", forgets=int(n == self.forgets)) for n in range(5, 0, -1)
        )

    def checkpoint(self, model_id: str) -> Any:
        number = int(model_id[1:])
        released = number == self.released
        return SimpleNamespace(
            lineage={"version": f"friend-{adapter(number)[:16]}"},
            provenance=Provenance.PRIVATE_RELEASE if released else Provenance.CONSENTED_TEXT,
        )

    def instances(self, model_id: str, tenant: str) -> tuple[TrainingDataInstance, ...]:
        assert (model_id, tenant) == ("sandbox/friend", "acme")
        rows = [
            corpus_row(n, source_type=SourceType.SANDBOX, metadata={"said_by": adapter(n)})
            for n in range(1, 7)
        ]
        return (*rows, corpus_row(9, source_type=SourceType.SANDBOX, metadata={}))


def adapter(number: int) -> str:
    return f"{number:064x}"[::-1]


def learned(home: Home, voice: VoiceSpec = VOICE) -> list[str]:
    found = failures_to_learn(voice, cast(Workspace, home), "acme")
    return [str(row.metadata["said_by"])[0] for row in found]


def test_only_the_newest_voices_failures_teach() -> None:
    assert learned(Home()) == ["3", "4", "5"]


def test_a_voice_that_is_to_forget_teaches_nothing_of_what_it_said() -> None:
    assert learned(Home(forgets=4)) == ["3", "5"]


def test_where_training_is_private_only_released_voices_teach() -> None:
    private = VOICE.model_copy(update={"privacy": VoicePrivacySpec(epsilon=4.0)})
    assert learned(Home(), private) == []
    assert learned(Home(released=5), private) == ["5"]
