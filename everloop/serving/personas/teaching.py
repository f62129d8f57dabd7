"""A thread that lets feedback move personas as soon as it is stored or released.

It reads the log from where it was, and from its beginning when it starts: a revision names the feedback
that caused it, so that what was read before a crash moves nothing twice, and what was not is read again.
The first worker alone has one, for all.

What cannot be applied, such as feedback for a persona whose newest revision is damaged, holds up nothing
else: it is tried again at each look, and told.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.personas import PersonaStore, TeachingLog, TeachingMark
from everloop.contracts.ports import Clock
from everloop.contracts.voice_spec import VoiceSpec
from everloop.persona.graph import graph_of
from everloop.persona.revisions import applied
from everloop.serving.looking import Looking

EVERY_S = 0.5
_GIVES_UP = 10
"""Feedbacks of one persona that cannot be applied, after which a look goes on with the next persona."""
_log = logging.getLogger(__name__)


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
        self._seen: dict[tuple[str, str], TeachingMark] = {}
        self._problems: dict[tuple[str, str], frozenset[str]] = {}

    @property
    def stuck(self) -> int:
        """Personas of a tenant with feedback that cannot be applied."""
        return len(self._problems)

    def look(self) -> int:
        """Apply what became known since the last look; how many feedbacks moved a persona."""
        moved, marks = 0, self._feedback.marks()
        for tenant, until in marks.items():
            for persona, spec in self._voices.items():
                if self._seen.get((tenant, persona), TeachingMark()) != until:
                    moved += self._teach(tenant, persona, spec, until)
        self._problems = {key: told for key, told in self._problems.items() if key[0] in marks}
        return moved

    def _teach(self, tenant: str, persona: str, spec: VoiceSpec, until: TeachingMark) -> int:
        """Apply what one persona was told by then; as seen counts only what was."""
        key, moved, problems = (tenant, persona), 0, list[Exception]()
        try:
            newest = self._store.newest(persona, None, tenant)
            if newest is not None:
                graph_of(newest.content)  # whose damage every feedback would meet anew
            after = self._seen.get(key, TeachingMark())
            for said in self._feedback.teaching(persona, after, until, tenant):
                if self.closing:
                    return moved
                try:
                    earlier = partial(self._earlier, persona, said.user_id, tenant)
                    now = self._clock.now()
                    moved += applied(self._store, spec, said, now, earlier) is not None
                except Exception as problem:  # of one feedback: the next may be well
                    problems.append(problem)
                    if len(problems) == _GIVES_UP:
                        break
        except Exception as problem:  # busy, away or damaged: no other persona waits for it
            problems.append(problem)
        self._tell(key, problems)
        if not problems:
            self._seen[key] = until
        return moved

    def _tell(self, key: tuple[str, str], problems: list[Exception]) -> None:
        """Log each problem of a persona when it comes, and not again at each look."""
        named = {f"{type(each).__name__}: {each}": each for each in problems}
        known = self._problems.get(key, frozenset())
        for name in sorted(named.keys() - known):
            _log.error(
                "Persona %r of tenant %r does not hear all of its feedback; trying again. %s",
                *(key[1], key[0], name),
                exc_info=named[name],
            )
        left = {other: told for other, told in self._problems.items() if other != key}
        self._problems = left | ({key: frozenset(named)} if named else {})

    def _earlier(
        self, persona: str, person: str, tenant: str, since: datetime
    ) -> tuple[tuple[bytes, bytes], ...]:
        return self._feedback.moved(persona, person, since, tenant)


class PersonaCollector(Collector):
    """How many personas do not hear all of their feedback, for Prometheus."""

    def __init__(self, teacher: PersonaTeacher) -> None:
        self._teacher = teacher

    def collect(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "everloop_personas_stuck",
            "Personas with feedback that cannot be applied; the log says why",
            value=self._teacher.stuck,
        )
