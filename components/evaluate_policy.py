"""Step 10: off-policy evaluation of every policy of the night on held-out real people."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import (
    AlternativePolicies,
    Comparison,
    EncodedDataset,
    EpisodeDataset,
    Evaluation,
    ReportOnlyPolicies,
    TrainedPolicy,
)
from components._runtime import component


@component
def evaluate_policy(
    workspace: str,
    product: str,
    thresholds: str,
    logical_date: str,
    tenant: str,
    code: str,
    dataset: Input[EpisodeDataset],
    episodes: Input[EncodedDataset],
    policy: Input[TrainedPolicy],
    alternatives: Input[AlternativePolicies],
    report_only: Input[ReportOnlyPolicies],
    evaluation: Output[Evaluation],
    comparison: Output[Comparison],
    chosen: Output[TrainedPolicy],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Estimate what each learner's policy would have earned, and choose the one that may be shipped.

    Args:
        workspace: address of the workspace; its registry names the active policy.
        product: the loop specification's product section, JSON.
        thresholds: its thresholds, JSON.
        logical_date: the day the run is for, ISO.
        tenant: owner of the rows.
        code: checksum of our source, part of the cache key.
        dataset: the dataset version, which says how much was logged by then.
        episodes: the encoded episodes.
        policy: PPO's policy.
        alternatives: what else was learned from private releases.
        report_only: what was learned on the raw log, which is never chosen.
        evaluation: the chosen policy's estimates with intervals, overlap and groups.
        comparison: every policy's, and why this one was chosen.
        chosen: the candidate, from here on.
        page: the same as a page.
        metrics: value, difference and their bounds.
    """
    from pathlib import Path

    from components._alternatives import entrants_of
    from components._evaluation import compare_policies
    from components._pages import comparison_rows
    from components._stage import stage
    from everloop.contracts.datasets import DatasetManifest
    from everloop.contracts.documents import read, write
    from everloop.contracts.encoded_file import load_encoded
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("evaluate_policy", evaluation, page, metrics) as told:
        spec, place = assemble(product, thresholds=thresholds), open_workspace(workspace)
        entrants = entrants_of(spec, policy.path, alternatives.path, report_only.path)
        found = compare_policies(
            spec,
            place,
            tenant,
            logical_date,
            read(DatasetManifest, dataset.path),
            load_encoded(episodes.path),
            entrants,
            Path(chosen.path),
        )
        write(found.best.evaluation, evaluation.path)
        write(found, comparison.path)
        told.says(*comparison_rows(found))
