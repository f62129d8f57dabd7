"""When an experiment with variants ends, and who has won."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from everloop.contracts.evaluation import Estimate
from everloop.contracts.variants import PersonaVariant, VariantExperiment


@dataclass(frozen=True, slots=True)
class VariantVerdict:
    """Whether the experiment goes on; ``winner`` where one was found, ``stop`` where none can win."""

    reason: str
    winner: str = ""
    stop: bool = False


def judge_variants(
    experiment: VariantExperiment, judged: Sequence[PersonaVariant]
) -> VariantVerdict:
    """A variant wins with a lower bound above 0, the best lower bound of several; where every upper
    bound is below 0 the base stays for good. Both may be asked at every look.

    ``judged``: of ``performance``.
    """
    known = [
        (variant, variant.metrics.difference)
        for variant in judged[1:]
        if variant.metrics.difference is not None and not math.isnan(variant.metrics.difference.low)
    ]
    better = [(v, d) for v, d in known if d.low > 0]
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
    return VariantVerdict(f"Not decided: {shown}.")


def after(experiment: VariantExperiment, verdict: VariantVerdict) -> VariantExperiment | None:
    """The experiment's next state; None where it goes on as it is."""
    if experiment.state != "running":
        return None
    if verdict.winner:
        return replace(experiment, state="promoted", winner=verdict.winner, reason=verdict.reason)
    return replace(experiment, state="stopped", reason=verdict.reason) if verdict.stop else None


def _said(found: Estimate) -> str:
    return f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
