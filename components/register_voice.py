"""Voice, step 10: the adapter and the persona graph that it is tried with become checkpoints."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import (
    Checkpoint,
    GateVerdict,
    SandboxFindings,
    VoiceAdapter,
    VoiceCollection,
    VoiceData,
    VoiceMeasure,
    VoiceScorer,
    VoiceStrategy,
)
from components._runtime import component


@component
def register_voice(
    workspace: str,
    product: str,
    voice: str,
    logical_date: str,
    tenant: str,
    code: str,
    collection: Input[VoiceCollection],
    data: Input[VoiceData],
    strategy: Input[VoiceStrategy],
    scorer: Input[VoiceScorer],
    adapter: Input[VoiceAdapter],
    measure: Input[VoiceMeasure],
    findings: Input[SandboxFindings],
    verdict: Input[GateVerdict],
    checkpoint: Output[Checkpoint],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Store the files by content and register them with lineage and card, whatever the verdict.

    What the adapter learned from is recorded both ways; scenarios that failed become instances.

    Args:
        workspace: address of the workspace.
        product: the loop specification's product section, JSON.
        voice: its voice, JSON.
        logical_date: the day that the run is for, ISO.
        tenant: owner of the model.
        code: checksum of our source, part of the lineage.
        collection: what people said.
        data: what it learned from.
        strategy: which ways of learning were chosen.
        scorer: the reward model, if any; kept with the adapter.
        adapter: the candidate.
        measure: what was measured of it.
        findings: the sandbox's report.
        verdict: the gate's answer.
        checkpoint: the registered rows and the card.
        page: checksums and lineage.
        metrics: the checkpoint's figures.
    """
    from pathlib import Path

    from components._pages import checkpoint_rows
    from components._stage import stage
    from components._voice_registering import register_candidate_voice
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("register_voice", checkpoint, page, metrics) as told:
        spec = assemble(product, voice=voice)
        made = (collection, data, strategy, scorer, adapter, measure, findings, verdict)
        row = register_candidate_voice(
            spec,
            open_workspace(workspace),
            (logical_date, tenant, code),
            tuple(Path(artifact.path) for artifact in made),
            Path(checkpoint.path),
        )
        told.says(*checkpoint_rows(row))
