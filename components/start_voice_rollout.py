"""Voice, step 11: a trial of the candidate voice, or the refusal to start one."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import Checkpoint, GateVerdict, Rollout, VoiceMeasure
from components._runtime import component


@component
def start_voice_rollout(
    workspace: str,
    product: str,
    terms: str,
    voice: str,
    logical_date: str,
    tenant: str,
    code: str,
    measure: Input[VoiceMeasure],
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
        voice: its voice, JSON.
        logical_date: the day that the run is for, ISO.
        tenant: owner of the model.
        code: checksum of our source, part of the cache key.
        measure: what was measured of the candidate.
        verdict: the gate's answer.
        checkpoint: the registered adapter and prompt.
        rollout: the record of the trial, of its wait or of its refusal.
        page: the same as a page.
        metrics: the traffic share.

    Returns:
        ``started``, ``waiting``, ``awaiting_approval`` or ``refused``.
    """
    from pathlib import Path

    from components._pages import rollout_rows
    from components._stage import stage
    from components._voice_registering import begin_voice_trial
    from everloop.contracts.documents import write
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("start_voice_rollout", rollout, page, metrics) as told:
        spec = assemble(product, terms=terms, voice=voice)
        inputs = (Path(measure.path), Path(verdict.path), Path(checkpoint.path))
        record = begin_voice_trial(spec, open_workspace(workspace), (logical_date, tenant), inputs)
        write(record, rollout.path)
        told.says(*rollout_rows(record))
    return record.state
