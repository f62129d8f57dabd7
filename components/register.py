"""Step 13: the candidate becomes a checkpoint with checksums and lineage."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import (
    Checkpoint,
    Comparison,
    EpisodeDataset,
    Evaluation,
    GateVerdict,
    Heads,
    PrivateRelease,
    Sweep,
    SyntheticQuality,
    TrainedPolicy,
)
from components._runtime import component


@component
def register(
    workspace: str,
    product: str,
    tenant: str,
    code: str,
    dataset: Input[EpisodeDataset],
    user_model: Input[PrivateRelease],
    profiles: Input[PrivateRelease],
    quality: Input[SyntheticQuality],
    policy: Input[TrainedPolicy],
    evaluation: Input[Evaluation],
    comparison: Input[Comparison],
    heads: Input[Heads],
    verdict: Input[GateVerdict],
    checkpoint: Output[Checkpoint],
    page: Output[HTML],
    metrics: Output[Metrics],
    sweep: Input[Sweep] = None,
) -> None:
    """Store the files of the night's models by content and register them, whatever the verdict.

    Args:
        workspace: address of the workspace.
        product: the loop specification's product section, JSON.
        tenant: owner of the model.
        code: checksum of our source, part of the lineage.
        dataset: the manifest of the version.
        user_model: the release that the policy was trained on.
        profiles: the people that it was trained with.
        quality: the published figures, for the model card.
        policy: the chosen policy: weights and ONNX.
        evaluation: its measured figures.
        comparison: what it was chosen from.
        heads: the pairing and the emotion model, registered beside it.
        verdict: the gate's answer.
        checkpoint: the registered row.
        page: checksums and lineage.
        metrics: the checkpoint's figures.
        sweep: the search whose best trial the policy is; absent where one training made it.
    """
    from pathlib import Path

    from components._checkpoint import register_candidate
    from components._pages import checkpoint_rows
    from components._stage import stage
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace

    with stage("register", checkpoint, page, metrics) as told:
        row = register_candidate(
            assemble(product),
            open_workspace(workspace),
            tenant,
            code,
            (
                dataset,
                user_model,
                profiles,
                quality,
                policy,
                evaluation,
                comparison,
                heads,
                verdict,
            ),
            Path(checkpoint.path),
            sweep,
        )
        told.says(*checkpoint_rows(row))
