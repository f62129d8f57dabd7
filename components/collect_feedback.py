"""Voice, step 1: what people said of a persona and gave to teach it, as it is known now."""

from kfp.dsl import HTML, Metrics, Output

from components._artifacts import VoiceCollection
from components._runtime import component


@component
def collect_feedback(
    workspace: str,
    product: str,
    voice: str,
    logical_date: str,
    tenant: str,
    refresh: str,
    code: str,
    collection: Output[VoiceCollection],
    page: Output[HTML],
    metrics: Output[Metrics],
    scheduled: str = "",
) -> str:
    """Copy the persona's feedback and packages into an immutable collection.

    People who refused training, rejected or disputed feedback and erased people are absent.

    Args:
        workspace: address of the workspace.
        product: the loop specification's product section, JSON.
        voice: its voice, JSON.
        logical_date: the day the run is for, ISO; or a moment or nothing, as ``learning_day`` reads it.
        tenant: owner of the rows.
        refresh: any new word reads the log anew.
        code: checksum of our source, part of the cache key.
        collection: feedback, packages and a manifest.
        page: counts.
        metrics: counts.
        scheduled: the moment that Kubeflow scheduled the run for; decides where the date is empty.

    Returns:
        The day the run is for, YYYY-MM-DD: what every later step takes.
    """
    from pathlib import Path

    from components._stage import stage
    from components._voice_pages import collection_rows
    from components._voice_persona import collect_voice
    from everloop.contracts.learning_day import learning_day
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("collect_feedback", collection, page, metrics) as told:
        day = learning_day(logical_date, scheduled)
        spec, place = assemble(product, voice=voice), open_workspace(workspace)
        figures = collect_voice(spec, place, tenant, Path(collection.path))
        told.says(*collection_rows(figures))
    return day.isoformat()
