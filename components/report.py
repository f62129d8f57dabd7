"""Step 15: one self-contained page that sums the run up, however early it ended."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import (
    Checkpoint,
    Comparison,
    EncodedDataset,
    EpisodeDataset,
    Evaluation,
    Explanations,
    GateVerdict,
    Heads,
    PrivateRelease,
    RewardTable,
    Rollout,
    Sweep,
    SyntheticQuality,
    TrainedPolicy,
    Validation,
)
from components._runtime import component


@component
def report(
    workspace: str,
    product: str,
    privacy: str,
    training: str,
    thresholds: str,
    terms: str,
    logical_date: str,
    tenant: str,
    code: str,
    dataset: Input[EpisodeDataset],
    validation: Input[Validation],
    page: Output[HTML],
    metrics: Output[Metrics],
    rewards: Input[RewardTable] = None,
    episodes: Input[EncodedDataset] = None,
    user_model: Input[PrivateRelease] = None,
    profiles: Input[PrivateRelease] = None,
    quality: Input[SyntheticQuality] = None,
    heads: Input[Heads] = None,
    policy: Input[TrainedPolicy] = None,
    evaluation: Input[Evaluation] = None,
    comparison: Input[Comparison] = None,
    explanations: Input[Explanations] = None,
    verdict: Input[GateVerdict] = None,
    checkpoint: Input[Checkpoint] = None,
    rollout: Input[Rollout] = None,
    sweep: Input[Sweep] = None,
    graph: str = "daily-learning",
) -> None:
    """Render the run's report.

    Args:
        workspace: address of the workspace.
        product: the loop specification's product section, JSON.
        privacy: its budget and mechanism, JSON.
        training: its training section, JSON.
        thresholds: its thresholds, JSON.
        terms: how candidates are tried, JSON.
        logical_date: the day the run is for, ISO.
        tenant: owner of the rows.
        code: checksum of our source, shown as lineage.
        dataset: the manifest of the version.
        validation: what validation found.
        page: the report, without any network access.
        metrics: the run's headline figures.
        rewards: absent when the run ended before; so for all that follow.
        episodes: the encoded episodes, for the success metrics.
        user_model: the user model's release or its refusal.
        profiles: the profiles' release or its refusal.
        quality: synthetic quality.
        heads: the pairing and the emotion model, with what was measured of them.
        policy: the learning curve.
        evaluation: off-policy evaluation of the candidate.
        comparison: every learner's.
        explanations: a sample of explanations.
        verdict: the gate's answer.
        checkpoint: the registered candidate.
        rollout: the trial or its refusal.
        sweep: every trial of an experiment.
        graph: whose run it is, so that stages which were not reached are named.
    """
    from components._evidence import run_evidence
    from components._monitoring import tell_monitors
    from components._pages import report_rows
    from components._stage import stage
    from everloop.loops.sections import assemble
    from everloop.reporting.report import render
    from everloop.wiring import open_workspace

    with stage("report", page, page, metrics) as told:
        spec = assemble(product, privacy, training, thresholds, terms)
        stages = (
            dataset, validation, rewards, episodes, user_model, profiles, quality, heads, policy,
            evaluation, comparison, explanations, verdict, checkpoint, rollout,
        )  # fmt: skip
        place = open_workspace(workspace)
        evidence = run_evidence(spec, place, logical_date, tenant, code, stages, sweep, graph)
        unsaid = tell_monitors(evidence, episodes, place)
        told.says(*report_rows(evidence, unsaid), page=render(evidence))
