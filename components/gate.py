"""Step 12: may the candidate meet people? No evidence is a no."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import (
    Evaluation,
    Explanations,
    GateVerdict,
    PrivateRelease,
    RewardTable,
    SyntheticQuality,
    TrainedPolicy,
    Validation,
)
from components._runtime import component


@component
def gate(
    workspace: str,
    product: str,
    thresholds: str,
    terms: str,
    tenant: str,
    code: str,
    oversight: str,
    validation: Input[Validation],
    rewards: Input[RewardTable],
    user_model: Input[PrivateRelease],
    profiles: Input[PrivateRelease],
    quality: Input[SyntheticQuality],
    policy: Input[TrainedPolicy],
    evaluation: Input[Evaluation],
    explanations: Input[Explanations],
    verdict: Output[GateVerdict],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> str:
    """Ask every named check and answer continue or hold, with reasons.

    Args:
        workspace: address of the workspace: what serves, and what people said of it.
        product: the loop specification's product section, JSON.
        thresholds: its thresholds, JSON.
        terms: how candidates are tried, and who must agree, JSON.
        tenant: owner of the model.
        code: checksum of our source, part of the cache key.
        oversight: what the answer depends on beside the artifacts (``everloop/sdk/standing.py``), part
            of the cache key, so that a review in between is seen.
        validation: what validation found.
        rewards: the reward figures (anomalies).
        user_model: the user model's release (provenance, budget).
        profiles: the profiles' release (provenance, budget).
        quality: how close synthetic people are.
        policy: the candidate, which names the releases that it was trained on.
        evaluation: off-policy evaluation.
        explanations: explanation coverage.
        verdict: the decision, its checks and its inputs' checksums.
        page: the checks.
        metrics: how many checks passed.

    Returns:
        ``continue`` or ``hold``.
    """
    from datetime import UTC, datetime

    from components._evidence import gate_evidence
    from components._pages import verdict_rows
    from components._stage import stage
    from everloop.contracts.documents import write
    from everloop.gates.decide import decide
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("gate", verdict, page, metrics) as told:
        spec = assemble(product, thresholds=thresholds, terms=terms)
        artefacts = (
            validation, rewards, user_model, profiles, quality, policy, evaluation, explanations,
        )  # fmt: skip
        answer = decide(
            spec,
            gate_evidence(spec, open_workspace(workspace), tenant, datetime.now(UTC), artefacts),
        )
        write(answer, verdict.path)
        told.says(*verdict_rows(answer))
    return answer.decision.value
