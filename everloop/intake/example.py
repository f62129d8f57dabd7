"""The example log: made-up people whose responses are known, imported like any other log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from everloop.contracts.episodes import Episode, RewardSignal
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import EventLog
from everloop.intake import example_truth as truth
from everloop.intake.conformity import conform_episode, conform_signal
from everloop.intake.example_journeys import (
    AGE_GROUPS,
    DAYS,
    HALF_LIFE,
    HISTORY,
    PEOPLE,
    SEED,
    ExampleLog,
    generate,
)
from everloop.intake.records import (
    ImportSummary,
    Progress,
    Pseudonym,
    Seal,
    append_whole,
    as_it_is,
    stable_uuid,
)

MODEL_VERSION = "companion-rules-1"
NOTE = (
    "The people of this log are made up. It comes from a seeded generator whose true rewards are "
    "known, so that what the loop learns can be judged; no figure on it says anything of real people."
)


def _require_companion(spec: LoopSpec) -> None:
    """Refuse a loop whose actions, signals or reward differ from those the truth is written for."""
    weights = tuple(signal.weight for signal in spec.signals)
    found = {
        "actions": (spec.action_ids, truth.ACTIONS),
        "signals": (spec.signal_names, truth.SIGNALS),
        "signal weights": (weights, tuple(truth.WEIGHTS.tolist())),
        "closes_after_seconds": (spec.reward.closes_after_seconds, truth.CLOSES_AFTER),
        "half_life_seconds": (spec.reward.half_life_seconds, HALF_LIFE),
    }
    for name, (given, wanted) in found.items():
        if given != wanted:
            raise ShouldFixArgument(
                f"The example's truth is not that of loop {spec.name!r}: {name} is {given}, "
                f"not {wanted}.",
                "Import the example into the shipped companion loop.",
            )


def _history(log: ExampleLog, row: int) -> list[dict[str, Any]]:
    """The person's earlier decisions; a reward is null while its episode is still open."""
    known_until = int(log.timestamp[row]) - truth.CLOSES_AFTER
    return [
        {
            "action": truth.ACTIONS[log.action[earlier]],
            "reward": (
                round(float(log.reward[earlier]), 4)
                if int(log.timestamp[earlier]) <= known_until
                else None
            ),
        }
        for earlier in log.previous[row]
        if earlier >= 0
    ][-HISTORY:]


def _context(log: ExampleLog, row: int) -> dict[str, Any]:
    return {
        "emotion": log.emotion[row].tolist(),
        "recent_interactions": _history(log, row),
        "heart_rate": float(log.heart_rate[row]),
        "pulse_variability": float(log.pulse_variability[row]),
        "hour": int(log.hour[row]),
        "weekday": int(log.weekday[row]),
        "week": int(log.week[row]),
        "connections": int(log.connections[row]),
        "active_connections": int(log.active_connections[row]),
        "age_group": AGE_GROUPS[log.age_group[row]],
    }


def _episodes(
    log: ExampleLog, spec: LoopSpec, pseudonym: Pseudonym, tenant: str, ids: list[str]
) -> Iterator[Episode]:
    users: dict[int, str] = {}
    for row in range(len(log)):
        person = int(log.person[row])
        if person not in users:
            users[person] = pseudonym(f"example/{person:06d}")
        action = int(log.action[row])
        yield conform_episode(
            spec,
            Episode(
                episode_id=ids[row],
                user_id=users[person],
                loop=spec.name,
                context_snapshot=_context(log, row),
                action_taken=truth.ACTIONS[action],
                timestamp=datetime.fromtimestamp(int(log.timestamp[row]), UTC),
                model_version=MODEL_VERSION,
                propensity=float(log.propensities[row, action]),
                valid_actions=tuple(
                    name for name, valid in zip(truth.ACTIONS, log.valid[row], strict=True) if valid
                ),
                tenant=tenant,
            ),
        )


def _signals(
    log: ExampleLog, spec: LoopSpec, tenant: str, ids: list[str]
) -> Iterator[RewardSignal]:
    signals = log.signals
    for i in range(len(signals)):
        episode_id = ids[signals.episode[i]]
        yield conform_signal(
            spec,
            RewardSignal(
                signal_id=stable_uuid("signal", episode_id, str(i)),
                episode_id=episode_id,
                signal_type=truth.SIGNALS[signals.kind[i]],
                value=float(signals.value[i]),
                latency=int(signals.latency[i]),
                confidence=float(signals.confidence[i]),
                tenant=tenant,
            ),
        )


def episode_ids(
    log: ExampleLog,
    people: int = PEOPLE,
    days: int = DAYS,
    seed: int = SEED,
    tenant: str = "default",
) -> list[str]:
    """(n,) the ids under which ``import_example`` stores the rows of ``generate``'s log."""
    name = f"example/{people}/{days}/{seed}"
    return [
        stable_uuid("episode", tenant, name, str(person), str(step))
        for person, step in zip(log.person, log.step, strict=True)
    ]


def import_example(
    log: EventLog,
    spec: LoopSpec,
    pseudonym: Pseudonym,
    people: int = PEOPLE,
    days: int = DAYS,
    seed: int = SEED,
    tenant: str = "default",
    progress: Progress | None = None,
    seal: Seal = as_it_is,
) -> ImportSummary:
    """Import the example log, whole or not at all; again, it is a replay.

    Args:
        seal: seals health fields.

    Raises:
        ShouldFixArgument: the loop is not the companion, or people, days or seed cannot be used.
    """
    _require_companion(spec)
    made = generate(people, days, seed)
    ids = episode_ids(made, people, days, seed, tenant)
    return append_whole(
        log,
        spec,
        tenant,
        map(seal, _episodes(made, spec, pseudonym, tenant, ids)),
        _signals(made, spec, tenant, ids),
        NOTE,
        progress,
    )
