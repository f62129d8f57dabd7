"""Voice, step 7: candidate beside placebo and active voice, on people who taught it nothing."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import VoiceAdapter, VoiceData, VoiceMeasure, VoiceScorer
from components._runtime import component


@component
def measure_voice(
    workspace: str,
    product: str,
    voice: str,
    tenant: str,
    code: str,
    data: Input[VoiceData],
    adapter: Input[VoiceAdapter],
    placebo: Input[VoiceAdapter],
    scorer: Input[VoiceScorer],
    measure: Output[VoiceMeasure],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Measure agreement with held-out people, forgetting, and lengths; draw answers side by side.

    Args:
        workspace: address of the workspace: the base and the active voice.
        product: the loop specification's product section, JSON.
        voice: its voice, JSON.
        tenant: owner of the model.
        code: checksum of our source, part of the cache key.
        data: the held-out examples.
        adapter: the candidate.
        placebo: the same training without what people said.
        scorer: the reward model, if any, for the answers that are drawn.
        measure: estimates with intervals, and sample answers.
        page: the same as a page.
        metrics: the estimates.
    """
    from pathlib import Path

    from components._stage import stage
    from components._voice_pages import measure_rows
    from components._voice_trying import measure_candidate
    from everloop.contracts.documents import write
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("measure_voice", measure, page, metrics) as told:
        spec = assemble(product, voice=voice)
        inputs = (Path(data.path), Path(adapter.path), Path(placebo.path), Path(scorer.path))
        found = measure_candidate(spec, open_workspace(workspace), tenant, inputs)
        write(found, measure.path)
        told.says(*measure_rows(found))
