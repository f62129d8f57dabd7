"""Watch, step 4: the decision about the trial, and what it does."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import (
    EncodedDataset,
    EpisodeDataset,
    RewardTable,
    TrialAct,
    TrialMeasure,
)
from components._runtime import component


@component
def act_on_trial(
    workspace: str,
    product: str,
    thresholds: str,
    terms: str,
    logical_date: str,
    tenant: str,
    at: str,
    code: str,
    dataset: Input[EpisodeDataset],
    rewards: Input[RewardTable],
    episodes: Input[EncodedDataset],
    measured: Input[TrialMeasure],
    outcome: Output[TrialAct],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> str:
    """Step up, hold, roll back, end or promote; then the newest candidate that waits and may starts.

    Where another model became active meanwhile, that candidate is judged anew against it first.

    Args:
        workspace: address of the workspace.
        product: the loop specification's product section, JSON.
        thresholds: its thresholds, JSON.
        terms: how candidates are tried, JSON.
        logical_date: the day of the look, ISO.
        tenant: owner of the rows.
        at: the moment of the look, ISO, UTC.
        code: checksum of our source, part of the cache key.
        dataset: the manifest of the version.
        rewards: the reward table, which says what waits for a person.
        episodes: the encoded episodes.
        measured: the trial and its figures.
        outcome: the verdict and what was done.
        page: the same as a page.
        metrics: the traffic share.

    Returns:
        ``continue``, ``hold``, ``rollback``, ``promote``, or ``none`` where nothing was on trial.
    """
    from datetime import datetime

    from components._stage import stage
    from components._trial import act_on
    from components._watching import outcome_rows
    from everloop.contracts.documents import write
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("act_on_trial", outcome, page, metrics) as told:
        found = act_on(
            assemble(product, thresholds=thresholds, terms=terms),
            open_workspace(workspace),
            tenant,
            logical_date,
            (dataset, rewards, episodes, measured),
            datetime.fromisoformat(at),
        )
        write(found, outcome.path)
        told.says(*outcome_rows(found))
    return "none" if found.verdict is None else found.verdict.decision.value
