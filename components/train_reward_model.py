"""Voice, step 4: a scorer of answers from people's comparisons, where there are enough."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import VoiceData, VoiceScorer
from components._runtime import component


@component
def train_reward_model(
    workspace: str,
    product: str,
    voice: str,
    code: str,
    data: Input[VoiceData],
    scorer: Output[VoiceScorer],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Train it on comparisons and measure it on those of held-out people, or say why not.

    Args:
        workspace: address of the workspace; holds the base and unfinished trainings.
        product: the loop specification's product section, JSON.
        voice: its voice, JSON.
        code: checksum of our source, part of the cache key.
        data: the examples.
        scorer: the model, if any, and what was measured of it.
        page: the same as a page.
        metrics: accuracy on held-out people.
    """
    from pathlib import Path

    from components._stage import stage
    from components._voice_pages import scorer_rows
    from components._voice_training import train_scorer
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("train_reward_model", scorer, page, metrics) as told:
        spec = assemble(product, voice=voice)
        place = open_workspace(workspace)
        told.says(*scorer_rows(train_scorer(spec, place, Path(data.path), Path(scorer.path))))
