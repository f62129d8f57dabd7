"""What a user model's uncertainty is worth to a policy, where the question arises.

A product's usual rules take three actions nearly always and each of the others seldom, and few people have
been logged: the simulator guesses most where a policy would most like to go. PPO learns from one such
release: from it alone, with an ensemble of what its noise and sampling leave possible, with the penalty for
doubt of what an action earns above doing nothing, with both, and with both where the penalty is for doubt
of what an action earns at all. Each policy is
judged by its true value, and by its exploitation: what the release promises of the policy's journeys, less
what they are truly worth. Doing nothing at all is judged beside them.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from bench.learning.places import HOME, place
from bench.learning.released import Fitted, Releases
from bench.learning.systems import learn
from bench.learning.tables import over_seeds
from bench.private.population_log import make_world
from bench.record import Spread
from everloop.contracts.datasets import Bool, Float, Float32, Int
from everloop.contracts.loop_spec import LoopSpec, TrainingSpec
from everloop.contracts.models import States
from everloop.contracts.simulation import UserModel
from rl.belief import believed
from rl.environment.journeys import JourneyBatch, JourneySource
from rl.learners.simulated import drawn
from rl.runtime import OnnxPolicy, load_policy
from synthetic.population import WideContexts, doing_nothing
from synthetic.user_model.linear import LinearUserModel

USUAL: Final = ("no_action", "pair-one", "hive-walk")
SELDOM: Final = 0.025
"""Probability of every other action, where all are valid."""
FEW: Final = (200, 3)
"""People and episodes each."""
DISCOUNTS: Final = (0.5, 0.9)
"""The companion's own and every loop's default."""
ALONE: Final = "alone"
PESSIMISM: Final = TrainingSpec().pessimism


@dataclass(frozen=True, slots=True)
class Doubts:
    """``ensemble`` and ``pessimism`` of a training. ``of_levels``: its standard errors are those of what
    an action earns, not of how much more than no_action."""

    ensemble: int
    pessimism: float
    of_levels: bool = False


SYSTEMS: Final = {
    ALONE: Doubts(0, 0.0),
    "ensemble": Doubts(8, 0.0),
    "penalty": Doubts(0, PESSIMISM),
    "both": Doubts(8, PESSIMISM),
    "both, of levels": Doubts(8, PESSIMISM, of_levels=True),
}
"""``both`` are the defaults of a loop."""
_PLAYED: Final = 512
_STEPS: Final = 30


@dataclass(frozen=True, slots=True)
class DoubtTerms:
    """What one row measures; its key.

    Attributes:
        doubt: a name of ``SYSTEMS``. discount: how far ahead the training looks.
        people, each: people and episodes of each. seed: of world, noise and training.
    """

    doubt: str
    discount: float
    people: int
    each: int
    seed: int


class OfLevels(LinearUserModel):
    """A release that says how far its expected rewards may be off, whatever they are compared with.

    What is alike for all actions cannot change a decision, and these standard errors have much of it.
    """

    def reward_standard_error(
        self,
        context: Float32,
        action: Int,
        slate: Float32 | None = None,
        *,
        reference: int | None = None,
    ) -> Float:
        """(n,) standard error of r(s, a), delta method."""
        return super().reward_standard_error(context, action, slate)

    @classmethod
    def of(cls, spec: LoopSpec, model: LinearUserModel) -> OfLevels:
        return cls(spec, model.features, model.weights, model.facts, model.uncertainty)


def usual_rules(contexts: WideContexts, valid: Bool, rng: np.random.Generator) -> Float:  # noqa: ARG001
    """What logged: ``USUAL`` actions share what ``SELDOM`` leaves, among valid ones."""
    usual = np.isin(place(HOME).loop.action_ids, USUAL)
    often = (1.0 - SELDOM * (~usual).sum()) / usual.sum()
    weights = np.where(valid, np.where(usual, often, SELDOM), 0.0)
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


@lru_cache(maxsize=2)
def release(people: int, each: int, seed: int) -> Fitted:
    """Releases from a log of the usual rules."""
    there = place(HOME)
    world = make_world(
        there.loop, people, each, seed, there.spec, policy=usual_rules, holdout_share=1e-9
    )
    with Releases(seed) as releases:
        return releases.first(there.loop, world.episodes)


@lru_cache(maxsize=1)
def without_learning() -> tuple[float, float]:
    """Shares of the optimum's gain that the usual rules and doing nothing at all have."""
    there = place(HOME)
    usual, nothing = (there.rolled_out(policy) for policy in (usual_rules, doing_nothing))
    return there.worth(usual)["share"], there.worth(nothing)["share"]


def doubting(spec: LoopSpec, doubts: Doubts, discount: float) -> LoopSpec:
    """The loop with a system's doubts."""
    changed = {
        "ensemble": doubts.ensemble,
        "pessimism": doubts.pessimism,
        "discount": discount,
    }
    return spec.model_copy(update={"training": spec.training.model_copy(update=changed)})


