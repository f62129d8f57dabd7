"""Step 11: every training episode in words, with the specification's seven fields."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import (
    EncodedDataset,
    EpisodeDataset,
    Explanations,
    PrivateRelease,
    TrainedPolicy,
)
from components._runtime import component


@component
def explain(
    workspace: str,
    product: str,
    thresholds: str,
    code: str,
    dataset: Input[EpisodeDataset],
    episodes: Input[EncodedDataset],
    user_model: Input[PrivateRelease],
    policy: Input[TrainedPolicy],
    explanations: Output[Explanations],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Explain what was decided, what was expected, what came of it and what the candidate changes.

    Args:
        workspace: address of the workspace.
        product: the loop specification's product section, JSON.
        thresholds: its thresholds, JSON.
        code: checksum of our source, part of the cache key.
        dataset: the manifest of the version.
        episodes: the encoded episodes.
        user_model: the released user model, which says what was expected.
        policy: the candidate, which says what changes.
        explanations: one row an episode, and a sample for the report.
        page: the sample.
        metrics: how many episodes are explained.
    """
    from pathlib import Path

    from components._explanations import explain_dataset
    from components._stage import stage
    from everloop.contracts.encoded_file import load_encoded
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("explain", explanations, page, metrics) as told:
        spec = assemble(product, thresholds=thresholds)
        told.says(
            *explain_dataset(
                spec,
                open_workspace(workspace),
                dataset.path,
                load_encoded(episodes.path),
                user_model.path,
                policy.path,
                Path(explanations.path),
            )
        )
