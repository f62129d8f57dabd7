"""What a population is played with: a catalogue of actions, and how each of them works on people.

``COMPANION`` is the shipped product's. Another domain (``drawn_domain``) has other actions, described by
the same features; people, moods, signals and context are the same everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import ContextField, FieldKind, LoopSpec
from synthetic.population.archetypes import PARTS
from synthetic.population.catalogue import (
    ACTIONS,
    CONTEXT,
    KIND_OF,
    KINDS,
    MOST_PARTNERS,
    NOTHING,
    PARTNERS,
    SIGNAL_FORMS,
    SIGNALS,
)
from synthetic.population.disturbance import PRESENT
from synthetic.population.state import MOODS
from synthetic.population.tastes import CLOSER, DAILY, EFFECT, FEATURES, MOOD, OFFSET, TASTE


@dataclass(frozen=True, slots=True, eq=False)
class Domain:
    """A catalogue of A actions, the first of them no_action, and the tables of their effects.

    Attributes:
        name: of the domain.
        actions: A ids. kind_of: (A,) position in ``catalogue.KINDS``, -1 for no_action.
        partners: (A,) how many people an action brings together with the person; 1 to 3 for pairings.
        features: (A, F) what describes each action to models, within [-1, 1].
        mood, taste, offset, daily: (A, 4), (A, 2), (A,), (A, 4), see ``responses``.
        effect, closer: (A, 4), (A,), see ``dynamics``.
        present: (A, 3) probability that a signal of each type is sent.

    Raises:
        ShouldFixArgument: a table has another shape, or a step is more than certain.
    """

    name: str
    actions: tuple[str, ...]
    kind_of: Int
    partners: Int
    features: Float
    mood: Float
    taste: Float
    offset: Float
    daily: Float
    effect: Float
    closer: Float
    present: Float

    def __post_init__(self) -> None:
        count = len(self.actions)
        if count < 2 or len(set(self.actions)) != count:
            raise self._refused(f"{count} actions {self.actions} are no catalogue")
        for name, shape in (
            ("kind_of", (count,)),
            ("partners", (count,)),
            ("features", (count, self.features.shape[-1])),
            ("mood", (count, len(MOODS))),
            ("taste", (count, 2)),
            ("offset", (count,)),
            ("daily", (count, len(PARTS))),
            ("effect", (count, len(MOODS))),
            ("closer", (count,)),
            ("present", (count, len(SIGNALS))),
        ):
            if getattr(self, name).shape != shape:
                raise self._refused(f"{name} has shape {getattr(self, name).shape}, not {shape}")
        pairing = self.kind_of == KINDS.index("suggest_pairing")
        if (self.kind_of == -1).tolist() != [a == NOTHING for a in range(count)]:
            raise self._refused("its first action alone is no_action")
        if ((self.partners > 0) != pairing).any() or self.partners.max() > MOST_PARTNERS:
            raise self._refused(f"partners={self.partners} are not those of pairings alone, 1 to 3")
        reach = np.abs(self.effect)
        reach[:, MOODS.index("loneliness")] += self.closer
        if (reach > 1).any() or (self.present < 0).any() or (self.present > 1).any():
            raise self._refused("a probability of effect or present is above 1")
        for found in fields(self):
            if isinstance(table := getattr(self, found.name), np.ndarray):
                table.flags.writeable = False

    def _refused(self, problem: str) -> ShouldFixArgument:
        return ShouldFixArgument(f"Domain {self.name!r}: {problem}.", "Correct the tables.")

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def pairings(self) -> tuple[int, ...]:
        """Indices of the actions that bring people together."""
        return tuple(np.flatnonzero(self.partners > 0).tolist())

    def first_of(self, kind: str) -> int:
        """The first action of a kind of ``catalogue.KINDS``."""
        return int(np.flatnonzero(self.kind_of == KINDS.index(kind))[0])

    def valid(self, connected: Bool) -> Bool:
        """(n, A) everything, but no pairing for people without connections."""
        valid = np.ones((len(connected), len(self)), dtype=np.bool_)
        valid[:, list(self.pairings)] = connected[:, None]
        return valid


COMPANION: Final = Domain(
    name="companion",
    actions=ACTIONS,
    kind_of=KIND_OF,
    partners=PARTNERS,
    features=FEATURES,
    mood=MOOD,
    taste=TASTE,
    offset=OFFSET,
    daily=DAILY,
    effect=EFFECT,
    closer=CLOSER,
    present=PRESENT,
)


def require_domain(loop: LoopSpec, domain: Domain = COMPANION) -> None:
    """Refuse a loop that a domain's people do not speak.

    Raises:
        ShouldFixArgument: naming the loop and what of it differs.
    """
    forms = tuple((s.low, s.high, s.two_sided, s.silence) for s in loop.signals)
    context = tuple((f.name, f.kind, f.width, _bounds(f)) for f in loop.context)
    kinds = tuple(action.kind.value for action in loop.actions)
    wanted_kinds = tuple("no_action" if k < 0 else KINDS[k] for k in domain.kind_of)
    people = tuple(action.people or 0 for action in loop.actions)
    for name, given, wanted in (
        ("actions", loop.action_ids, domain.actions),
        ("kinds of actions", kinds, wanted_kinds),
        ("people of pairings", people, tuple(domain.partners.tolist())),
        ("signals", loop.signal_names, SIGNALS),
        ("forms of signals", forms, SIGNAL_FORMS),
        ("context", context, CONTEXT),
    ):
        if given != wanted:
            raise ShouldFixArgument(
                f"The population does not speak loop {loop.name!r}: its {name} are {given!s:.200}, "
                f"not {wanted!s:.200}.",
                f"Play it with the loop of domain {domain.name!r}, or give the loop's own domain.",
            )


def _bounds(field: ContextField) -> object:
    if field.kind is FieldKind.CATEGORY:
        return field.choices
    if field.kind is FieldKind.CYCLE:
        return field.period
    return None if field.kind is FieldKind.HISTORY else (field.low, field.high)
