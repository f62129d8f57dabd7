"""Learners compared: what each would have earned, which one ships, and what privacy costs, in words."""

from __future__ import annotations

import math

from everloop.contracts.evaluation import Estimate
from everloop.contracts.policy_learning import ComparedPolicy, PolicyComparison
from everloop.reporting.charts import Forest, forest
from everloop.reporting.wording import interval, plural

NAMES = {
    "ppo": "PPO",
    "greedy": "greedy: the user model's best single decision",
    "lin_ts": "LinTS: linear Thompson sampling",
    "lin_ucb": "LinUCB: linear optimistic bandit",
    "raw_dr": "doubly robust on the raw log",
}
_VALUE = "dr"


def short(learner: str) -> str:
    """A learner's name within a sentence."""
    return NAMES.get(learner, learner).partition(":")[0]


def label(policy: ComparedPolicy) -> str:
    """A learner's name as a row of a forest plot."""
    name = NAMES.get(policy.learner, policy.learner)
    return name if policy.deployable else f"{name}, report only"


def values(comparison: PolicyComparison) -> Forest:
    """What each learner's policy would have earned per decision, and the baseline."""
    rows = [
        (label(policy), _tone(policy), estimate)
        for policy in comparison.policies
        for estimate in policy.evaluation.estimates
        if estimate.name == _VALUE
    ]
    evaluation = comparison.best.evaluation
    rows.append((f"baseline: {evaluation.baseline_name}", "baseline", evaluation.baseline))
    return forest(rows, reference=evaluation.baseline.value)


def gains(comparison: PolicyComparison) -> Forest:
    """Each learner - baseline, with the bounds that the choice is made by."""
    rows = [(label(p), _tone(p), p.evaluation.difference) for p in comparison.policies]
    return forest(rows, reference=0.0, signed=True)


def leads(comparison: PolicyComparison) -> Forest:
    """The chosen learner - each other one, and what privacy costs."""
    rows = [
        (f"{short(comparison.chosen)} − {short(d.name)}", "main", d) for d in comparison.differences
    ]
    return forest(rows, reference=0.0, signed=True)


def told_apart(comparison: PolicyComparison) -> str:
    """Whether these people can tell the learners apart, in a sentence or two."""
    chosen, known = short(comparison.chosen), [d for d in comparison.differences if _known(d)]
    if not comparison.differences:
        return f"{chosen} alone was learned."
    if not known:
        return "These people cannot judge the learners, so nothing is known of their differences."
    better = [short(d.name) for d in known if d.low > 0]
    worse = [short(d.name) for d in known if d.high < 0]
    alike = [short(d.name) for d in comparison.differences if not (d.low > 0 or d.high < 0)]
    if not better and not worse:
        return (
            "These people cannot tell the learners apart: the interval of every difference between "
            f"{chosen} and another learner holds 0."
        )
    parts = []
    if better:
        parts.append(f"{chosen} is better than {_listed(better)}")
    if worse:
        parts.append(f"{chosen} is worse than {_listed(worse)}")
    if alike:
        parts.append(f"these people cannot tell {chosen} from {_listed(alike)}")
    text = "; ".join(parts)
    return f"{text[0].upper()}{text[1:]}."


def privacy_cost(comparison: PolicyComparison) -> str:
    """What learning on the raw log would earn more, in a sentence; "" where nothing was learned on it."""
    cost, chosen = comparison.privacy_cost, short(comparison.chosen)
    if cost is None:
        return ""
    if not _known(cost):
        return "What privacy costs cannot be said: these people cannot judge the two policies."
    numbers = interval(cost, signed=True)
    if cost.low > 0:
        says = "privacy costs that much here"
    elif cost.high < 0:
        says = "so privacy costs nothing here: the simulator's policy is the better one"
    else:
        says = "the interval holds 0, so these people cannot say that privacy costs anything"
    return (
        f"A policy learned on the raw log itself would earn {numbers} a decision against {chosen}: {says}. "
        "It is shown for this comparison alone and is never shipped."
    )


def error_split(comparison: PolicyComparison) -> str:
    """What the error probability of all these intervals is split over."""
    judged = plural(comparison.best.evaluation.candidates, "candidate")
    says = (
        f"The error probability is split over {judged}: every policy that tonight or an earlier night of "
        "the window compared on these people, report-only ones too."
    )
    if not comparison.differences:
        return says
    return (
        f"{says} Half of it pays for the bounds against the baseline, half for the differences between "
        "any two learners of a night, so that all of these intervals hold at once whichever was chosen; "
        "what privacy costs is one of those differences."
    )


def one_line(comparison: PolicyComparison) -> str:
    """The comparison for a terminal."""
    gain = interval(comparison.best.evaluation.difference, signed=True)
    return (
        f"{comparison.chosen} of {', '.join(p.learner for p in comparison.policies)}; "
        f"against the baseline {gain}. {told_apart(comparison)}"
    )


def _tone(policy: ComparedPolicy) -> str:
    return "main" if policy.deployable else "third"


def _known(estimate: Estimate) -> bool:
    return math.isfinite(estimate.low) and math.isfinite(estimate.high)


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
