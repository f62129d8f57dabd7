"""May a candidate voice meet people? Every check of the sandbox is asked, and what it was made from."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from everloop.contracts.evaluation import Check, CheckStatus, Decision, Verdict
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import Provenance
from everloop.contracts.oversight import Oversight
from everloop.contracts.privacy import BudgetStatus
from everloop.contracts.sandboxes import SandboxReport
from everloop.contracts.voice_spec import Preset
from everloop.contracts.voices import AdapterFigures, DataFigures, PhaseFigures
from everloop.gates.answers import count, failed, insufficient, number, passed
from everloop.gates.approval import ApprovalCheck
from everloop.gates.budget import BudgetCheck
from everloop.gates.evidence import GateEvidence

MIN_PEOPLE = 2
"""People whom a voice must have learned from: one person alone would be repeated to everybody."""
TOKENS_APART = 0.2
"""Share by which a placebo's completions may be longer or shorter than the candidate's."""
SANDBOX = "sandbox_"
"""Before the names of the sandbox's own checks."""


@dataclass(frozen=True, slots=True)
class VoiceEvidence:
    """What a run found out about a candidate voice; None where a stage has nothing to show.

    Attributes:
        provenance: what the adapter was made from.
        adapter_sha256: of what would be served.
        data: what became of the rows that were there to learn from.
        training, placebo: the two trainings, which must match.
        sandbox: the report on this very adapter.
        budget: the privacy budget after the adapter's release, where it was trained privately.
        approval: the newest word of a person on the deployment.
        inputs: name of an input -> its SHA-256; goes into the verdict.
    """

    provenance: Provenance
    adapter_sha256: str
    data: DataFigures | None = None
    training: AdapterFigures | None = None
    placebo: AdapterFigures | None = None
    sandbox: SandboxReport | None = None
    budget: BudgetStatus | None = None
    approval: Oversight | None = None
    inputs: Mapping[str, str] = field(default_factory=dict)


def decide_voice(spec: LoopSpec, evidence: VoiceEvidence) -> Verdict:
    """``continue`` only if every check passes; ``hold`` otherwise, and where there is no evidence."""
    asked: tuple[Callable[[LoopSpec, VoiceEvidence], Check], ...] = (
        _provenance,
        _data,
        _training,
        _placebo,
        _tried,
        _budget,
        _approval,
    )
    answers = tuple(check(spec, evidence) for check in asked)
    found = () if evidence.sandbox is None else evidence.sandbox.checks
    answers += tuple(replace(check, name=f"{SANDBOX}{check.name}") for check in found)
    good = bool(found) and all(answer.status is CheckStatus.PASSED for answer in answers)
    return Verdict(Decision.CONTINUE if good else Decision.HOLD, answers, dict(evidence.inputs))


def _provenance(spec: LoopSpec, evidence: VoiceEvidence) -> Check:
    name, made = "provenance", evidence.provenance
    wanted = spec.voice is not None and spec.voice.privacy.epsilon is not None
    if made is Provenance.PRIVATE_RELEASE:
        return passed(
            name, "The adapter is a private release: its training is charged to everyone."
        )
    if made is Provenance.CONSENTED_TEXT and not wanted:
        return passed(
            name,
            "The adapter was made of texts of people who agreed to training. It holds no guarantee of "
            "differential privacy.",
        )
    return failed(
        name,
        f"The adapter was made from {made.value.replace('_', ' ')}, which must not leave the trust "
        "boundary here: train it on what people agreed to, privately where the voice has an epsilon.",
    )


def _data(spec: LoopSpec, evidence: VoiceEvidence) -> Check:
    name, found, learned = "data", evidence.data, evidence.training
    if found is None or learned is None or not learned.rows:
        return insufficient(name, "There is nothing to have learned from.")
    taught = count(learned.people, "person", "people")
    if learned.people < MIN_PEOPLE:
        return failed(
            name,
            f"The texts of {taught} would be repeated to everybody; {MIN_PEOPLE} are the least.",
            float(learned.people),
            float(MIN_PEOPLE),
        )
    large = spec.voice is not None and spec.voice.preset is Preset.LARGE_CORPUS
    if found.dominating and large:
        return failed(
            name,
            f"{found.dominating} dominates the examples: mix in others or lower its corpora's max_rows.",
        )
    return passed(
        name,
        f"{learned.rows:,} of {found.rows_in:,} rows were learned from, of {taught}; "
        f"{found.dominating or 'no category'} dominates.",
        float(learned.rows),
    )


