"""``GateEvidence``: all that the gate may look at, and the port that a check implements."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from everloop.contracts.evaluation import Check, PolicyEvaluation, ValidationReport
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint, Provenance
from everloop.contracts.oversight import Oversight
from everloop.contracts.privacy import BudgetStatus


@dataclass(frozen=True, slots=True)
class GateEvidence:
    """What a run found out about a candidate; None or empty where a stage has nothing to show.

    Attributes:
        provenance: what the candidate was made from.
        validation: answer of the validation stage.
        evaluation: off-policy evaluation of the candidate.
        quality: checks of the user model and the synthetic people on held-out real people.
        anomaly_share: share in [0, 1] of episodes that were flagged as anomalous.
        budget: the privacy budget after this run's releases.
        explained_share: share in [0, 1] of training episodes with a complete explanation.
        policy_sha256: of the candidate's served weights.
        active: the policy that serves; None where none does.
        approval: the newest word of a person on the deployment that the candidate is part of.
        review: the newest regular review of what serves.
        adversarial_test: the newest regular attack on what serves.
        now: when the gate is asked, with a time zone.
        inputs: name of an input -> its SHA-256; goes into the verdict.
    """

    provenance: Provenance
    validation: ValidationReport | None = None
    evaluation: PolicyEvaluation | None = None
    quality: tuple[Check, ...] = ()
    anomaly_share: float | None = None
    budget: BudgetStatus | None = None
    explained_share: float | None = None
    policy_sha256: str = ""
    active: ModelCheckpoint | None = None
    approval: Oversight | None = None
    review: Oversight | None = None
    adversarial_test: Oversight | None = None
    now: datetime | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)


class GateCheck(Protocol):
    """One question to the evidence.

    Constraints: the answer depends on the arguments alone; missing or NaN evidence is
    ``insufficient``, never ``passed``; the reason is a sentence with the numbers in it. Only what a
    person can know better than the figures is left to one (``person_decides``).
    """

    @property
    def name(self) -> str: ...

    def __call__(self, spec: LoopSpec, evidence: GateEvidence) -> Check: ...
