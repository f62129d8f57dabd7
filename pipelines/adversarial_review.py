"""The monthly graph: the active model is attacked, and what it gave way to is recorded.

::

    extract_episodes -> aggregate_rewards -> adversarial_attack -> adversarial_record
"""

from typing import Any

from components._runtime import SCHEDULED, pipeline
from components.adversarial_attack import adversarial_attack
from components.adversarial_record import adversarial_record
from components.aggregate_rewards import aggregate_rewards
from components.extract_episodes import extract_episodes

NAME = "adversarial-review"

STAGES = ("extract_episodes", "aggregate_rewards", "adversarial_attack", "adversarial_record")
"""In the order they run."""


@pipeline(NAME, "Every month: the model that serves is attacked before somebody else does it.")
def adversarial_review(
    product: str,
    logical_date: str = "",
    thresholds: str = "{}",
    model: str = "",
    workspace: str = "/workspace",
    tenant: str = "default",
    code: str = "",
    refresh: str = "",
) -> None:
    """Attack the model that serves with the decisions that were logged until a date.

    Args:
        product: what the product decides, sees and is rewarded for: a JSON text. Required; everloop
            compile --loop NAME --platform FILE writes a file in which it is filled in.
        logical_date: the last day whose decisions are used, YYYY-MM-DD. Empty: the last day (UTC) that
            had ended when the run was scheduled, or else begun.
        thresholds: the specification's section thresholds as a JSON text. {}: defaults.
        model: the checkpoint to attack; empty: the one that serves when the step runs.
        workspace: folder of the workspace in the steps' containers.
        tenant: whose rows.
        code: checksum of everloop's source, kept with what a run makes. The image says it, too: leave it.
        refresh: any new word reads the log anew for the date; empty keeps the date's dataset.
    """
    everywhere: dict[str, Any] = {"workspace": workspace, "product": product, "code": code}
    extracted = extract_episodes(
        **everywhere,
        logical_date=logical_date,
        scheduled=SCHEDULED,
        tenant=tenant,
        thresholds=thresholds,
        refresh=refresh,
    )
    dataset = extracted.outputs["dataset"]
    dated = everywhere | {"logical_date": extracted.outputs["Output"], "tenant": tenant}
    episodes = aggregate_rewards(**everywhere, thresholds=thresholds, dataset=dataset).outputs[
        "episodes"
    ]
    findings = adversarial_attack(
        **dated, thresholds=thresholds, model=model, dataset=dataset, episodes=episodes
    ).outputs["findings"]
    adversarial_record(workspace=workspace, code=code, findings=findings)
