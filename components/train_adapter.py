"""Voice, step 5: the one adapter learns, phase after phase, then from preferences."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import VoiceAdapter, VoiceData, VoiceScorer, VoiceStrategy
from components._runtime import component


@component
def train_adapter(
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
) -> bool:
    """Train the adapter as the strategy says, from where the serving one is; refuse where budget or data do
    not allow one.

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
        adapter: what was trained and its figures, or the refusal.
        page: rates and losses.
        metrics: how far it moved, first and last loss.

    Returns:
        Whether there is an adapter.
    """
    from pathlib import Path

    from components._stage import stage
    from components._voice_training import candidate_or_refusal
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("train_adapter", adapter, page, metrics) as told:
        spec = assemble(product, voice=voice)
        inputs = (Path(data.path), Path(strategy.path), Path(scorer.path))
        return candidate_or_refusal(
            told,
            spec,
            open_workspace(workspace),
            (logical_date, tenant, code),
            inputs,
            Path(adapter.path),
        )
