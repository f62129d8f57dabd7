"""Watch, step 3: what people's answers say of the candidate on trial."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import EncodedDataset, EpisodeDataset, RewardTable, TrialMeasure
from components._runtime import component


@component
def measure_trial(
    workspace: str,
    product: str,
    thresholds: str,
    terms: str,
    tenant: str,
    at: str,
    code: str,
    dataset: Input[EpisodeDataset],
    rewards: Input[RewardTable],
    episodes: Input[EncodedDataset],
    measured: Output[TrialMeasure],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> bool:
    """Measure the live trial with the decisions that are closed by now.

    Args:
        workspace: address of the workspace.
        product: the loop specification's product section, JSON.
        thresholds: its thresholds, JSON.
        terms: how candidates are tried, JSON.
        tenant: owner of the rows.
        at: the moment of the look, ISO, UTC.
        code: checksum of our source, part of the cache key.
        dataset: the manifest of the version.
        rewards: the reward table.
        episodes: the encoded episodes.
        measured: the trial and its figures.
        page: the figures.
        metrics: effect, bounds and people.

    Returns:
        Whether a candidate is on trial.
    """
    from datetime import datetime
    from pathlib import Path

    from components._stage import stage
    from components._trial import measure
    from components._watching import measured_rows
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("measure_trial", measured, page, metrics) as told:
        record, figures = measure(
            assemble(product, thresholds=thresholds, terms=terms),
            open_workspace(workspace),
            tenant,
            (dataset, rewards, episodes),
            datetime.fromisoformat(at),
            Path(measured.path),
        )
        told.says(*measured_rows(record, figures))
    return record is not None
