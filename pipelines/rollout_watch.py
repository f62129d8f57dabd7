"""The hourly graph: what people's answers say of the candidate on trial, and what follows from it.

::

    extract_episodes -> aggregate_rewards -> measure_trial -> act_on_trial -> watch_report

With nothing on trial it says so, and the newest candidate that waits is looked at.
"""

from typing import Any

from components._runtime import pipeline
from components.act_on_trial import act_on_trial
from components.aggregate_rewards import aggregate_rewards
from components.extract_episodes import extract_episodes
from components.measure_trial import measure_trial
from components.watch_report import watch_report

NAME = "rollout-watch"
STAGES = ("extract_episodes", "aggregate_rewards", "measure_trial", "act_on_trial", "watch_report")
"""In the order they run."""


@pipeline(NAME, "Every hour: the candidate on trial is measured, and steps up, holds or leaves.")
def rollout_watch(
    product: str,
    logical_date: str,
    at: str,
    thresholds: str = "{}",
    terms: str = "{}",
    workspace: str = "/workspace",
    tenant: str = "default",
    code: str = "",
) -> None:
    """Look at the trial of a loop at one moment.

    Args:
        product: what the product decides, sees and is rewarded for: a JSON text. Required; everloop
            compile --loop NAME --platform FILE writes a file in which it is filled in.
        logical_date: the day of the look, YYYY-MM-DD.
        at: the moment of the look, ISO 8601 in UTC, such as 2026-03-29T03:00:00+00:00.
        thresholds: the specification's section thresholds as a JSON text; its window must reach back to
            before the trial. {}: defaults.
        terms: its section rollout: how candidates are tried on people, and who must agree. {}: defaults.
        workspace: folder of the workspace in the steps' containers.
        tenant: whose rows.
        code: checksum of everloop's source, kept with what a run makes. The image says it, too: leave it.
    """
    everywhere: dict[str, Any] = {"workspace": workspace, "product": product, "code": code}
    learned: dict[str, Any] = everywhere | {"thresholds": thresholds}
    dataset = extract_episodes(
        **learned, logical_date=logical_date, tenant=tenant, refresh=at, pinned=False
    ).outputs["dataset"]
    aggregated = aggregate_rewards(**learned, dataset=dataset, measuring=True)
    look: dict[str, Any] = learned | {"terms": terms, "tenant": tenant, "at": at}
    look |= {"dataset": dataset} | {
        name: aggregated.outputs[name] for name in ("rewards", "episodes")
    }
    measured = measure_trial(**look).outputs["measured"]
    outcome = act_on_trial(**look, logical_date=logical_date, measured=measured).outputs["outcome"]
    watch_report(product=product, terms=terms, code=code, outcome=outcome)
