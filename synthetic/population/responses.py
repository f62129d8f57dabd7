"""How people respond: what suits them, what they signal, and what that is worth.

How well action a suits a person with moods x in {-1, 0, 1}^4, traits t (turned by the drift), at part
p of the day, tired of the action's kind or not, together with a partner of archetype q:

    s = MOOD_a . x + TASTE_a . t + OFFSET_a + DAILY_a,p - TIRED [tired] + AFFINITY C[own, q]
        - gap [burdened] + season_p.

Signal j then succeeds with chance m_j = sigmoid(SLOPE_j (s - THRESHOLD_j)); after no_action it does with
a small fixed chance for engagement, and half of the time for the others. Engagement and resonance are
graded in five steps, .1 + .2 Binomial(4, m), explicit feedback is a thumb, Bernoulli(m). A reported value
is noise with probability ``noise``: any step, or any thumb, alike. So every signal's law is finite and
expected reward and acceptance are exact sums. A pairing with several people is as good as the mean over
them, so the mean over partners drawn from the people present is exact too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
from scipy.special import comb, expit

from everloop.contracts.datasets import Bool, Float, Int
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import LoopSpec
from synthetic.population.archetypes import (
    ARCHETYPE_OF,
    ARCHETYPES,
    BURDENED_OF,
    COMES,
    COMPATIBILITY,
    CONNECTED_OF,
    PARTS,
    PLANE,
)
from synthetic.population.catalogue import MOST_PARTNERS, NOTHING, weights_of
from synthetic.population.disturbance import Disturbance
from synthetic.population.domain import COMPANION, Domain, require_domain
from synthetic.population.mix import SHIPPED, Mix
from synthetic.population.state import Hidden
from synthetic.population.tastes import AFFINITY, QUIET, SLOPE, THRESHOLD, TIRED

GRADES: Final = 5
LOWEST: Final = 0.1
STEP: Final = 0.2
"""Grades .1, .3, .5, .7, .9: no combination of them lies on a reward of ``success_at`` = .2."""
_STEPS = GRADES - 1
_TIE = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Responses:
    """The law of responses while the people present and the tastes stay as they are.

    Attributes:
        loop: weights, ``success_at`` and closing time of the reward.
        partner_mix: (6,) archetypes that a pairing's partners are drawn from; sums to 1.
        turn: radians by which tastes are turned against the traits that people show.
        group_gap: how much less any action suits burdened people.
        disturbance: of signals.
        domain: the catalogue and what its actions do; the loop must be its own.
        mix: who arrives.
        group_turn: radians by which burdened people's tastes are turned against everybody else's.
        season: (4,) how much more everything suits in each part of the day.
        parts: (4,) factors on the chances of the parts of the day, before they sum to 1 again.
        restless: moods follow the calendar too, which no law here knows of.
    """

    loop: LoopSpec
    partner_mix: Float
    turn: float = 0.0
    group_gap: float = 0.0
    disturbance: Disturbance = field(default_factory=Disturbance)
    domain: Domain = COMPANION
    mix: Mix = SHIPPED
    group_turn: float = 0.0
    season: tuple[float, ...] = (0.0,) * len(PARTS)
    parts: tuple[float, ...] = (1.0,) * len(PARTS)
    restless: bool = False

    def __post_init__(self) -> None:
        require_domain(self.loop, self.domain)
        if len(self.season) != len(PARTS) or len(self.parts) != len(PARTS) or not any(self.parts):
            raise ShouldFixArgument(
                f"season={self.season}, parts={self.parts} are not one number for each of "
                f"{len(PARTS)} parts of the day, or nobody may come.",
                "Give four of each.",
            )
        mix = self.partner_mix
        if mix.shape != (len(ARCHETYPES),) or (mix < 0).any() or abs(mix.sum() - 1) > 1e-9:
            raise ShouldFixArgument(
                f"partner_mix={mix} is no distribution over {len(ARCHETYPES)} archetypes.",
                "Give six shares that sum to 1.",
            )

    def valid(self, hidden: Hidden) -> Bool:
        """(n, A) valid actions."""
        return self.domain.valid(CONNECTED_OF[hidden.kind])

    @property
    def groups_differ(self) -> bool:
        """Whether burdened people respond unlike the others."""
        return bool(self.group_gap or self.group_turn)

    @property
    def comes(self) -> Float:
        """(6, 4) chance of each part of the day at a visit of each archetype."""
        if all(factor == 1.0 for factor in self.parts):
            return COMES
        weight = COMES * np.array(self.parts)
        return np.asarray(weight / weight.sum(axis=1, keepdims=True))

    def require_still(self, what: str) -> None:
        """Refuse what knows of no calendar where moods follow it.

        Raises:
            ShouldFixArgument: they do.
        """
        if self.restless:
            raise ShouldFixArgument(
                f"{what} is not known: moods follow a season, and their law changes with the day.",
                "Leave seasons of moods out, or play days.",
            )

    def _taste(self, turn: float) -> Float:
        """(6, A) how well each action suits an archetype's turned traits."""
        cos, sin = np.cos(turn), np.sin(turn)
        return np.asarray(PLANE @ np.array([[cos, sin], [-sin, cos]]) @ self.domain.taste.T)

    def suits(self, hidden: Hidden) -> Float:
        """(n, A) s of the module's formula without the partner's part."""
        archetype, burdened = ARCHETYPE_OF[hidden.kind], BURDENED_OF[hidden.kind][:, None]
        fit = hidden.feeling @ self.domain.mood.T
        taste = self._taste(self.turn)[archetype]
        if self.group_turn:
            turned = self._taste(self.turn + self.group_turn)[archetype]
            taste = np.where(burdened, turned, taste)
        fit += taste
        fit += self.domain.offset + self.domain.daily.T[hidden.part]
        if any(self.season):
            fit += np.array(self.season)[hidden.part][:, None]
        tired = np.concatenate([hidden.tired, np.zeros((len(hidden), 1), dtype=np.bool_)], axis=1)
        fit -= TIRED * tired[:, self.domain.kind_of]
        return np.asarray(fit - self.group_gap * burdened)

    def chances(self, hidden: Hidden) -> Float:
        """(n, A, 3) chance m of each signal, the mean over the partners that may be drawn."""
        fit = self.suits(hidden)
        chances = _chances(fit)
        own = COMPATIBILITY[ARCHETYPE_OF[hidden.kind]]
        for pairing in self.domain.pairings:
            chances[:, pairing] = sum(
                share * _chances(fit[:, pairing] + AFFINITY * own[:, partner])
                for partner, share in enumerate(self.partner_mix)
            )
        chances[:, NOTHING] = QUIET
        return chances

    def chances_with(self, hidden: Hidden, action: Int, partners: Int) -> Float:
        """(n, 3) chances of the action taken with the partners drawn, (n, 3) archetypes."""
        fit = self.suits(hidden)[np.arange(len(hidden)), action]
        met = self.domain.partners[action]
        meets = np.arange(MOST_PARTNERS) < met[:, None]
        affinity = AFFINITY * COMPATIBILITY[ARCHETYPE_OF[hidden.kind][:, None], partners]
        each = _chances(fit[:, None] + np.where(meets, affinity, 0.0))
        weight = np.where(meets, 1.0, 0.0)
        weight[met == 0, 0] = 1.0
        weight /= weight.sum(axis=1, keepdims=True)
        chances = (each * weight[:, :, None]).sum(axis=1)
        chances[action == NOTHING] = QUIET
        return np.asarray(chances)

    def means(self, hidden: Hidden) -> Float:
        """(n, A, 3) mean of each signal's reported value in [0, 1], given that it is sent."""
        return self.means_of(self.chances(hidden))

    def means_of(self, chances: Float) -> Float:
        """Reported means of given chances, (..., 3)."""
        true = chances.copy()
        true[..., :2] = LOWEST + STEP * _STEPS * true[..., :2]
        noise = self.disturbance.noise
        return np.asarray((1 - noise) * true + noise * 0.5)

    def presence(self) -> Float:
        """(A, 3) probability that a signal is present in time; it depends on the action alone."""
        return self.disturbance.in_time_of(self.domain.present)

    def expected_reward(self, hidden: Hidden) -> Float:
        """(n, A) expected reward in [-1, 1] of every action, valid or not."""
        return self.reward_of(self.means(hidden))

    def reward_of(self, means: Float) -> Float:
        """(n, A) expected reward of reported means (n, A, 3): the mean over patterns of presence of
        sum(w m) / sum(w); engagement's silence is 0, a two-sided m counts as 2 m - 1."""
        weight, present = weights_of(self.loop), self.presence()
        engagement = weight[0] * present[:, 0] * means[:, :, 0]
        reward = np.zeros(means.shape[:2])
        for resonance in (0, 1):
            for feedback in (0, 1):
                chance = np.where(resonance, present[:, 1], 1 - present[:, 1]) * np.where(
                    feedback, present[:, 2], 1 - present[:, 2]
                )
                total = (
                    engagement
                    + resonance * weight[1] * (2 * means[:, :, 1] - 1)
                    + feedback * weight[2] * (2 * means[:, :, 2] - 1)
                )
                reward += (
                    chance * total / (weight[0] + resonance * weight[1] + feedback * weight[2])
                )
        return reward

    def acceptance(self, hidden: Hidden) -> Float:
        """(n, A) probability that the realised reward reaches ``reward.success_at``.

        For pairings it is the mean over partners for one partner; several partners share one graded
        outcome whose chance is their mean, so the mean over all draws of them is taken.
        """
        fit = self.suits(hidden)
        single = _chances(fit)
        single[:, NOTHING] = QUIET
        accepted = self.acceptance_of(single, np.arange(len(self.domain)))
        own = COMPATIBILITY[ARCHETYPE_OF[hidden.kind]]
        for pairing in self.domain.pairings:
            each = [
                _chances(fit[:, pairing] + AFFINITY * own[:, partner])
                for partner in range(len(ARCHETYPES))
            ]
            accepted[:, pairing] = 0.0
            for share, members in _draws(self.partner_mix, int(self.domain.partners[pairing])):
                mean = np.mean([each[member] for member in members], axis=0)
                accepted[:, pairing] += share * self.acceptance_of(mean, np.array(pairing))
        return accepted

    def acceptance_of(self, chances: Float, action: Int) -> Float:
        """(...) probability of acceptance of given chances (..., 3) after the given actions (...)."""
        weight, threshold = weights_of(self.loop), self.loop.reward.success_at - _TIE
        present = self.presence()[action]
        engagement = self._graded(chances[..., 0]) * present[..., :1]
        resonance = self._graded(chances[..., 1]) * present[..., 1:2]
        noise = self.disturbance.noise
        up = (1 - noise) * chances[..., 2] + noise / 2
        thumb = (
            (0.0, 0.0, 1 - present[..., 2]),
            (1.0, 1.0, present[..., 2] * up),
            (1.0, -1.0, present[..., 2] * (1 - up)),
        )
        grades = LOWEST + STEP * np.arange(GRADES)
        first = [(g, engagement[..., k]) for k, g in enumerate(grades)]
        first.append((0.0, 1 - present[..., 0]))
        second = [(1.0, 2 * g - 1, resonance[..., k]) for k, g in enumerate(grades)]
        second.append((0.0, 0.0, 1 - present[..., 1]))
        accepted = np.zeros(chances.shape[:-1])
        for value, chance in first:
            for counts, sign, thumbed in thumb:
                reached = [
                    likely
                    for there, graded, likely in second
                    if weight @ np.array([value, there * graded, counts * sign])
                    >= threshold * (weight @ np.array([1.0, there, counts]))
                ]
                if reached:
                    accepted += chance * thumbed * sum(reached)
        return accepted

    def _graded(self, chance: Float) -> Float:
        """(..., 5) law of a graded signal's reported value."""
        k = np.arange(GRADES)
        m = chance[..., None]
        true = comb(_STEPS, k) * m**k * (1 - m) ** (_STEPS - k)
        noise = self.disturbance.noise
        return np.asarray((1 - noise) * true + noise / GRADES)


def _chances(fit: Float) -> Float:
    """(..., 3) sigmoid of the module's formula."""
    return np.asarray(expit(SLOPE * (fit[..., None] - THRESHOLD)))


def _draws(mix: Float, partners: int) -> list[tuple[float, tuple[int, ...]]]:
    """Every multiset of partners' archetypes with its probability."""
    found: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(partners):
        longer: dict[tuple[int, ...], float] = {}
        for members, chance in found.items():
            for partner, share in enumerate(mix):
                if share > 0:
                    key = tuple(sorted((*members, partner)))
                    longer[key] = longer.get(key, 0.0) + chance * float(share)
        found = longer
    return [(chance, members) for members, chance in found.items()]
