"""A person must agree before people meet the candidate, where the loop asks for one.

A deployment's id says what it consists of, its verdict included, so nobody can have agreed to it before
the gate has answered: a run's own gate waits, and ``Verdict.decided_by`` answers once a person has
spoken. What was rejected fails whatever the loop asks for.
"""

from __future__ import annotations

from everloop.contracts.evaluation import APPROVAL_CHECK, Check
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.oversight import OversightKind
from everloop.gates.answers import failed, insufficient, passed, waits
from everloop.gates.evidence import GateEvidence


class ApprovalCheck:
    name = APPROVAL_CHECK

    def __call__(self, spec: LoopSpec, evidence: GateEvidence) -> Check:
        said, asked = evidence.approval, spec.rollout.oversight.approval
        if said is not None and (said.kind, said.loop) != (OversightKind.APPROVAL, spec.name):
            return insufficient(
                self.name,
                reason=(
                    f"The word of {said.actor} is of kind {said.kind} on loop {said.loop!r}, "
                    "no approval of this candidate."
                ),
            )
        if said is not None and not said.passed:
            return failed(self.name, reason=said.sentence)
        if asked != "start":
            later = "before a promotion, not before a trial"
            asks = (
                f"a person's approval {later}"
                if asked == "promotion"
                else "no approval by a person"
            )
            return passed(self.name, reason=f"The loop asks for {asks}.")
        if said is None:
            return waits(
                self.name,
                reason=(
                    "The loop asks for a person's approval before a trial and nobody has given it: this "
                    "waits for a person (`everloop rollout approve`)."
                ),
            )
        return passed(self.name, reason=said.sentence)
