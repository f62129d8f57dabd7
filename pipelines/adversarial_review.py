"""The monthly graph: the active model is attacked, and what it gave way to is recorded.

::

    extract_episodes -> aggregate_rewards -> adversarial_attack -> adversarial_record
"""

from typing import Any

from components._runtime import pipeline
from components.adversarial_attack import adversarial_attack
from components.adversarial_record import adversarial_record
from components.aggregate_rewards import aggregate_rewards
from components.extract_episodes import extract_episodes

NAME = "adversarial-review"

STAGES = ("extract_episodes", "aggregate_rewards", "adversarial_attack", "adversarial_record")
"""In the order they run."""


@pipeline(NAME, "Every month: the model that serves is attacked before somebody else does it.")
def adversarial_review(
    workspace: str,
    product: str,
    thresholds: str,
    logical_date: str,
    code: str,
    model: str = "",
    tenant: str = "default",
    refresh: str = "",
) -> None:
    """Attack the model that serves with the decisions that were logged until a date.

    Args:
        workspace: address of the workspace (a folder on a laptop).
        product: the loop specification's product section, JSON (see ``everloop compile --help``).
        thresholds: its thresholds, JSON.
        logical_date: the last day whose decisions are used, as YYYY-MM-DD.
        code: checksum of everloop's source; another code misses the cache.
        model: the checkpoint to attack; empty: the one that serves when the step runs.
        tenant: whose rows.
        refresh: any new token extracts the date anew; empty keeps its dataset.
    """
    everywhere: dict[str, Any] = {"workspace": workspace, "product": product, "code": code}
    dated: dict[str, Any] = everywhere | {"logical_date": logical_date, "tenant": tenant}
    dataset = extract_episodes(**dated, thresholds=thresholds, refresh=refresh).outputs["dataset"]
    episodes = aggregate_rewards(**everywhere, thresholds=thresholds, dataset=dataset).outputs[
        "episodes"
    ]
    findings = adversarial_attack(
        **dated, thresholds=thresholds, model=model, dataset=dataset, episodes=episodes
    ).outputs["findings"]
    adversarial_record(workspace=workspace, code=code, findings=findings)
