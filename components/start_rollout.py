"""Step 14: a trial of the candidate, unseen at first, or the refusal to start one."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import Checkpoint, Evaluation, GateVerdict, Rollout
from components._runtime import component


@component
def start_rollout(
    workspace: str,
    product: str,
    terms: str,
    logical_date: str,
    tenant: str,
    code: str,
    evaluation: Input[Evaluation],
    verdict: Input[GateVerdict],
    checkpoint: Input[Checkpoint],
    rollout: Output[Rollout],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> str:
    """Start a trial when the verdict is continue and no other candidate is on trial.

    Args:
        workspace: address of the workspace.
        product: the loop specification's product section, JSON.
        terms: how candidates are tried, JSON.
        logical_date: the day that the run is for, ISO.
        tenant: owner of the model.
        code: checksum of our source, part of the cache key.
        evaluation: what was predicted of the candidate.
        verdict: the gate's answer.
        checkpoint: the registered candidate.
        rollout: the record of the trial, of its wait or of its refusal.
        page: the same as a page.
        metrics: the traffic share.

    Returns:
        ``shadow``, ``started``, ``waiting``, ``awaiting_approval`` or ``refused``.
    """
    from datetime import UTC, datetime

    from components._deployment import begin_trial
    from components._pages import rollout_rows
    from components._stage import stage
    from everloop.contracts.documents import write
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("start_rollout", rollout, page, metrics) as told:
        record = begin_trial(
            assemble(product, terms=terms),
            open_workspace(workspace),
            (evaluation, verdict, checkpoint),
            f"{assemble(product).name} {logical_date}",
            datetime.now(UTC),
        )
        write(record, rollout.path)
        told.says(*rollout_rows(record))
    return record.state