def promised(
    spec: LoopSpec, fitted: Fitted, model: UserModel, policy: OnnxPolicy, seed: int
) -> float:
    """Mean reward per decision of a policy's journeys in a simulator, without exploration."""
    batch = JourneyBatch(JourneySource.of(spec, model, fitted.profiles), _PLAYED)
    rng = np.random.default_rng([seed, _PLAYED])
    batch.reset(rng)
    width, earned = fitted.profiles.context.shape[1], []
    for _ in range(_STEPS):
        seen = np.ascontiguousarray(batch.observation[:, :width])
        chances = policy.act(States(seen, batch.mask), 0.0).propensity
        earned.append(batch.step(drawn(chances, rng)).reward.mean())
    return float(np.mean(earned))


def measure_doubt(terms: DoubtTerms) -> dict[str, Any]:
    """Learn, serve and judge one row.

    ``promised``: by the release alone. ``believed``: by the simulator that the policy was trained in, its
    penalty included. ``gap``: promised less true.
    """
    there, fitted = place(HOME), release(terms.people, terms.each, terms.seed)
    doubts = SYSTEMS[terms.doubt]
    spec = doubting(fitted.spec, doubts, terms.discount)
    model = OfLevels.of(spec, fitted.model) if doubts.of_levels else fitted.model
    started = time.process_time()
    folder: Path = learn("ppo", spec, model, fitted.profiles, terms.seed)
    learned_in = time.process_time() - started
    policy = load_policy(folder / "policy.onnx", spec=there.loop)
    shutil.rmtree(folder)
    worth = there.worth(there.rolled_out(there.served(policy)))
    told = promised(spec, fitted, fitted.model, policy, terms.seed)
    usual, nothing = without_learning()
    own = believed(model, spec, terms.seed)
    return {
        **dataclasses.asdict(terms),
        **worth,
        "promised": told,
        "believed": promised(spec, fitted, own, policy, terms.seed),
        "gap": told - worth["value"],
        "usual_share": usual,
        "nothing_share": nothing,
        "cpu_s": learned_in,
    }


def paired(rows: Sequence[dict[str, Any]], system: str, discount: float, name: str) -> Spread:
    """How much more of ``name`` a system has than the release alone, seed by seed.

    Raises:
        ValueError: no seed has both.
    """
    found = {(r["doubt"], r["seed"]): r[name] for r in rows if r["discount"] == discount}
    seeds = [seed for one, seed in found if one == system and (ALONE, seed) in found]
    if not seeds:
        raise ValueError(f"No seed has both {system!r} and {ALONE!r} at discount {discount}.")
    return over_seeds([found[system, seed] - found[ALONE, seed] for seed in seeds])


def doubt_table(rows: Sequence[dict[str, Any]]) -> str:
    """Means over seeds, and differences to the release alone with 95 % t intervals over seeds."""
    lines = [
        "",
        "Few people, logs that take some actions seldom (gap: promised by the release less true); "
        f"share of the usual rules {rows[0]['usual_share']:.3f}, of doing nothing at all "
        f"{rows[0]['nothing_share']:.3f}",
        f"{'doubt':22}{'discount':>9}{'people x each':>15}{'share':>8}{'more than alone':>26}"
        f"{'promised':>10}{'believed':>10}{'true':>7}{'gap':>7}{'more than alone':>26}{'seeds':>6}",
    ]
    sizes = dict.fromkeys((r["people"], r["each"]) for r in rows)
    for people, each in sizes:
        sized = [r for r in rows if (r["people"], r["each"]) == (people, each)]
        for discount, system in dict.fromkeys((r["discount"], r["doubt"]) for r in sized):
            mine = [r for r in sized if (r["discount"], r["doubt"]) == (discount, system)]
            mean = {
                name: float(np.mean([r[name] for r in mine]))
                for name in ("share", "promised", "believed", "value", "gap")
            }
            lines.append(
                f"{system:22}{discount:9}{f'{people:,} x {each}':>15}{mean['share']:8.3f}"
                f"{_told(sized, system, discount, 'share'):>26}{mean['promised']:10.3f}"
                f"{mean['believed']:10.3f}{mean['value']:7.3f}{mean['gap']:7.3f}"
                f"{_told(sized, system, discount, 'gap'):>26}{len(mine):6}"
            )
    return "\n".join(lines)


def _told(rows: Sequence[dict[str, Any]], system: str, discount: float, name: str) -> str:
    if system == ALONE or not any(r["doubt"] == ALONE and r["discount"] == discount for r in rows):
        return "-"
    spread = paired(rows, system, discount, name)
    return f"{spread.value:+.3f} [{spread.low:+.3f}, {spread.high:+.3f}]"
