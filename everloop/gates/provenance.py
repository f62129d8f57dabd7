"""Only what private releases alone made may be deployed."""

from __future__ import annotations

from everloop.contracts.evaluation import Check
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import Provenance
from everloop.gates.answers import failed, passed
from everloop.gates.evidence import GateEvidence


class ProvenanceCheck:
    """Refuses a policy that was learned on the raw log: such a policy is for reports alone."""

    name = "provenance"

    def __call__(self, spec: LoopSpec, evidence: GateEvidence) -> Check:  # noqa: ARG002  the port's
        if evidence.provenance is Provenance.PRIVATE_RELEASE:
            return passed(
                self.name, reason="The candidate was made from private releases and nothing else."
            )
        return failed(
            self.name,
            reason=(
                f"The candidate was made from {evidence.provenance.value.replace('_', ' ')} data, "
                "which must not leave the trust boundary: train it on private releases."
            ),
        )
