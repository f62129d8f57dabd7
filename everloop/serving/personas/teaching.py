"""A thread that lets feedback move personas as soon as it is stored or released.

It reads the log from where it was, and from its beginning when it starts: a revision names the feedback
that caused it, so that what was read before a crash moves nothing twice, and what was not is read again.
The first worker alone has one, for all.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from functools import partial

from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.personas import PersonaStore, TeachingLog, TeachingMark
from everloop.contracts.ports import Clock
from everloop.contracts.voice_spec import VoiceSpec
from everloop.persona.revisions import applied
from everloop.serving.looking import Looking

EVERY_S = 0.5


def voices_of(loops: Mapping[str, LoopSpec]) -> Mapping[str, VoiceSpec]:
    """Persona -> voice, of the loops that have one; where two name one persona, the first by name."""
    found: dict[str, VoiceSpec] = {}
    for _, spec in sorted(loops.items()):
        if spec.voice is not None:
            found.setdefault(spec.voice.persona, spec.voice)
    return found


class PersonaTeacher(Looking):
    """Moves personas; see ``Looking``.

    Args:
        log: where feedback is read.
        store: where revisions are kept.
        voices: persona -> voice.
        clock: dates revisions.
        works: whether this process is the one that looks.
        every_s: seconds between looks.
    """

    def __init__(
        self,
        log: TeachingLog,
        store: PersonaStore,
        voices: Mapping[str, VoiceSpec],
        clock: Clock,
        works: bool = True,
        every_s: float = EVERY_S,
    ) -> None:
        self._feedback, self._store, self._voices, self._clock = log, store, voices, clock
        super().__init__("personas", every_s, works and bool(voices))
        self._seen: dict[str, TeachingMark] = {}

    def look(self) -> int:
        """Apply what became known since the last look; how many feedbacks moved a persona."""
        moved = 0
        for tenant, until in self._feedback.marks().items():
            after = self._seen.get(tenant, TeachingMark())
            if after == until:
                continue
            for persona, spec in self._voices.items():
                for said in self._feedback.teaching(persona, after, until, tenant):
                    if self.closing:
                        return moved
                    earlier = partial(self._earlier, persona, said.user_id, tenant)
                    now = self._clock.now()
                    moved += applied(self._store, spec, said, now, earlier) is not None
            self._seen[tenant] = until
        return moved

    def _earlier(
        self, persona: str, person: str, tenant: str, since: datetime
    ) -> tuple[tuple[bytes, bytes], ...]:
        return self._feedback.moved(persona, person, since, tenant)
