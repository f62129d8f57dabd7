"""Trust and opt-outs as success metrics: what people said of the product, not what it logged."""

from __future__ import annotations

from everloop.contracts.evaluation import Estimate
from everloop.contracts.feedback import TRUST_CONFIDENCE, TrustFigures
from everloop.reporting.wording import plural

TRUST_SCORE, OPT_OUT_RATE = "user_trust_score", "opt_out_rate"
TRUST_METRICS = (TRUST_SCORE, OPT_OUT_RATE)
"""Names of the success metrics that ``trust_figure`` measures."""


def trust_figure(name: str, trust: TrustFigures, person_ids: bool) -> tuple[Estimate | None, str]:
    """(estimate, how it was measured), or (None, why there is none yet).

    Args:
        name: one of ``TRUST_METRICS``.
        trust: the tenant's, as known at the run's cut-off.
        person_ids: whether the logs know persons; without, nobody can be counted.
    """
    return _score(trust) if name == TRUST_SCORE else _opt_outs(trust, person_ids)


def _score(trust: TrustFigures) -> tuple[Estimate | None, str]:
    if trust.trust_mean is None or trust.trust_low is None or trust.trust_high is None:
        return None, "no answers yet: nobody has answered the trust survey"
    estimate = Estimate(
        TRUST_SCORE,
        trust.trust_mean,
        trust.trust_low,
        trust.trust_high,
        TRUST_CONFIDENCE,
        trust.trust_n,
        trust.trust_n,
        "betting",
    )
    people = plural(trust.trust_n, "person", "people")
    return estimate, f"newest answer of {people} to the trust survey, 1 to 5"


def _opt_outs(trust: TrustFigures, person_ids: bool) -> tuple[Estimate | None, str]:
    if not person_ids:
        return None, "not measurable on this data: the logs carry no person"
    if trust.opt_out_rate is None or trust.opt_out_low is None or trust.opt_out_high is None:
        return None, "no people yet: nobody has been decided for, spoken with or asked"
    estimate = Estimate(
        OPT_OUT_RATE,
        trust.opt_out_rate,
        trust.opt_out_low,
        trust.opt_out_high,
        TRUST_CONFIDENCE,
        trust.people,
        trust.people,
        "Wilson",
    )
    people = plural(trust.people, "person", "people")
    return estimate, f"{trust.opted_out:,} of {people} known to the tenant refused training"
