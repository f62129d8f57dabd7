"""Loops with constraints, and what they exclude computed one person at a time by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from everloop.contracts.loop_spec import LoopSpec

HOUR = 3600 * 1_000_000
DAY = 24 * HOUR
ACTIONS: tuple[dict[str, Any], ...] = (
    {"id": "wait", "kind": "no_action"},
    {"id": "pair", "kind": "suggest_pairing", "people": 1},
    {"id": "walk", "kind": "recommend_hive", "event_id": "w"},
    {"id": "music", "kind": "recommend_hive", "event_id": "m"},
    {"id": "cheer", "kind": "intervention", "tone": "warm", "message": "Well done."},
    {"id": "calm", "kind": "intervention", "tone": "calm", "message": "Breathe."},
)
KINDS = {action["id"]: action["kind"] for action in ACTIONS}


def constrained(
    limits: Sequence[Mapping[str, Any]] = (),
    flags: Sequence[Mapping[str, Any]] = (),
    order: Sequence[int] = range(len(ACTIONS)),
    **changes: Any,
) -> LoopSpec:
    """Six actions in the given order, a pulse of 40 to 180 and a mood of three."""
    return LoopSpec.model_validate(
        {
            "name": "guarded",
            "version": 1,
            "context": [
                {"name": "pulse", "kind": "number", "low": 40, "high": 180},
                {"name": "mood", "kind": "category", "choices": ["low", "even", "high"]},
            ],
            "actions": [ACTIONS[place] for place in order],
            "signals": [{"name": "click", "weight": 1, "silence": "zero"}],
            "reward": {
                "attainable_low": 0,
                "attainable_high": 1,
                "half_life_seconds": 60,
                "closes_after_seconds": 60,
                "success_at": 0.5,
                "failure_at": -0.5,
            },
            "constraints": {"limits": list(limits), "flags": list(flags)},
            **changes,
        }
    )


def limit(*kinds: str, per_day: int | None = None, hours: float | None = None) -> dict[str, Any]:
    return {"kinds": kinds, "per_day": per_day, "cooldown_hours": hours}


def raw_flagged(spec: LoopSpec, context: Mapping[str, Any]) -> set[str]:
    """What flags exclude, from the raw snapshot."""
    found: set[str] = set()
    for flag in spec.constraints.flags:
        value = context.get(flag.field)
        if value is None or (flag.choices and value not in spec.field(flag.field).choices):
            holds = flag.when_missing
        elif flag.choices:
            holds = value in flag.choices
        else:
            holds = (flag.at_least is not None and value >= flag.at_least) or (
                flag.at_most is not None and value <= flag.at_most
            )
        found |= set(flag.never) if holds else set()
    return found


def raw_limited(spec: LoopSpec, made: Sequence[tuple[int, str]], now: int) -> set[str]:
    """What limits exclude, from one person's (time, action) list."""
    found: set[str] = set()
    for declared in spec.constraints.limits:
        times = [at for at, action in made if KINDS[action] in declared.kinds]
        today = sum(at >= now - now % DAY for at in times)
        reached = declared.per_day is not None and today >= declared.per_day
        if declared.cooldown_hours is not None:
            reached |= any(now - at < declared.cooldown_hours * HOUR for at in times)
        if reached:
            found |= {name for name in KINDS if KINDS[name] in declared.kinds}
    return found
