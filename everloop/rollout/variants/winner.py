"""When an experiment with variants ends, and who has won."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from everloop.contracts.evaluation import Estimate
from everloop.contracts.rollouts import SampleRatio
from everloop.contracts.variants import PersonaVariant, VariantExperiment
from everloop.rollout.variants.response import MARGIN, answers_kept
from everloop.rollout.variants.sharing import shares_met


@dataclass(frozen=True, slots=True)
class VariantVerdict:
    """Whether the experiment goes on; ``winner`` where one was found, ``stop`` where none can win.

    ``ratio``: whether people met the variants in their shares.
    """

    reason: str
    winner: str = ""
    stop: bool = False
    ratio: SampleRatio | None = None


def judge_variants(
    experiment: VariantExperiment, judged: Sequence[PersonaVariant], now: datetime
) -> VariantVerdict:
    """A variant wins with a lower bound above 0, the best lower bound of several, where its people are
    known to answer about as often as the base's; where every upper bound is below 0 the base stays for
    good. People in other shares than asked for stop it, and so does ``max_days`` without a winner: a
    winner that is first looked for later is still one, for the bounds hold at every look.

    Args:
        judged: of ``performance``.
        now: of the look, with a time zone.
    """
    ratio = shares_met(judged)
    if ratio.mismatch:
        shown = ", ".join(
            f"{name} {count} of {ratio.expected[name]:.0f}"
            for name, count in ratio.observed.items()
        )
        return VariantVerdict(
            f"People met the variants in other shares than asked for ({shown} expected): no comparison "
            "can be trusted, the base stays. Find out whose meetings are not noted.",
            stop=True,
            ratio=ratio,
        )
    found = replace(_by_feedback(experiment, judged), ratio=ratio)
    if experiment.state != "running" or found.winner or found.stop:
        return found
    days = (now - experiment.started_at) / timedelta(days=1)
    if days < experiment.max_days:
        return found
    return replace(
        found,
        reason=f"Undecided after {days:.1f} of at most {experiment.max_days} days, the base stays. "
        f"{found.reason}",
        stop=True,
    )


def _by_feedback(experiment: VariantExperiment, judged: Sequence[PersonaVariant]) -> VariantVerdict:
    known = [
        (variant, variant.metrics.difference)
        for variant in judged[1:]
        if variant.metrics.difference is not None and not math.isnan(variant.metrics.difference.low)
    ]
    better = [(v, d) for v, d in known if d.low > 0 and answers_kept(v, judged[0])]
    if better:
        variant, found = max(better, key=lambda pair: pair[1].low)
        return VariantVerdict(
            f"{variant.variant_id} is better: {_said(found)}.", variant.variant_id
        )
    worse = [(v, d) for v, d in known if d.high < 0]
    if known and len(worse) == len(judged) - 1:
        shown = "; ".join(f"{v.variant_id} {_said(d)}" for v, d in worse)
        return VariantVerdict(f"Every variant is worse than the base: {shown}.", stop=True)
    if not known:
        fewest = min(v.metrics.rating.clusters if v.metrics.rating else 0 for v in judged)
        return VariantVerdict(
            f"Too few people judged: {fewest} of a variant, {experiment.min_people} are needed."
        )
    shown = "; ".join(f"{v.variant_id} {_said(d)}" for v, d in known)
    silent = "".join(_silence(v, judged[0]) for v, d in known if d.low > 0)
    return VariantVerdict(f"Not decided: {shown}.{silent}")


def after(experiment: VariantExperiment, verdict: VariantVerdict) -> VariantExperiment | None:
    """The experiment's next state; None where it goes on as it is."""
    if experiment.state != "running":
        return None
    if verdict.winner:
        return replace(experiment, state="promoted", winner=verdict.winner, reason=verdict.reason)
    return replace(experiment, state="stopped", reason=verdict.reason) if verdict.stop else None


def _silence(variant: PersonaVariant, base: PersonaVariant) -> str:
    """Why one that rates better is not promoted."""
    found, against = variant.metrics.response_difference, base.metrics.response
    if found is None or against is None:
        return f" {variant.variant_id} rates better, but who answers was not measured."
    return (
        f" {variant.variant_id} rates better, but its people may have stopped answering: response rate "
        f"{_said(found)} to the base's {against.value:.3f}, whose loss must be below {MARGIN:.0%} of it."
    )


def _said(found: Estimate) -> str:
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
