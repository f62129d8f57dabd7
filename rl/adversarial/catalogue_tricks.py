"""Masks that a product may send by mistake or on purpose: one action, only dangerous ones, odd mixtures.

Under every mask a policy must give probability to valid actions alone, all of it, and as it would among
more actions: p(a | M) = p(a | M') / sum over M of p(. | M') for M within M'. The order of states must not
matter, and a state without any valid action must be refused rather than answered.
"""

from __future__ import annotations

import numpy as np

from everloop.contracts.adversarial import Attack, AttackLimits
from everloop.contracts.datasets import Bool, EncodedEpisodes, Float, Float32
from everloop.contracts.errors import EverloopError
from everloop.contracts.evaluation import Estimate
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import Policy
from rl.adversarial.answers import answer, asked, broken_rows, figure, not_made, share

NAME = "catalogue_tricks"
_LEAST_MASS = 1e-3
"""Of the wider distribution on the narrower mask: below, single precision says nothing of the shares."""


def attack_by_catalogue(
    policy: Policy,
    spec: LoopSpec,
    episodes: EncodedEpisodes,
    limits: AttackLimits,
    seed: int = 0,
) -> Attack:
    """Ask about logged states under masks that were never logged."""
    rng = np.random.default_rng([seed, 3])
    chosen = rng.permutation(len(episodes))[: limits.states]
    context = episodes.context[chosen]
    if len(context) == 0:
        return Attack(not_made(NAME, "There is no logged state to ask about."))
    wide = np.ones((len(context), len(spec.actions)), dtype=np.bool_)
    whole = asked(policy, context, wide)
    masks = _masks(spec, len(context), rng)
    broken, deviation, asked_about = broken_rows(whole, wide), 0.0, len(context)
    for mask in masks:
        narrow = asked(policy, context, mask)
        wrong = broken_rows(narrow, mask)
        broken |= wrong
        asked_about += len(context)
        deviation = max(deviation, _deviation(whole, narrow, mask, ~broken))
    order = rng.permutation(len(context))
    turned = asked(policy, context[order], wide[order])
    apart = float(np.abs(turned - whole[order]).max()) if not broken.any() else 0.0
    refuses = _refuses_no_action(policy, context[:1], len(spec.actions))
    figures = (
        share(
            "states with an answer that is no distribution", broken, f"{len(masks)} masks of each"
        ),
        _largest("largest error of renormalised propensities", deviation, asked_about),
        _largest("largest change by the order of states", apart, len(context)),
    )
    limit = limits.max_renormalisation_error
    problems = [
        text
        for wrong, text in (
            (
                broken.any(),
                f"{int(broken.sum()):,} of {len(broken):,} states get an answer under some mask that "
                "gives probability to a masked action or is no distribution",
            ),
            (
                deviation > limit,
                f"propensities under a narrower mask are off by up to {deviation:.3g} from the wider "
                f"one's, renormalised (at most {limit:g})",
            ),
            (apart > limit, f"the order of states changes propensities by up to {apart:.3g}"),
            (not refuses, "a state without any valid action is answered instead of refused"),
        )
        if wrong
    ]
    reason = (
        f"{len(masks)} masks on {len(context):,} logged states: "
        + ("; ".join(problems) or "valid actions alone, all probability, renormalised")
        + "."
    )
    return Attack(answer(NAME, not problems, reason, deviation, limit), figures)


def _masks(spec: LoopSpec, n: int, rng: np.random.Generator) -> list[Bool]:
    """(n, A) masks: each action alone, the safety-critical ones alone, and random ones in random order."""
    actions = len(spec.actions)
    masks = [np.tile(np.eye(actions, dtype=np.bool_)[a], (n, 1)) for a in range(actions)]
    critical = np.array([action.safety_critical for action in spec.actions])
    if critical.any():
        masks.append(np.tile(critical, (n, 1)))
    half = rng.random((n, actions)) < 0.5
    half[np.arange(n), rng.integers(0, actions, n)] = True
    masks += [half, rng.permuted(half, axis=1)]
    return masks


def _deviation(whole: Float, narrow: Float, mask: Bool, usable: Bool) -> float:
    kept = np.where(mask, whole, 0.0)
    mass = kept.sum(axis=1)
    rows = usable & (mass >= _LEAST_MASS)
    if not rows.any():
        return 0.0
    return float(np.abs(narrow[rows] - kept[rows] / mass[rows, None]).max())


def _refuses_no_action(policy: Policy, context: Float32, actions: int) -> bool:
    """Whether a state without a valid action is refused."""
    try:
        asked(policy, context, np.zeros((1, actions), dtype=np.bool_))
    except EverloopError:
        return True
    return False


def _largest(name: str, value: float, n: int) -> Estimate:
    return figure(name, value, n, "largest of all")
