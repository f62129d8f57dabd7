"""Decisions that the candidate learned from must be explained."""

from __future__ import annotations

from everloop.contracts.evaluation import Check
from everloop.contracts.loop_spec import LoopSpec
from everloop.gates.answers import failed, insufficient, passed
from everloop.gates.evidence import GateEvidence


class ExplanationCheck:
    name = "explanations"

    def __call__(self, spec: LoopSpec, evidence: GateEvidence) -> Check:
        share, needed = evidence.explained_share, spec.thresholds.min_explained_share
        if share is None or not 0.0 <= share <= 1.0:
            return insufficient(
                self.name, reason="It is not known how many episodes are explained."
            )
        says = passed if share >= needed else failed
        return says(
            self.name,
            reason=(
                f"{share:.1%} of the training episodes have a complete explanation; "
                f"at least {needed:.1%} must."
            ),
            value=share,
            threshold=needed,
        )
