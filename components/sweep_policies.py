"""Step 6 of an experiment: many trainings with settings of a search space, and the best one's policy."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import (
    AlternativePolicies,
    PrivateRelease,
    ReportOnlyPolicies,
    Sweep,
    TrainedPolicy,
)
from components._runtime import component


@component
def sweep_policies(
    workspace: str,
    product: str,
    training: str,
    space: str,
    trials: int,
    scheduler: str,
    seed: int,
    cpus: int,
    code: str,
    user_model: Input[PrivateRelease],
    profiles: Input[PrivateRelease],
    policy: Output[TrainedPolicy],
    alternatives: Output[AlternativePolicies],
    report_only: Output[ReportOnlyPolicies],
    sweep: Output[Sweep],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Search with Ray Tune on private releases alone; the log and the holdout are not read.

    A killed search goes on from its trials' last checkpoints.

    Args:
        workspace: address of the workspace; holds the search's own checkpoints.
        product: the loop specification's product section, JSON.
        training: its training section, JSON: what every trial has in common.
        space: what varies, SETTING=kind(values) parted by semicolons.
        trials: how many settings are tried.
        scheduler: asha or pbt.
        seed: of the settings that are tried, of every trial and of the evaluation.
        cpus: trials side by side, one CPU each.
        code: checksum of our source, part of the cache key.
        user_model: the released user model.
        profiles: the synthetic people.
        policy: the best trial's: weights, ONNX and the learning curve.
        alternatives: none.
        report_only: none.
        sweep: every trial, and what the best one is worth when judged again.
        page: the trials and the best one's learning curve.
        metrics: first and last reward, steps of the best trial.
    """
    from pathlib import Path

    from components._private import released_file
    from components._stage import stage
    from components._sweeping import plan_of, sweep_resumably
    from everloop.loops.sections import assemble
    from synthetic.profiles import load_profiles
    from synthetic.user_model import load_user_model

    with stage("sweep_policies", policy, page, metrics) as told:
        spec = assemble(product, training=training)
        plan = plan_of(spec, space, trials, scheduler, cpus, seed)
        model = load_user_model(released_file(user_model.path), spec)
        people = load_profiles(released_file(profiles.path))
        others = [Path(output.path) for output in (alternatives, report_only)]
        told.says(
            *sweep_resumably(
                spec,
                model,
                people,
                plan,
                code,
                Path(workspace),
                Path(policy.path),
                Path(sweep.path),
                others,
            )
        )
