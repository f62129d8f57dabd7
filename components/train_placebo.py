"""Voice, step 6: the same training on the voice's own words, to compare with."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import VoiceAdapter, VoiceData, VoiceScorer, VoiceStrategy
from components._runtime import component


@component
def train_placebo(
    workspace: str,
    product: str,
    voice: str,
    logical_date: str,
    tenant: str,
    code: str,
    data: Input[VoiceData],
    strategy: Input[VoiceStrategy],
    scorer: Input[VoiceScorer],
    adapter: Output[VoiceAdapter],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Train another adapter with the same steps and rates on the active voice's own answers.

    A killed training continues from its last checkpoint.

    Args:
        workspace: address of the workspace; holds the base and the training's own checkpoints.
        product: the loop specification's product section, JSON.
        voice: its voice, JSON.
        logical_date: the day that the run is for, ISO.
        tenant: owner of the model.
        code: checksum of our source, part of the cache key.
        data: the examples.
        strategy: which ways of learning were chosen.
        scorer: the reward model, for on-policy learning.
        adapter: what was trained, and its figures.
        page: rates and losses.
        metrics: how far it moved, first and last loss.
    """
    from pathlib import Path

    from components._stage import stage
    from components._voice_pages import adapter_rows
    from components._voice_training import train_placebo_for
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("train_placebo", adapter, page, metrics) as told:
        spec = assemble(product, voice=voice)
        inputs = (Path(data.path), Path(strategy.path), Path(scorer.path))
        figures = train_placebo_for(
            spec,
            open_workspace(workspace),
            (logical_date, tenant, code),
            inputs,
            Path(adapter.path),
        )
        told.says(*adapter_rows(figures))
