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
    measuring: bool = False,
) -> None:
    """Aggregate rewards with the one SQL file and encode the episodes once for all later steps.

    What is strange goes into the review queue. What nobody has released is left out of the encoded
    episodes, so that nothing learns from it and nothing is judged by it. A trial's arms are compared
    with what waits left in.

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
        measuring: True keeps what waits for a person, marked, and empties only what was rejected.
    """
    from datetime import UTC, datetime
    from pathlib import Path

    from components._contexts import audited_contexts
    from components._pages import reward_rows
    from components._reviews import queue_suspicions
    from components._stage import stage
    from everloop.contracts.datasets import DatasetManifest
    from everloop.contracts.documents import read, write
    from everloop.contracts.encoded_file import save_encoded
    from everloop.loops.sections import assemble
    from everloop.rewards.runner import aggregate_and_flag
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
        figures, found = aggregate_and_flag(
            spec, version, table, measuring=measuring, writer=place.rewards
        )
        queue_suspicions(place.reviews, manifest, found, datetime.now(UTC))
        write(figures, Path(rewards.path) / "figures.json")
        contexts = audited_contexts(place, manifest, "aggregate_rewards")
        save_encoded(encode(spec, version, table, contexts, measuring), episodes.path)
        told.says(*reward_rows(figures, manifest.loop, measuring))
