"""Step 14: a trial of the candidate at its first ramp step, or the refusal to start one."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import Checkpoint, GateVerdict, Rollout
from components._runtime import component


@component
def start_rollout(
    workspace: str,
    product: str,
    terms: str,
    tenant: str,
    code: str,
    verdict: Input[GateVerdict],
    checkpoint: Input[Checkpoint],
    rollout: Output[Rollout],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> str:
    """Start a rollout when the verdict is continue and no other candidate is on trial.

    Args:
        workspace: address of the workspace.
        product: the loop specification's product section, JSON.
        terms: how candidates are tried, JSON.
        tenant: owner of the model.
        code: checksum of our source, part of the cache key.
        verdict: the gate's answer.
        checkpoint: the registered candidate.
        rollout: the record: started, waiting or refused.
        page: the same as a page.
        metrics: the traffic share.

    Returns:
        ``started``, ``waiting`` or ``refused``.
    """
    from datetime import UTC, datetime

    from components._pages import rollout_rows
    from components._stage import stage
    from everloop.contracts.documents import read, write
    from everloop.contracts.evaluation import Verdict
    from everloop.contracts.models import ModelCheckpoint
    from everloop.loops.sections import assemble
    from everloop.rollout.start import start_rollout as start
    from everloop.wiring import open_workspace

    with stage("start_rollout", rollout, page, metrics) as told:
        place, row = (
            open_workspace(workspace),
            read(ModelCheckpoint, f"{checkpoint.path}/checkpoint.json"),
        )
        answer = read(Verdict, verdict.path)
        record = start(
            assemble(product, terms=terms),
            answer,
            row.checkpoint_id,
            place.registry,
            place.rollouts,
            datetime.now(UTC),
            tenant,
        )
        write(record, rollout.path)
        told.says(*rollout_rows(record))
    return record.state
