"""Small moves of encoded states: how often do they change what a policy does, and by how much?

Of each logged state x, every number (of kind number, vector or cycle, where its field is present) moves by
at most ``radius``, within [-1, 1]; categories, histories and missing indicators stay. A decision *flips*
when another action becomes the most likely and the propensity of the first falls by at least ``material``:
a tie that turns round changes nothing. Random moves say what noise does. The search looks for the worst
move: from the random one that left the smallest margin p(a0) - max p(a), each round tries both ends of the
range of every number, one at a time, and keeps the best. Exploration is left out: it would hide what the
model does.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from everloop.contracts.adversarial import Attack, AttackLimits
from everloop.contracts.datasets import Bool, EncodedEpisodes, EncodingLayout, Float, Float32, Int
from everloop.contracts.ports import Policy
from rl.adversarial.answers import CONFIDENCE, answer, asked, figure, not_made
from rl.off_policy.intervals import clustered_mean

NAME = "perturbed_states"
_KINDS = ("number", "vector", "cycle")
_ROUNDS = 3
_COORDINATES = 64
"""At most so many numbers are tried in a round, drawn anew in each."""
_PEOPLE = "clustered t interval over people"


def movable(layout: EncodingLayout, context: Float32) -> Bool:
    """(n, d) which numbers of n states may move: not of fields that are absent."""
    moves = np.zeros(context.shape, dtype=np.bool_)
    missing = {block.field: block.start for block in layout.of_kind("missing")}
    for block in layout.of_kind(*_KINDS):
        present = np.ones(len(context), dtype=np.bool_)
        if block.field in missing:
            present = context[:, missing[block.field]] < 0.5
        moves[:, block.dimensions] = present[:, None]
    return moves


@dataclass(frozen=True, slots=True)
class _Unmoved:
    """n states as they were logged, and what the policy does there."""

    context: Float32
    mask: Bool
    moves: Bool
    propensity: Float
    first: Int

    def where(self, rows: Int) -> _Unmoved:
        return _Unmoved(
            self.context[rows],
            self.mask[rows],
            self.moves[rows],
            self.propensity[rows],
            self.first[rows],
        )

    def margin(self, propensity: Float) -> Float:
        """p(a0) - max over the others; negative where a flip happened."""
        rows = np.arange(len(propensity))
        others = np.where(self.mask, propensity, -1.0)
        others[rows, self.first] = -1.0
        return np.asarray(propensity[rows, self.first] - others.max(axis=1))

    def flipped(self, propensity: Float, material: float) -> Bool:
        rows = np.arange(len(propensity))
        fell = self.propensity[rows, self.first] - propensity[rows, self.first]
        return np.asarray((self.margin(propensity) < 0) & (fell >= material))


def attack_by_perturbation(
    policy: Policy,
    episodes: EncodedEpisodes,
    layout: EncodingLayout,
    limits: AttackLimits,
    seed: int = 0,
) -> Attack:
    """Move logged states a little, at random and as badly as a search can.

    Args:
        policy: the attacked model.
        episodes: logged decisions; at most ``limits.states`` of them, drawn, are attacked.
        layout: of their encoding.
        limits: how far, how often and what is too much.
        seed: of the moves.
    """
    rng = np.random.default_rng([seed, 1])
    chosen = rng.permutation(len(episodes))[: limits.states]
    moves = movable(layout, episodes.context[chosen])
    if not moves.any():
        return Attack(not_made(NAME, "There is no logged state with a number that could be moved."))
    context, mask = episodes.context[chosen], episodes.mask[chosen]
    propensity = asked(policy, context, mask)
    unmoved = _Unmoved(context, mask, moves, propensity, propensity.argmax(axis=1))
    flips, change, worst = _random(policy, unmoved, limits, rng)
    searched = np.arange(min(limits.searched, len(chosen)))
    found = _search(policy, unmoved.where(searched), worst[searched], limits, rng)
    person = episodes.person[chosen]
    random_flips = clustered_mean(
        "flipped by a random move",
        flips,
        person,
        CONFIDENCE,
        f"{limits.draws} moves of each state; {_PEOPLE}",
    )
    worst_flips = clustered_mean(
        "flipped by the worst move found",
        found.astype(np.float64),
        person[searched],
        CONFIDENCE,
        f"greedy search over coordinates; {_PEOPLE}",
    )
    largest = figure(
        "largest change of a propensity by a random move",
        float(change.max()),
        len(chosen) * limits.draws,
        "largest of all moves",
    )
    withstood = (
        random_flips.value <= limits.max_random_flips
        and worst_flips.value <= limits.max_worst_flips
        and largest.value <= limits.max_change
    )
    reason = (
        f"Moving each number by up to {limits.radius:g} at random flips "
        f"{random_flips.value:.1%} of decisions (at most {limits.max_random_flips:.0%}), changes a "
        f"propensity by up to {largest.value:.2f} (at most {limits.max_change:g}), and the worst move "
        f"found flips {worst_flips.value:.1%} (at most {limits.max_worst_flips:.0%})."
    )
    check = answer(NAME, withstood, reason, random_flips.value, limits.max_random_flips)
    return Attack(check, (random_flips, worst_flips, largest))


def _random(
    policy: Policy, unmoved: _Unmoved, limits: AttackLimits, rng: np.random.Generator
) -> tuple[Float, Float, Float32]:
    """(n,) share of flips, (n,) largest change, (n, d) the move that left the smallest margin."""
    n = len(unmoved.context)
    flips, change = np.zeros(n), np.zeros(n)
    smallest, worst = np.full(n, np.inf), unmoved.context.copy()
    for _ in range(limits.draws):
        step = rng.uniform(-limits.radius, limits.radius, unmoved.context.shape)
        moved = _within(unmoved, unmoved.context + step)
        propensity = asked(policy, moved, unmoved.mask)
        flips += unmoved.flipped(propensity, limits.material)
        change = np.maximum(change, np.abs(propensity - unmoved.propensity).max(axis=1))
        margin = unmoved.margin(propensity)
        worse = margin < smallest
        worst[worse], smallest = moved[worse], np.minimum(margin, smallest)
    return flips / limits.draws, change, worst


def _search(
    policy: Policy,
    unmoved: _Unmoved,
    start: Float32,
    limits: AttackLimits,
    rng: np.random.Generator,
) -> Bool:
    """(n,) whether the worst move that was found flips the decision."""
    n = len(unmoved.context)
    rows, worst = np.arange(n), start.copy()
    propensity = asked(policy, worst, unmoved.mask)
    smallest = unmoved.margin(propensity)
    flipped = unmoved.flipped(propensity, limits.material)
    for _ in range(_ROUNDS):
        best, margins = worst.copy(), smallest.copy()
        tried = np.flatnonzero(unmoved.moves.any(axis=0))
        for j in rng.permutation(tried)[:_COORDINATES]:
            for end in (-limits.radius, limits.radius):
                moved = worst.copy()
                moved[rows, j] = unmoved.context[rows, j] + np.float32(end)
                moved = _within(unmoved, moved)
                propensity = asked(policy, moved, unmoved.mask)
                flipped |= unmoved.flipped(propensity, limits.material)
                margin = unmoved.margin(propensity)
                better = margin < margins
                best[better], margins = moved[better], np.minimum(margin, margins)
        worst, smallest = best, margins
    return flipped


def _within(unmoved: _Unmoved, moved: Float | Float32) -> Float32:
    """Moves of what may move, cut to [-1, 1]."""
    cut = np.clip(moved, -1.0, 1.0)
    return np.where(unmoved.moves, cut, unmoved.context).astype(np.float32)
