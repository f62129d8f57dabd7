"""Voice, step 9: may the candidate meet people? No evidence is a no."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import GateVerdict, SandboxFindings, VoiceAdapter, VoiceData
from components._runtime import component


@component
def voice_gate(
    workspace: str,
    product: str,
    voice: str,
    privacy: str,
    terms: str,
    tenant: str,
    code: str,
    oversight: str,
    data: Input[VoiceData],
    adapter: Input[VoiceAdapter],
    placebo: Input[VoiceAdapter],
    findings: Input[SandboxFindings],
    verdict: Output[GateVerdict],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> str:
    """Ask every check, the sandbox's among them, and answer continue or hold, with reasons.

    Args:
        workspace: address of the workspace: the ledger, and what people said of the candidate.
        product: the loop specification's product section, JSON.
        voice: its voice, JSON.
        privacy: its budget, JSON.
        terms: how candidates are tried, and who must agree, JSON.
        tenant: owner of the model.
        code: checksum of our source, part of the cache key.
        oversight: what the answer depends on beside the artifacts, part of the cache key.
        data: what it learned from.
        adapter: the candidate.
        placebo: the placebo, which must match it.
        findings: the sandbox's report.
        verdict: the decision, its checks and its inputs' checksums.
        page: the checks.
        metrics: how many checks passed.

    Returns:
        ``continue`` or ``hold``.
    """
    from pathlib import Path

    from components._pages import verdict_rows
    from components._stage import stage
    from components._voice_registering import voice_evidence
    from everloop.contracts.documents import write
    from everloop.gates.voice import decide_voice
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("voice_gate", verdict, page, metrics) as told:
        spec = assemble(product, privacy=privacy, terms=terms, voice=voice)
        inputs = tuple(Path(made.path) for made in (data, adapter, placebo, findings))
        answer = decide_voice(spec, voice_evidence(spec, open_workspace(workspace), tenant, inputs))
        write(answer, verdict.path)
        told.says(*verdict_rows(answer))
    return answer.decision.value
