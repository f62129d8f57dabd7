"""Step 4 of an experiment: what a finished night released, read again and not paid for again."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import (
    EncodedDataset,
    EpisodeDataset,
    PrivateRelease,
    SyntheticQuality,
)
from components._runtime import component


@component
def load_releases(
    workspace: str,
    product: str,
    privacy: str,
    training: str,
    thresholds: str,
    logical_date: str,
    tenant: str,
    code: str,
    dataset: Input[EpisodeDataset],
    episodes: Input[EncodedDataset],
    user_model: Output[PrivateRelease],
    profiles: Output[PrivateRelease],
    quality: Output[SyntheticQuality],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Load the user model, the synthetic people and their quality of a night; no budget is taken.

    Args:
        workspace: address of the workspace; its ledger names the releases.
        product: the loop specification's product section, JSON.
        privacy: its budget and mechanism, JSON.
        training: its training section, JSON (how many people, which seed).
        thresholds: its thresholds, JSON.
        logical_date: the night whose releases are loaded, ISO.
        tenant: owner of the rows.
        code: checksum of our source, part of the cache key.
        dataset: the night's dataset version.
        episodes: the encoded episodes.
        user_model: the released model and its note.
        profiles: the people and the release's note.
        quality: how close they are to held-out people, with the figures that were published.
        page: both releases.
        metrics: epsilon that was spent here: 0.
    """
    from components._night import load_night
    from components._stage import stage
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("load_releases", user_model, page, metrics) as told:
        spec = assemble(product, privacy, training, thresholds)
        load_night(
            told,
            spec,
            open_workspace(workspace),
            logical_date,
            tenant,
            (dataset, episodes, user_model, profiles, quality),
        )
