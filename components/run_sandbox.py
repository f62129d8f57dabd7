"""Voice, step 8: the candidate speaks where nobody hears it, and is judged."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import (
    SandboxFindings,
    VoiceAdapter,
    VoiceCollection,
    VoiceMeasure,
)
from components._runtime import component


@component
def run_sandbox(
    workspace: str,
    product: str,
    voice: str,
    tenant: str,
    code: str,
    collection: Input[VoiceCollection],
    adapter: Input[VoiceAdapter],
    placebo: Input[VoiceAdapter],
    measure: Input[VoiceMeasure],
    findings: Output[SandboxFindings],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> bool:
    """Run every scenario with the candidate and the active voice, in a process without network.

    Args:
        workspace: address of the workspace: the base, the active voice, a copy of the persona graph.
        product: the loop specification's product section, JSON.
        voice: its voice, JSON.
        tenant: owner of the model.
        code: checksum of our source, part of the cache key.
        collection: what people said; what they disliked becomes scenarios.
        adapter: the candidate.
        placebo: the same training without what people said, for margins beside the candidate's.
        measure: what was measured of it on held-out people.
        findings: runs, checks, and what the process was denied.
        page: the same as a page.
        metrics: scenarios that passed.

    Returns:
        Go or no-go.
    """
    from pathlib import Path

    from components._stage import stage
    from components._voice_pages import sandbox_rows
    from components._voice_trying import try_apart
    from everloop.contracts.documents import write
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("run_sandbox", findings, page, metrics) as told:
        spec = assemble(product, voice=voice)
        trained = (Path(adapter.path), Path(placebo.path))
        inputs = (Path(collection.path), *trained, Path(measure.path))
        found = try_apart(spec, open_workspace(workspace), tenant, inputs)
        write(found, findings.path)
        told.says(*sandbox_rows(found))
    return found.go
