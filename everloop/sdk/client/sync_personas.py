"""What the client asks for: who speaks, and what changed them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TypeVar

from everloop.sdk.client.answers.personas import Persona, PersonaChange
from everloop.sdk.client.call import Call
from everloop.sdk.client.calls import personas

T = TypeVar("T")


class Personas(ABC):
    """Personas as they speak, and what a person may do to them."""

    def persona(self, name: str) -> Persona:
        """A persona as it speaks now."""
        return self._ask(personas.persona(name))

    def persona_revisions(self, name: str, limit: int = 100) -> tuple[PersonaChange, ...]:
        """Every change of a persona with its cause, newest first."""
        return (self._ask(personas.persona_revisions(name, limit))).revisions

    def undo_persona(
        self, name: str, reason: str, to: int | None = None, seen: int | None = None
    ) -> Persona:
        """Return to an earlier revision, byte for byte; without ``to`` the last one that differs. ``seen``:
        the newest that you looked at; another one by now is a conflict."""
        return self._ask(personas.undo_persona(name, reason, to, seen))

    def adjust_trait(self, name: str, trait: str, adjustment: float, reason: str) -> Persona:
        """Move a trait by hand, damped and capped as feedback is; ``adjustment`` in [-1, 1]."""
        return self._ask(personas.adjust_trait(name, trait, adjustment, reason))

    @abstractmethod
    def _ask(self, call: Call[T]) -> T:
        """Send a call; its answer."""
