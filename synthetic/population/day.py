"""One day as the product would log it, and the truth beside it."""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

import numpy as np

from everloop.contracts.datasets import Bool, Float, Int
from synthetic.population.archetypes import PLANE
from synthetic.population.catalogue import SIGNALS
from synthetic.population.decisions import Decisions
from synthetic.population.responses import Responses
from synthetic.population.state import Hidden

_IDS: Final = uuid.uuid5(uuid.NAMESPACE_URL, "everloop/population")


ROLES: Final = ("person", "bot", "poisoner")
"""Who an account is: somebody who answers as they feel, nobody, or somebody who answers falsely."""
PERSON, BOT, POISONER = range(3)


def user_id(number: int) -> str:
    """The product's id of a person."""
    return f"person-{number:06d}"


def decision_id(seed: int, user: str, day: date) -> str:
    """UUID of the decision of a person on a day: people come at most once a day."""
    return str(uuid.uuid5(_IDS, f"{seed}/{user}/{day.isoformat()}"))


@dataclass(frozen=True, slots=True, eq=False)
class Visitors:
    """Who comes on a day, n of them in order of time, before anything is decided.

    Attributes:
        user_ids: product ids. timestamp: (n,) seconds since the epoch, UTC. hidden: the truth of them.
    """

    user_ids: tuple[str, ...]
    timestamp: Int
    hidden: Hidden


@dataclass(frozen=True, slots=True, eq=False)
class DayOfDecisions:
    """One day: n decisions in order of time.

    Attributes:
        date: the day, UTC.
        decision_ids: n UUIDs. user_ids: n product ids of the people, such as "person-000123".
        partner_ids: per decision, the product ids of those whom its pairing brought together.
        slate_chance: (n,) probability of exactly these people in this order, given the pairing.
        decisions: contexts, actions, propensities, evidence, and the truth beside them.
        responses: the law of the day: the truth of any action at these states.
        present: people present in the morning. arrived, left: how many came new, and left.
        role: (n,) who is behind each decision, a position in ``ROLES``.
    """

    date: date
    decision_ids: tuple[str, ...]
    user_ids: tuple[str, ...]
    partner_ids: tuple[tuple[str, ...], ...]
    slate_chance: Float
    decisions: Decisions
    responses: Responses
    present: int
    arrived: int
    left: int
    role: Int

    def __len__(self) -> int:
        return len(self.decision_ids)

    @property
    def of_people(self) -> Bool:
        """(n,) True where somebody is behind the decision, whatever they answer."""
        return np.asarray(self.role != BOT)

    @property
    def value(self) -> float:
        """Mean true expected reward of the policy that decided, over people's states; NaN without any."""
        made, people = self.decisions, self.of_people
        each = (made.propensities * made.expected_reward).sum(axis=1)[people]
        return float(each.mean()) if len(each) else math.nan

    def valid_actions(self, row: int) -> tuple[str, ...]:
        valid = self.decisions.valid[row]
        return tuple(
            name
            for name, allowed in zip(self.responses.domain.actions, valid, strict=True)
            if allowed
        )

    def action_arguments(self, row: int) -> dict[str, Any]:
        """Whom the action brought together, what they show of themselves and how likely they were;
        empty for other actions."""
        people = self.partner_ids[row]
        if not people:
            return {}
        shown = PLANE[self.decisions.partners[row, : len(people)]]
        return {
            "user_ids": list(people),
            "descriptors": np.round(shown, 4).tolist(),
            "slate_propensity": float(self.slate_chance[row]),
        }

    def signals(self) -> list[Mapping[str, Any]]:
        """Every signal as the product sends it: signal_id, decision_id, signal_type, value, latency,
        confidence. Ids are deterministic."""
        found = self.decisions.evidence
        return [
            {
                "signal_id": str(uuid.uuid5(_IDS, f"{self.decision_ids[row]}/{index}")),
                "decision_id": self.decision_ids[row],
                "signal_type": SIGNALS[kind],
                "value": value,
                "latency": latency,
                "confidence": confidence,
            }
            for index, (row, kind, value, latency, confidence) in enumerate(
                zip(
                    found.decision.tolist(),
                    found.kind.tolist(),
                    found.value.tolist(),
                    found.latency.tolist(),
                    found.confidence.tolist(),
                    strict=True,
                )
            )
        ]
