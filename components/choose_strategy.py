"""Voice, step 3: which ways of learning the examples are worth, and why."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import VoiceCollection, VoiceData, VoiceStrategy
from components._runtime import component


@component
def choose_strategy(
    workspace: str,
    product: str,
    voice: str,
    tenant: str,
    code: str,
    collection: Input[VoiceCollection],
    data: Input[VoiceData],
    strategy: Output[VoiceStrategy],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> bool:
    """Choose from volume and kind of what was not learned yet; exemplars are shown at once.

    Args:
        workspace: address of the workspace: what was learned before, and people's own persona graphs.
        product: the loop specification's product section, JSON.
        voice: its voice, JSON.
        tenant: owner of the rows.
        code: checksum of our source, part of the cache key.
        collection: what people said.
        data: the examples.
        strategy: what was chosen and skipped, with reasons.
        page: the same as a page.
        metrics: the volumes.

    Returns:
        Whether an adapter is to be trained.
    """
    from pathlib import Path

    from components._stage import stage
    from components._voice_data import choose_for, trains_an_adapter
    from components._voice_exemplars import show_exemplars
    from components._voice_pages import strategy_rows
    from components._voice_worth import with_steps, worth_training
    from everloop.contracts.documents import write
    from everloop.contracts.voices import Strategy
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("choose_strategy", strategy, page, metrics) as told:
        spec, place = assemble(product, voice=voice), open_workspace(workspace)
        folder = Path(data.path)
        choice = choose_for(spec, place, tenant, Path(collection.path), folder)
        choice = worth_training(spec, choice, folder)
        write(choice, strategy.path)
        if Strategy.EXEMPLARS in choice.chosen:
            show_exemplars(spec, place, tenant, Path(collection.path))
        told.says(*with_steps(strategy_rows(choice), spec, choice, folder))
    return trains_an_adapter(choice)
