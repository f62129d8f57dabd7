"""Step 8: off-policy evaluation on held-out real people."""

from kfp.dsl import HTML, Input, Metrics, Output

from components._artifacts import EncodedDataset, Evaluation, TrainedPolicy
from components._runtime import component


@component
def evaluate_policy(
    workspace: str,
    product: str,
    thresholds: str,
    logical_date: str,
    tenant: str,
    code: str,
    episodes: Input[EncodedDataset],
    policy: Input[TrainedPolicy],
    evaluation: Output[Evaluation],
    page: Output[HTML],
    metrics: Output[Metrics],
) -> None:
    """Estimate what the candidate would have earned, against the active or the logging policy.

    Args:
        workspace: address of the workspace; its registry names the active policy.
        product: the loop specification's product section, JSON.
        thresholds: its thresholds, JSON.
        logical_date: the day the run is for, ISO.
        tenant: owner of the rows.
        code: checksum of our source, part of the cache key.
        episodes: the encoded episodes.
        policy: the candidate.
        evaluation: estimates with intervals, overlap and groups.
        page: the same as a page.
        metrics: value, difference and their bounds.
    """
    from datetime import date
    from pathlib import Path

    from components._evaluation import active_policy, candidates_so_far, protected_groups
    from components._pages import evaluation_rows
    from components._stage import stage
    from everloop.contracts.documents import write
    from everloop.contracts.encoded_file import load_encoded
    from everloop.loops.sections import assemble
    from everloop.wiring import open_workspace
    from rl.off_policy.evaluate import evaluate
    from rl.runtime import load_policy

    with stage("evaluate_policy", evaluation, page, metrics) as told:
        spec, place = assemble(product, thresholds=thresholds), open_workspace(workspace)
        logged = load_encoded(episodes.path)
        candidate = load_policy(Path(policy.path) / "policy.onnx", spec=spec)
        result = evaluate(
            spec,
            logged,
            candidate,
            active_policy(place, spec, tenant),
            candidates=candidates_so_far(
                place, spec, tenant, date.fromisoformat(logical_date), candidate.version
            ),
            groups=protected_groups(spec, logged),
        )
        write(result, evaluation.path)
        told.says(*evaluation_rows(result))
