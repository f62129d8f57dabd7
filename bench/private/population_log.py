"""The population's logs as encoded episodes, with the truth beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

import numpy as np

from everloop.contracts.actions import ActionKind
from everloop.contracts.datasets import Bool, EncodedEpisodes, Float, Float32, Int
from everloop.contracts.loop_spec import LoopSpec
from rl.encoders import in_holdout, layout, public_projection
from rl.encoders.context import encoder_of
from rl.encoders.fields import PROJECTED_SCALE
from synthetic.population import Policy, PopulationSpec, Truth, WideContexts, logging_policy
from synthetic.population.archetypes import ARCHETYPE_OF, CONNECTED_OF, PLANE, SENSITIVE_OF
from synthetic.population.emission import MIXING
from synthetic.population.journeys import play_journeys
from synthetic.population.state import Hidden


def encode_wide(loop: LoopSpec, contexts: WideContexts) -> Float32:
    """(n, d) what ``rl.encoders.encode_context`` makes of ``contexts.snapshots()``, from arrays."""
    states = np.zeros((len(contexts), layout(loop).width), dtype=np.float32)
    for block in layout(loop).blocks:
        if block.kind == "missing":
            continue
        field = loop.field(block.field)
        if block.kind == "history":
            made = _history(loop, contexts.past_action, contexts.past_reward)
        elif block.kind == "category":
            made = np.eye(len(field.choices))[getattr(contexts, field.name)]
        elif block.kind == "cycle":
            angle = (
                2.0
                * np.pi
                / field.period
                * np.remainder(getattr(contexts, field.name), field.period)
            )
            made = np.stack([np.sin(angle), np.cos(angle)], axis=1)
        else:
            values = getattr(contexts, field.name).reshape(len(contexts), -1)
            made = np.clip((values - field.low) / (field.high - field.low) * 2.0 - 1.0, -1.0, 1.0)
            if field.project_to is not None and field.project_to < field.width:
                projected = made @ public_projection(field.width, field.project_to).T
                made = np.clip(projected * PROJECTED_SCALE, -1.0, 1.0)
        states[:, block.dimensions] = made
    return states


def _history(loop: LoopSpec, past_action: Int, past_reward: Float) -> Float:
    """(n, 7) share of each action kind, mean reward, share with one, length over the width."""
    there, known = past_action >= 0, np.isfinite(past_reward)
    length = np.maximum(there.sum(axis=1), 1)
    kinds = np.array([list(ActionKind).index(action.kind) for action in loop.actions])
    kind = np.where(there, kinds[past_action], -1)
    shares = np.stack([(kind == k).sum(axis=1) / length for k in range(len(ActionKind))], axis=1)
    count = known.sum(axis=1)
    mean = np.where(known, past_reward, 0.0).sum(axis=1) / np.maximum(count, 1)
    others = np.stack([mean, count / length, there.sum(axis=1) / past_action.shape[1]], axis=1)
    return np.concatenate([shares, others], axis=1)


def encoded_emotion(loop: LoopSpec, numbers: Float) -> Float:
    """(..., 6) encoded emotion of given numbers behind it (..., 6), noise aside: what
    ``Truth.next_numbers`` means for the next encoded context."""
    field = loop.field("emotion")
    vector = (numbers @ MIXING.T - field.low) / (field.high - field.low) * 2.0 - 1.0
    if field.project_to is None or field.project_to == field.width:
        return np.asarray(vector)
    return np.asarray(vector @ public_projection(field.width, field.project_to).T * PROJECTED_SCALE)


def encoded_policy(loop: LoopSpec, propensities: Callable[[Float32, Bool], Float]) -> Policy:
    """A policy on (encoded contexts (n, d), valid actions (n, A)) as one that the population plays."""

    def policy(contexts: WideContexts, valid: Bool, _: np.random.Generator) -> Float:
        return propensities(encode_wide(loop, contexts), valid)

    return policy


def shown_slate(partners: Int, met: Int) -> Float:
    """(n, 2) mean of what the first ``met`` (n,) of the partners (n, 3) show of themselves; 0 where
    nobody is met."""
    there = np.arange(partners.shape[1]) < met[:, None]
    total = (PLANE[partners] * there[:, :, None]).sum(axis=1)
    return np.asarray(total / np.maximum(met, 1)[:, None])


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """P people times E decisions and what is true of them; n = P E rows, ordered by person chunk, step.

    Attributes:
        episodes: what learning sees.
        truth: the law that they come from.
        hidden: (n) hidden states. ended: (n,) True where the person left after the decision.
        expected: (n, A) float32, true expected reward of every action.
        traits: (P, 4) archetype, temperament, has connections, age group, in the order of
            ``episodes.people``.
    """

    episodes: EncodedEpisodes
    truth: Truth
    hidden: Hidden
    ended: Bool
    expected: Float32
    traits: Int

    def acceptance(self, rows: Int | Bool) -> Float:
        """(k,) true probability that the logged decision of a row is accepted."""
        accepted = self.truth.acceptance(self.hidden.where(rows))
        return np.asarray(accepted[np.arange(len(accepted)), self.episodes.action[rows]])

    @property
    def accepted(self) -> Bool:
        """(n,) whether the logged decision was accepted."""
        return np.asarray(self.episodes.reward >= self.truth.responses.loop.reward.success_at)

    def gain_share(self, chosen: Int, rows: Bool) -> float:
        """Gain of the chosen actions (k,) over uniform ones at the k states of ``rows``, as a share of
        what the best single decisions gain."""
        true, mask = self.expected[rows], self.episodes.mask[rows]
        uniform = (np.where(mask, true, 0.0).sum(axis=1) / mask.sum(axis=1)).mean()
        best = np.where(mask, true, -np.inf).max(axis=1).mean()
        gained = true[np.arange(len(true)), chosen].mean()
        return float((gained - uniform) / (best - uniform))


def make_world(
    loop: LoopSpec,
    people: int,
    decisions: int,
    seed: int,
    spec: PopulationSpec | None = None,
    day: date | None = None,
    policy: Policy = logging_policy,
    holdout_share: float | None = None,
) -> World:
    """Make a log of ``people`` times ``decisions`` episodes decided by ``policy``.

    Args:
        spec: domain, mix, turn, drift, group gap and disturbance; its counts are not read.
        day: whose tastes hold throughout; None: ``spec.start``.
        holdout_share: of people; None: the loop's.
    """
    spec = spec or PopulationSpec()
    responses = spec.responses(loop, day or spec.start)
    truth = Truth(responses, loop.training.discount, spec.burdened_share)
    share = loop.thresholds.holdout_share if holdout_share is None else holdout_share
    names = np.array([hashlib.sha256(f"{seed}/{i}".encode()).hexdigest() for i in range(people)])
    order = np.argsort(names)
    place = np.argsort(order)
    n, actions, encoder = people * decisions, len(spec.domain), encoder_of(loop)
    context = np.empty((n, encoder.layout.width), dtype=np.float32)
    expected = np.empty((n, actions), dtype=np.float32)
    mask = np.empty((n, actions), dtype=np.bool_)
    signals, mood = np.empty((n, 3)), np.empty((n, 4), dtype=np.int64)
    slate = np.zeros((n, PLANE.shape[1]), dtype=np.float32)
    tired = np.empty((n, 3), dtype=np.bool_)
    propensity, reward, timestamp = np.empty(n), np.empty(n), np.empty(n)
    person, action, kind, part = np.empty((4, n), dtype=np.int64)
    ended = np.empty(n, dtype=np.bool_)
    traits = np.empty((people, 4), dtype=np.int64)
    filled = 0
    for step in play_journeys(
        responses, people, decisions, seed, policy, spec.visits(loop), spec.burdened_group
    ):
        made = step.decisions
        rows = slice(filled, filled + len(made))
        filled += len(made)
        context[rows] = encode_wide(loop, made.contexts)
        expected[rows], mask[rows], signals[rows] = made.expected_reward, made.valid, made.signals
        propensity[rows], reward[rows] = made.propensity, made.reward
        timestamp[rows], action[rows], ended[rows] = made.timestamp, made.action, made.ended
        slate[rows] = shown_slate(made.partners, spec.domain.partners[made.action])
        mood[rows], tired[rows] = made.hidden.mood, made.hidden.tired
        kind[rows], part[rows] = made.hidden.kind, made.hidden.part
        person[rows] = place[step.person]
        if step.step == 0:
            own = step.persons
            traits[place[step.person]] = np.stack(
                [
                    ARCHETYPE_OF[own.kind],
                    SENSITIVE_OF[own.kind],
                    CONNECTED_OF[own.kind],
                    own.age_group,
                ],
                axis=1,
            )
    held = np.array([in_holdout(name, share) for name in names[order]], dtype=np.bool_)
    digits = len(str(n))
    episodes = EncodedEpisodes(
        episode_id=np.char.add("e", np.char.zfill(np.arange(n).astype(f"U{digits}"), digits)),
        person=person,
        people=names[order],
        context=context,
        interacting=encoder.interacting,
        action=action,
        mask=mask,
        propensity=propensity,
        reward=reward,
        signals=signals,
        holdout=held[person],
        comparison=np.zeros(n, dtype=np.bool_),
        timestamp=timestamp,
        encoder=encoder.layout.encoder,
        slate=None if loop.candidates is None else slate,
    )
    return World(episodes, truth, Hidden(kind, mood, tired, part), ended, expected, traits)
