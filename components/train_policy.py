"""Step 8: PPO on Ray RLlib against the private user model."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import PrivateRelease, TrainedPolicy
from components._runtime import component


@component
def train_policy(
    workspace: str,
    product: str,
    training: str,
    code: str,
    user_model: Input[PrivateRelease],
    profiles: Input[PrivateRelease],
    policy: Output[TrainedPolicy],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Train the policy on journeys of synthetic people and export it to ONNX, mask inside.

    Nothing here reads the log. A killed training continues from its last checkpoint.

    Args:
        workspace: address of the workspace; holds the training's own checkpoints.
        product: the loop specification's product section, JSON.
        training: its training section, JSON.
        code: checksum of our source, part of the cache key.
        user_model: the released user model.
        profiles: the synthetic people.
        policy: weights, ONNX and the learning curve.
        page: the learning curve.
        metrics: first and last reward, steps.
    """
    from pathlib import Path

    from components._pages import training_rows
    from components._private import released_file
    from components._stage import stage
    from components._training import train_resumably
    from everloop.contracts.documents import write
    from everloop.loops.sections import assemble
    from synthetic.profiles import load_profiles
    from synthetic.user_model import load_user_model

    with stage("train_policy", policy, page, metrics) as told:
        spec = assemble(product, training=training)
        model = load_user_model(released_file(user_model.path), spec)
        people = load_profiles(released_file(profiles.path))
        figures = train_resumably(spec, model, people, code, Path(workspace), Path(policy.path))
        write(figures, Path(policy.path) / "figures.json")
        told.says(*training_rows(figures))