def _training(spec: LoopSpec, evidence: VoiceEvidence) -> Check:  # noqa: ARG001  the port's
    name, found = "training", evidence.training
    if found is None:
        return insufficient(name, "No adapter was trained.")
    if found.adapter_sha256 != evidence.adapter_sha256:
        return failed(name, "The figures are of another adapter than the one that would be served.")
    if not (math.isfinite(found.moved) and found.moved > 0):
        return failed(name, f"The adapter moved by {number(found.moved)}: nothing was learned.")
    broken = [s for s in found.steps if not (math.isfinite(s.loss) and math.isfinite(s.grad_norm))]
    if broken:
        return failed(name, f"Step {broken[0].step} of {broken[0].phase} had no finite loss.")
    steps = sum(phase.steps for phase in found.phases)
    return passed(
        name,
        f"{count(steps, 'step')} in {count(len(found.phases), 'phase')}; the adapter moved by "
        f"{number(found.moved)}.",
        found.moved,
    )


def _placebo(spec: LoopSpec, evidence: VoiceEvidence) -> Check:  # noqa: ARG001  the port's
    name, own, other = "placebo", evidence.training, evidence.placebo
    if own is None or other is None:
        return insufficient(name, "There is no placebo to compare with.")
    if not other.placebo or own.placebo or other.adapter_sha256 == own.adapter_sha256:
        return failed(name, "What is compared with is no placebo of its own.")
    unlike = [
        p.phase for p, q in zip(own.phases, other.phases, strict=False) if _plan(p) != _plan(q)
    ]
    if len(own.phases) != len(other.phases) or unlike:
        told = ", ".join(unlike) or "the number of phases"
        return failed(name, f"The placebo was trained otherwise than the candidate: {told}.")
    still = [p.phase for p in own.phases if not p.peak_learning_rate > 0.0]
    if still:
        return failed(name, f"{', '.join(still)} was trained at no rate: nothing was compared.")
    for p, q in zip(own.phases, other.phases, strict=True):
        if abs(q.tokens - p.tokens) > TOKENS_APART * p.tokens:
            return insufficient(
                name,
                f"In {p.phase} the placebo learned {q.tokens:,} tokens and the candidate {p.tokens:,}, "
                f"more than {TOKENS_APART:.0%} apart: part of the effect would be length.",
            )
    tokens = [sum(phase.tokens for phase in each.phases) for each in (own, other)]
    return passed(
        name,
        "The placebo took the same steps at the same rates on as many examples, with "
        f"{tokens[1]:,} tokens beside the candidate's {tokens[0]:,}.",
    )


def _plan(phase: PhaseFigures) -> tuple[object, ...]:
    return (
        phase.phase,
        phase.method,
        phase.examples,
        phase.steps,
        phase.peak_learning_rate,
        phase.effective_batch,
    )


def _tried(spec: LoopSpec, evidence: VoiceEvidence) -> Check:  # noqa: ARG001  the port's
    name, found = "sandbox", evidence.sandbox
    if found is None or not found.checks:
        return insufficient(name, "The candidate was not tried in the sandbox.")
    if found.model_id != evidence.adapter_sha256:
        return failed(name, "The sandbox tried another adapter than the one that would be served.")
    measured = "" if found.comparison is None else found.comparison.adapter_sha256
    if measured not in ("", evidence.adapter_sha256):
        return failed(name, f"What was measured is of another adapter, {measured}.")
    ran = [run for run in found.runs if run.model_id == found.model_id]
    return passed(
        name, f"{count(len(ran), 'scenario')} ran apart from everything.", float(len(ran))
    )


def _budget(spec: LoopSpec, evidence: VoiceEvidence) -> Check:
    name, training = "privacy_budget", evidence.training
    if evidence.provenance is not Provenance.PRIVATE_RELEASE:
        return passed(name, "The adapter was not trained privately, so nothing was spent.")
    if training is None or training.epsilon is None or not training.release_id:
        return insufficient(name, "A private adapter names no release in the ledger.")
    return BudgetCheck()(spec, GateEvidence(evidence.provenance, budget=evidence.budget))


def _approval(spec: LoopSpec, evidence: VoiceEvidence) -> Check:
    return ApprovalCheck()(spec, GateEvidence(evidence.provenance, approval=evidence.approval))
