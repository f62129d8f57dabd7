"""Does a record fit its loop? Actions, context fields and signals against the specification.

``Episode`` and ``RewardSignal`` hold what is true of every loop; this module holds what only the
loop's specification can say.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from everloop.contracts.episodes import Episode, Json, RewardSignal
from everloop.contracts.errors import ShouldFixEpisode, ShouldFixSignal
from everloop.contracts.loop_spec import ContextField, FieldKind, LoopSpec


@dataclass(frozen=True, slots=True)
class Nonconformity:
    """One way in which a record does not fit: where, what was given, what is wrong, what to do.

    ``field`` is the record's field; a context field is ``context_snapshot.<name>``.
    """

    field: str
    value: Json
    problem: str
    fix: str

    def __str__(self) -> str:
        shown = repr(self.value)
        shown = shown if len(shown) <= 120 else f"{shown[:117]}..."
        return f"{self.field}={shown} {self.problem}."


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The nearest known name as a question, or the known names themselves (at most ten)."""
    names = list(known)
    near = difflib.get_close_matches(name, names, n=1)
    if near:
        return f"Did you mean {near[0]!r}?"
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"Known: {', '.join(names[:10])}{more}."


def _is_number(value: Json) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _all_finite(values: Sequence[Json]) -> bool:
    try:
        if not set(map(type, values)) <= {int, float}:
            return False
        # A sum is finite only if everything in it is; one that is not may just be large.
        return math.isfinite(sum(values)) or all(map(math.isfinite, values))
    except OverflowError:  # an integer beyond the range of floats
        return False


def _number(field: ContextField, value: Json) -> tuple[str, str] | None:
    if not _is_number(value):
        return "is not a finite number", f"Log a number within [{field.low:g}, {field.high:g}]."
    if not field.low <= value <= field.high:
        return (
            f"is outside the public bounds [{field.low:g}, {field.high:g}]",
            "Correct the value, or widen the field's bounds in the loop specification.",
        )
    return None


def _cycle(field: ContextField, value: Json) -> tuple[str, str] | None:
    if not _is_number(value):
        return "is not a finite number", f"Log a number within [0, {field.period:g}]."
    if not 0 <= value <= field.period:
        return (
            f"is outside the cycle [0, {field.period:g}]",
            "Check the unit, or correct the field's period in the loop specification.",
        )
    return None


def _category(field: ContextField, value: Json) -> tuple[str, str] | None:
    if not isinstance(value, str):
        return "is not a string", f"Log one of the field's choices: {', '.join(field.choices)}."
    if value not in field.choices:
        return "is not one of the field's choices", did_you_mean(value, field.choices)
    return None


def _vector(field: ContextField, value: Json) -> tuple[str, str] | None:
    if not isinstance(value, list | tuple):
        return "is not a list", f"Log {field.width} numbers."
    if len(value) != field.width:
        return f"does not have {field.width} numbers", f"Log {field.width} numbers."
    if not _all_finite(value):
        return "holds something that is no finite number", f"Log {field.width} numbers."
    if not field.low <= min(value) <= max(value) <= field.high:
        return (
            f"leaves the public bounds [{field.low:g}, {field.high:g}]",
            "Correct the values, or widen the field's bounds in the loop specification.",
        )
    return None


def _history(field: ContextField, value: Json) -> tuple[str, str] | None:
    if not isinstance(value, list | tuple):
        return "is not a list", "Log a list, newest last; an empty one for a new person."
    if len(value) > field.width:
        return f"has more than {field.width} interactions", f"Keep the last {field.width}."
    for item in value:
        if not isinstance(item, dict) or set(item) != {"action", "reward"}:
            return (
                "holds an interaction of another shape",
                'Log {"action": id, "reward": r or null}.',
            )
        # An action that has left the catalogue stays in people's histories for a while.
        if not isinstance(item["action"], str):
            return "holds an action that is no id", "Log the id of the action."
        reward = item["reward"]
        if reward is not None and not (_is_number(reward) and -1 <= reward <= 1):
            return "holds a reward outside [-1, 1]", "Rescale it, or log null."
    return None


_CHECKS: dict[FieldKind, Callable[[ContextField, Json], tuple[str, str] | None]] = {
    FieldKind.NUMBER: _number,
    FieldKind.VECTOR: _vector,
    FieldKind.CATEGORY: _category,
    FieldKind.CYCLE: _cycle,
    FieldKind.HISTORY: _history,
}


def episode_nonconformities(spec: LoopSpec, episode: Episode) -> Iterator[Nonconformity]:
    """Every way in which an episode does not fit its loop; nothing when it fits."""
    if episode.loop != spec.name:
        yield Nonconformity(
            "loop", episode.loop, "is not this loop", f"Send it to {spec.name!r} or rename it."
        )
    # Logs repeat one mask millions of times: the taken action is in it, so the mask covers both.
    unknown = [a for a in episode.valid_actions if a not in spec.action_index]
    for action in unknown:
        name = "action_taken" if action == episode.action_taken else "valid_actions"
        yield Nonconformity(
            name,
            action,
            "is not in the loop's catalogue",
            did_you_mean(action, spec.action_ids),
        )
    yield from context_nonconformities(spec, episode.context_snapshot, "context_snapshot")


def context_nonconformities(
    spec: LoopSpec, context: Mapping[str, Json], named: str
) -> Iterator[Nonconformity]:
    """Every way in which a context does not fit its loop; ``named``: what the record calls it."""
    for field in spec.context:
        name = f"{named}.{field.name}"
        if field.name not in context:
            yield Nonconformity(
                name, None, "is missing", "Log every context field of the specification."
            )
            continue
        wrong = _CHECKS[field.kind](field, context[field.name])
        if wrong is not None:
            yield Nonconformity(name, context[field.name], *wrong)
    declared = [field.name for field in spec.context]
    for key in context:
        if key not in declared:
            yield Nonconformity(
                f"{named}.{key}",
                context[key],
                "is not a context field of this loop",
                did_you_mean(key, declared),
            )


def signal_nonconformities(spec: LoopSpec, signal: RewardSignal) -> Iterator[Nonconformity]:
    """Every way in which a signal does not fit its loop; nothing when it fits."""
    if signal.signal_type not in spec.signal_names:
        yield Nonconformity(
            "signal_type",
            signal.signal_type,
            "is not a signal of this loop",
            did_you_mean(signal.signal_type, spec.signal_names),
        )
        return
    declared = spec.signal(signal.signal_type)
    if not declared.low <= signal.value <= declared.high:
        yield Nonconformity(
            "value",
            signal.value,
            f"is outside the declared range [{declared.low:g}, {declared.high:g}]",
            f"Rescale {declared.name!r}, or correct its range in the loop specification.",
        )


def conform_episode(spec: LoopSpec, episode: Episode) -> Episode:
    """Return the episode if it fits its loop.

    Raises:
        ShouldFixEpisode: naming the first field that does not fit, its value and the fix.
    """
    for wrong in episode_nonconformities(spec, episode):
        raise ShouldFixEpisode(f"Episode {episode.episode_id}: {wrong}", wrong.fix)
    return episode


def conform_signal(spec: LoopSpec, signal: RewardSignal) -> RewardSignal:
    """Return the signal if it fits its loop.

    Raises:
        ShouldFixSignal: naming what does not fit, its value and the fix.
    """
    for wrong in signal_nonconformities(spec, signal):
        raise ShouldFixSignal(f"Signal {signal.signal_id}: {wrong}", wrong.fix)
    return signal
