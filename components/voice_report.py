"""Voice, step 12: one self-contained page that sums the run up, however early it ended."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import (
    Checkpoint,
    GateVerdict,
    Rollout,
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
def voice_report(
    product: str,
    voice: str,
    terms: str,
    logical_date: str,
    tenant: str,
    code: str,
    collection: Input[VoiceCollection],
    data: Input[VoiceData],
    strategy: Input[VoiceStrategy],
    page: Output[HTML],
    metrics: Output[Metrics],
    scorer: Input[VoiceScorer] = None,
    adapter: Input[VoiceAdapter] = None,
    placebo: Input[VoiceAdapter] = None,
    measure: Input[VoiceMeasure] = None,
    findings: Input[SandboxFindings] = None,
    verdict: Input[GateVerdict] = None,
    checkpoint: Input[Checkpoint] = None,
    rollout: Input[Rollout] = None,
) -> None:
    """Render the run's report.

    Args:
        product: the loop specification's product section, JSON.
        voice: its voice, JSON.
        terms: how candidates are tried, JSON.
        logical_date: the day the run is for, ISO.
        tenant: owner of the rows.
        code: checksum of our source, shown as lineage.
        collection: what people said.
        data: what became of it.
        strategy: which ways of learning were chosen.
        page: the report, without any network access.
        metrics: the run's headline figures.
        scorer: the reward model; absent when the run ended before; so for all that follow.
        adapter: the candidate.
        placebo: the placebo.
        measure: what was measured.
        findings: the sandbox's report.
        verdict: the gate's answer.
        checkpoint: the registered rows.
        rollout: the trial or its refusal.
    """
    from components._stage import stage
    from components._voice_evidence import run_evidence
    from components._voice_pages import report_rows
    from everloop.loops.sections import assemble
    from everloop.reporting.voice import render_voice

    with stage("voice_report", page, page, metrics) as told:
        spec = assemble(product, terms=terms, voice=voice)
        made = (
            collection, data, strategy, scorer, adapter, placebo, measure, findings, verdict,
            checkpoint, rollout,
        )  # fmt: skip
        found = run_evidence(spec, (logical_date, tenant, code), made)
        told.says(*report_rows(found), page=render_voice(found))
