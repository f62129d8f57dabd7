"""Step 1: an immutable dataset version of the days that end with the logical date."""

from kfp.dsl import HTML, Metrics, Output

from components._artifacts import EpisodeDataset
from components._runtime import component


@component
def extract_episodes(
    workspace: str,
    product: str,
    thresholds: str,
    logical_date: str,
    tenant: str,
    refresh: str,
    code: str,
    dataset: Output[EpisodeDataset],
    page: Output[HTML],
    metrics: Output[Metrics],
    pinned: bool = True,
    scheduled: str = "",
) -> str:
    """Extract the log's window into an immutable dataset version.

    What was not known at the end of the logical date is left out, and so are people without consent
    and disputed signals. The first extraction of a date pins its watermark.

    Args:
        workspace: address of the workspace.
        product: the loop specification's product section, JSON.
        thresholds: its thresholds, JSON.
        logical_date: the day the run is for, ISO; or a moment or nothing, as ``learning_day`` reads it.
        tenant: owner of the rows.
        refresh: a new token reads the log anew; empty keeps the pinned watermark.
        code: checksum of our source, part of the cache key.
        dataset: the version's manifest.
        page: what was extracted and what was left out.
        metrics: counts.
        pinned: False reads the log as it is now and leaves the date's pin alone.
        scheduled: the moment that Kubeflow scheduled the run for; decides where the date is empty.

    Returns:
        The day the run is for, YYYY-MM-DD: what every later step takes.
    """
    from components._pages import dataset_rows
    from components._stage import stage
    from everloop.contracts.documents import write
    from everloop.contracts.learning_day import learning_day
    from everloop.contracts.ports import Extraction
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("extract_episodes", dataset, page, metrics) as told:
        spec = assemble(product, thresholds=thresholds)
        day = learning_day(logical_date, scheduled)
        wanted = Extraction(
            spec,
            day,
            spec.thresholds.window_days,
            tenant,
            bool(refresh),
            pinned,
        )
        manifest = open_workspace(workspace).datasets.extract(wanted).manifest
        write(manifest, dataset.path)
        told.says(*dataset_rows(manifest))
    return day.isoformat()
