"""What the people's step stores: profiles, each with days that were simulated for it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

from everloop.contracts.loop_spec import JourneySpec, LoopSpec
from everloop.contracts.ports import Appended
from everloop.contracts.simulation import ProfileBatch, UserModel
from everloop.wiring import Workspace
from rl.encoders import layout
from synthetic.journeys import histories, roll_out
from synthetic.journeys.clock import Arrivals
from synthetic.profiles import to_rows

HISTORY_DAYS = 14
"""Days of simulated interactions of a night's people; an export simulates as many as one asks for."""
MOST_DECISIONS = 100
"""What somebody who never leaves may expect of them; where decisions come faster the days are fewer."""
_ROWS = 100
"""People of a transaction: while one is open, a service that shares the file stores nothing."""


def store_people(
    place: Workspace,
    spec: LoopSpec,
    tenant: str,
    logical_date: date,
    model: UserModel,
    people: ProfileBatch,
) -> Appended:
    """Play every profile's days over a released user model, and store the rows.

    Day 0 is that of the profiles' release. The same releases give the same rows, stored once.

    Args:
        place: whose profiles and ledger.
        spec: the loop.
        tenant: owner of the rows.
        logical_date: the night.
        model: how they respond.
        people: who they are.
    """
    found = place.ledger.latest_release(f"{spec.name}/{tenant}", "profiles", logical_date)
    start = logical_date if found is None else found[0].logical_date
    encoding, days = layout(spec), history_days(spec.journeys)
    new = replayed = 0
    for first in range(0, len(people), _ROWS):
        part = _part(people, slice(first, first + _ROWS))
        seed = (spec.training.seed, first)
        told = histories(roll_out(spec, encoding, model, part, days, seed, start=start), spec)
        rows = list(to_rows(part, encoding, spec, told, f"{model.release_id}/night/{first}"))
        stored = place.profiles.append(rows, spec.name, tenant)
        new, replayed = new + stored.new, replayed + stored.replayed
    return Appended(new, replayed)


def history_days(journeys: JourneySpec) -> int:
    """Days that a night's people are played for, at least 1."""
    arrivals = Arrivals.of(journeys)
    fitting = (d for d in range(HISTORY_DAYS, 1, -1) if arrivals.expected(d) <= MOST_DECISIONS)
    return next(fitting, 1)


def _part(people: ProfileBatch, rows: slice) -> ProfileBatch:
    return replace(
        people,
        context=people.context[rows],
        mask=people.mask[rows],
        weight=people.weight[rows],
        edge=None if people.edge is None else people.edge[rows],
        persona=None if people.persona is None else people.persona[rows],
    )
