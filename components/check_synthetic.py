"""Step 6: are the synthetic people and their answers close enough to real ones?"""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import (
    EncodedDataset,
    EpisodeDataset,
    PrivateRelease,
    SyntheticQuality,
)
from components._runtime import component


@component
def check_synthetic(
    workspace: str,
    product: str,
    privacy: str,
    thresholds: str,
    logical_date: str,
    tenant: str,
    code: str,
    dataset: Input[EpisodeDataset],
    episodes: Input[EncodedDataset],
    user_model: Input[PrivateRelease],
    profiles: Input[PrivateRelease],
    quality: Output[SyntheticQuality],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Compare profiles and user model with held-out people, and publish the figures that are paid for.

    What is compared stays inside the trust boundary. A few figures go through the ledger, charged to
    held-out people; a rerun of the same date returns the stored ones.

    Args:
        workspace: address of the workspace.
        product: the loop specification's product section, JSON.
        privacy: its budget and mechanism, JSON.
        thresholds: its thresholds, JSON.
        logical_date: the day the run is for, ISO.
        tenant: owner of the rows.
        code: checksum of our source, part of the cache key.
        dataset: the manifest of the version.
        episodes: the encoded episodes.
        user_model: the released user model.
        profiles: the synthetic people.
        quality: estimates with intervals, named checks for the gate, and the published figures.
        page: the same as a page.
        metrics: the estimates.
    """
    from components._pages import quality_rows
    from components._quality import measured_quality
    from components._stage import stage
    from everloop.contracts.documents import write
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("check_synthetic", quality, page, metrics) as told:
        figures = measured_quality(
            assemble(product, privacy=privacy, thresholds=thresholds),
            open_workspace(workspace),
            logical_date,
            tenant,
            (dataset, episodes, user_model, profiles),
        )
        write(figures, quality.path)
        told.says(*quality_rows(figures))
