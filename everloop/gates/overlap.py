"""The logged decisions must be able to say something about the candidate."""

from __future__ import annotations

from everloop.contracts.evaluation import Check, OverlapDiagnostics
from everloop.contracts.loop_spec import LoopSpec, ThresholdSpec
from everloop.gates.answers import failed, insufficient, number, passed
from everloop.gates.evidence import GateEvidence


class OverlapCheck:
    name = "overlap"

    def __call__(self, spec: LoopSpec, evidence: GateEvidence) -> Check:
        if evidence.evaluation is None:
            return insufficient(self.name, reason="The candidate was not evaluated on logged data.")
        found, thresholds = evidence.evaluation.overlap, spec.thresholds
        effective, least = found.effective_sample, thresholds.min_effective_sample
        if found.n == 0:
            why = " ".join(found.problems) or "There is no held-out decision to judge it on."
            return insufficient(self.name, reason=why, value=effective, threshold=least)
        if found.problems:
            return failed(
                self.name, reason=" ".join(found.problems), value=effective, threshold=least
            )
        if not _within(found, thresholds):
            return failed(
                self.name,
                reason=(
                    "The overlap figures break the loop's thresholds: effective sample "
                    f"{number(found.effective_sample)}, largest share of weight "
                    f"{number(found.max_weight_share)}, mean weight {number(found.mean_weight)}, "
                    f"share on actions that were never logged {number(found.unsupported_share)}."
                ),
                value=effective,
                threshold=least,
            )
        return passed(
            self.name,
            reason=(
                f"{found.n:,} held-out decisions count for {found.effective_sample:,.0f} of the "
                f"candidate's own; the mean weight is {found.mean_weight:.3f} and the largest "
                f"weight is {found.max_weight_share:.2%} of all."
            ),
            value=effective,
            threshold=least,
        )


def _within(found: OverlapDiagnostics, thresholds: ThresholdSpec) -> bool:
    """The figures themselves, so that an empty list of problems alone never passes; NaN is a no."""
    return (
        found.effective_sample >= thresholds.min_effective_sample
        and found.max_weight_share <= thresholds.max_weight_share
        and abs(found.mean_weight - 1.0) <= thresholds.mean_weight_tolerance
        and found.unsupported_share <= thresholds.margin
    )
