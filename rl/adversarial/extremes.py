"""Contexts at the ends of what is declared: everything low, high, missing or never seen.

A policy must answer each with a distribution over valid actions, and must not answer nearly all of them
with one and the same action: that is what a model does which was pushed out of the range that it learned
in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from everloop.contracts.adversarial import Attack, AttackLimits
from everloop.contracts.loop_spec import ContextField, FieldKind, LoopSpec
from everloop.contracts.ports import Policy
from rl.adversarial.answers import answer, asked, broken_rows, figure, share
from rl.encoders.context import encode_context

NAME = "extreme_contexts"
UNSEEN = "never seen before"
"""A category that no specification declares."""
_CORNERS = 200


def extreme_contexts(spec: LoopSpec, seed: int = 0) -> tuple[Mapping[str, Any], ...]:
    """Snapshots at public bounds: all low, all high, none at all, unseen categories, each field alone at an
    end, and random corners."""
    rng = np.random.default_rng([seed, 2])
    ends = {field.name: _ends(spec, field) for field in spec.context}
    lowest, highest = ({name: values[at] for name, values in ends.items()} for at in (0, -1))
    unseen = {f.name: UNSEEN for f in spec.context if f.kind is FieldKind.CATEGORY}
    whole: list[Mapping[str, Any]] = [
        {},
        lowest,
        highest,
        unseen,
        {**lowest, **unseen},
        {**highest, **unseen},
    ]
    whole += [{name: value} for name, values in ends.items() for value in values]
    for _ in range(_CORNERS):
        whole.append({name: values[rng.integers(len(values))] for name, values in ends.items()})
    return tuple(whole)


def _ends(spec: LoopSpec, field: ContextField) -> list[Any]:
    """The extreme values of a field, lowest first."""
    if field.kind is FieldKind.NUMBER:
        return [field.low, field.high]
    if field.kind is FieldKind.VECTOR:
        return [[field.low] * field.width, [field.high] * field.width]
    if field.kind is FieldKind.CYCLE:
        return [0.0, field.period / 2, field.period]
    if field.kind is FieldKind.CATEGORY:
        return list(field.choices)
    pasts = [
        [{"action": action, "reward": reward}] * field.width
        for action in (spec.action_ids[0], spec.action_ids[-1])
        for reward in (-1.0, 1.0)
    ]
    return [[], *pasts]


def attack_by_extremes(
    policy: Policy, spec: LoopSpec, limits: AttackLimits, seed: int = 0
) -> Attack:
    """Ask about every extreme context, with every action valid and without exploration."""
    context = np.unique(encode_context(spec, extreme_contexts(spec, seed)), axis=0)
    mask = np.ones((len(context), len(spec.actions)), dtype=np.bool_)
    propensity = asked(policy, context, mask)
    broken = broken_rows(propensity, mask)
    usable = propensity[~broken]
    mean = usable.mean(axis=0) if len(usable) else np.ones(1)
    most = int(mean.argmax())
    figures = (
        share("answers that are no distribution", broken, "extreme contexts"),
        figure(
            "mean propensity of the most likely action",
            float(mean[most]),
            len(usable),
            "extreme contexts",
        ),
    )
    if broken.any():
        reason = (
            f"{int(broken.sum()):,} of {len(broken):,} extreme contexts are answered with something "
            "that is no distribution over valid actions."
        )
        return Attack(answer(NAME, False, reason, float(broken.mean()), 0.0), figures)
    collapsed = bool(mean[most] > limits.max_extreme_share)
    reason = (
        f"Over {len(usable):,} extreme contexts {spec.action_ids[most]!r} is the most likely action "
        f"with a mean propensity of {mean[most]:.1%}; at most {limits.max_extreme_share:.0%} may go to "
        "one action."
    )
    check = answer(NAME, not collapsed, reason, float(mean[most]), limits.max_extreme_share)
    return Attack(check, figures)
