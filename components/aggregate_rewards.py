"""Step 3: signals become one reward an episode, and episodes become arrays."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import EncodedDataset, EpisodeDataset, RewardTable
from components._runtime import component


@component
def aggregate_rewards(
    workspace: str,
    product: str,
    thresholds: str,
    code: str,
    dataset: Input[EpisodeDataset],
    rewards: Output[RewardTable],
    episodes: Output[EncodedDataset],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Aggregate rewards with the one SQL file and encode the episodes once for all later steps.

    Args:
        workspace: address of the workspace.
        product: the loop specification's product section, JSON.
        thresholds: its thresholds, JSON (the share of people held out).
        code: checksum of our source, part of the cache key.
        dataset: the manifest of the version.
        rewards: the reward table and its figures.
        episodes: the encoded episodes.
        page: rewards in figures and plots.
        metrics: episodes, rewarded, mean reward.
    """
    from pathlib import Path

    from components._contexts import audited_contexts
    from components._pages import reward_rows
    from components._stage import stage
    from everloop.contracts.datasets import DatasetManifest
    from everloop.contracts.documents import read, write
    from everloop.contracts.encoded_file import save_encoded
    from everloop.loops.sections import assemble
    from everloop.rewards.runner import aggregate
    from everloop.wiring import open_workspace
    from rl.encoders import encode

    with stage("aggregate_rewards", rewards, page, metrics) as told:
        spec, table = (
            assemble(product, thresholds=thresholds),
            Path(rewards.path) / "rewards.parquet",
        )
        manifest = read(DatasetManifest, dataset.path)
        place = open_workspace(workspace)
        version = place.datasets.open(manifest.dataset_id)
        figures = aggregate(spec, version, table)
        write(figures, Path(rewards.path) / "figures.json")
        contexts = audited_contexts(place, manifest, "aggregate_rewards")
        save_encoded(encode(spec, version, table, contexts), episodes.path)
        told.says(*reward_rows(figures))
