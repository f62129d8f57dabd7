"""One way to open a voice, for the service and for a sandbox: the engine, its adapters and the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.personas import PersonaGraph, TraitValue
from everloop.contracts.sandboxes import VoiceConfiguration, VoiceOpening
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import Message
from everloop.persona.graph import first_graph, graph_of
from everloop.persona.prompt import prompt_of
from everloop.sandbox.drift import configuration_of

if TYPE_CHECKING:
    from everloop.contracts.speaking import Speaker

FACTORY = f"{__name__}:open_voice"
"""What ``VoiceFactory`` the service and the sandbox open voices with."""
SPEAKING = ("everloop.speaking",)
PROMPTING = ("everloop.persona", "everloop.opened_voice")


class SpokenVoice:
    """A voice with its prompt (``OpenedVoice``).

    Args:
        speaker: with the opening's adapters loaded.
        opening: what it was opened from; its graph is copied, and never written.
        device: type of the device that the speaker is on, ``cpu`` or ``cuda``.
    """

    def __init__(self, speaker: Speaker, opening: VoiceOpening, device: str) -> None:
        self._speaker = speaker
        self._spec = VoiceSpec.model_validate_json(opening.voice)
        self._graph = graph_of(opening.graph.encode()) if opening.graph else first_graph(self._spec)
        self.configuration = _configuration(opening, device)

    @property
    def speaker(self) -> Speaker:
        return self._speaker

    def prompt(
        self, said: Sequence[Message], traits: Mapping[str, float], user_id: str
    ) -> tuple[Message, ...]:
        """See ``OpenedVoice``."""
        graph = _with_traits(self._graph, traits)
        return prompt_of(self._spec, graph, said, user_id or None)


def open_voice(opening: VoiceOpening) -> SpokenVoice:
    """Load the base, verify and load every adapter, and read the graph.

    Raises:
        ShouldRestoreArtefact: a file is missing or not what its checksum says.
    """
    from everloop.speaking.engine import Engine  # noqa: PLC0415

    engine = Engine(opening.base)
    for adapter in opening.adapters:
        engine.load(adapter)
    return SpokenVoice(engine, opening, engine.device.type)


def service_configuration(opening: VoiceOpening) -> VoiceConfiguration:
    """What the service would speak with, opened so: read off the files, without a model.

    The device is the one that an engine takes on this machine.
    """
    import torch  # noqa: PLC0415

    return _configuration(opening, "cuda" if torch.cuda.is_available() else "cpu")


def _configuration(opening: VoiceOpening, device: str) -> VoiceConfiguration:
    return configuration_of(opening, SPEAKING, PROMPTING, device)


def _with_traits(graph: PersonaGraph, traits: Mapping[str, float]) -> PersonaGraph:
    unknown = sorted(traits.keys() - {each.name for each in graph.traits})
    if unknown:
        known = ", ".join(each.name for each in graph.traits)
        raise ShouldFixArgument(
            f"The voice has no trait {unknown[0]!r}.", f"Traits: {known or 'none'}."
        )
    moved = tuple(
        TraitValue(each.name, float(traits[each.name])) if each.name in traits else each
        for each in graph.traits
    )
    return replace(graph, traits=moved)
