"""An experiment: settings are searched for on a finished night's releases, and the best is a candidate.

::

    extract_episodes -> validate_episodes -+-> aggregate_rewards -> load_releases -> export_heads -> ...
                                           +- no -> report

    ... -> sweep_policies -> evaluate_policy -> explain -> gate -> register -> start_rollout -> report

Every step but two is the daily graph's own. The candidate meets the same gate as every night's, and what it
is trained on is paid for already: nothing here takes privacy budget.
"""

from typing import Any

from kfp import dsl

from components._runtime import SCHEDULED, pipeline
from components.aggregate_rewards import aggregate_rewards
from components.evaluate_policy import evaluate_policy
from components.explain import explain
from components.export_heads import export_heads
from components.extract_episodes import extract_episodes
from components.gate import gate
from components.load_releases import load_releases
from components.register import register
from components.report import report
from components.start_rollout import start_rollout
from components.sweep_policies import sweep_policies
from components.validate_episodes import validate_episodes

NAME = "experiment"

STAGES = (
    "extract_episodes",
    "validate_episodes",
    "aggregate_rewards",
    "load_releases",
    "export_heads",
    "sweep_policies",
    "evaluate_policy",
    "explain",
    "gate",
    "register",
    "start_rollout",
    "report",
)
"""In the order they run."""

SPACE = (
    "training.learning_rate=loguniform(3e-4,1e-2);training.epochs=randint(2,8);"
    "exploration.start=uniform(0.15,0.4)"
)
"""What is searched where nothing else is asked for: how fast, how often over each batch, how curious."""


def search_and_ship(
    dated: dict[str, Any],
    sections: dict[str, Any],
    search: dict[str, Any],
    known: dict[str, Any],
    oversight: str,
) -> dict[str, Any]:
    """The sub-graph from a night's rewards to a rollout; the artifacts that it adds."""
    everywhere = {name: dated[name] for name in ("workspace", "product", "code")}
    tenant, terms = dated["tenant"], {"terms": sections["terms"]}
    thresholds = {"thresholds": sections["thresholds"]}
    real = {"dataset": known["dataset"], "episodes": known["episodes"]}
    night = load_releases(
        **dated, **thresholds, **real, privacy=sections["privacy"], training=sections["training"]
    ).outputs
    released = {"user_model": night["user_model"], "profiles": night["profiles"]}
    heads = export_heads(
        product=dated["product"],
        code=dated["code"],
        privacy=sections["privacy"],
        episodes=known["episodes"],
        user_model=night["user_model"],
    ).outputs["heads"]
    searched = sweep_policies(
        **everywhere, **search, **released, training=sections["training"]
    ).outputs
    evaluated = evaluate_policy(
        **dated,
        **thresholds,
        **real,
        policy=searched["policy"],
        alternatives=searched["alternatives"],
        report_only=searched["report_only"],
    ).outputs
    found = {"policy": evaluated["chosen"], "evaluation": evaluated["evaluation"]}
    explanations = explain(
        **everywhere,
        **thresholds,
        **real,
        user_model=night["user_model"],
        policy=evaluated["chosen"],
    ).outputs["explanations"]
    verdict = gate(
        **everywhere,
        **thresholds,
        **terms,
        **released,
        **found,
        tenant=tenant,
        oversight=oversight,
        validation=known["validation"],
        rewards=known["rewards"],
        quality=night["quality"],
        explanations=explanations,
    ).outputs["verdict"]
    checkpoint = register(
        **everywhere,
        **released,
        **found,
        tenant=tenant,
        dataset=known["dataset"],
        quality=night["quality"],
        comparison=evaluated["comparison"],
        heads=heads,
        verdict=verdict,
        sweep=searched["sweep"],
    ).outputs["checkpoint"]
    rollout = start_rollout(
        **dated,
        **terms,
        evaluation=evaluated["evaluation"],
        verdict=verdict,
        checkpoint=checkpoint,
    ).outputs["rollout"]
    return {
        **released,
        "quality": night["quality"],
        "heads": heads,
        "policy": searched["policy"],
        "sweep": searched["sweep"],
        "evaluation": evaluated["evaluation"],
        "comparison": evaluated["comparison"],
        "explanations": explanations,
        "verdict": verdict,
        "checkpoint": checkpoint,
        "rollout": rollout,
    }


@pipeline(
    NAME,
    "On demand: settings are searched for on a night's private releases; the best policy is a candidate.",
)
def experiment(
    product: str,
    logical_date: str = "",
    space: str = SPACE,
    trials: int = 8,
    scheduler: str = "asha",
    seed: int = 0,
    cpus: int = 1,
    privacy: str = "{}",
    training: str = "{}",
    thresholds: str = "{}",
    terms: str = "{}",
    workspace: str = "/workspace",
    tenant: str = "default",
    code: str = "",
    oversight: str = "",
) -> None:
    """Search for the settings of a policy's training, and put the best policy before the gate.

    Args:
        product: what the product decides, sees and is rewarded for: a JSON text. Required; everloop
            compile --loop NAME --platform FILE writes a file in which it is filled in.
        logical_date: a day whose night is over, YYYY-MM-DD: its releases are learned from again. Empty: the
            last day (UTC) that had ended when the run was scheduled, or else begun.
        space: what varies: SETTING=kind(values) parted by semicolons, of training.… and exploration.…;
            kinds uniform(low,high), loguniform(low,high), randint(low,high) and choice(a,b,…).
        trials: how many settings are tried, at least 1 (4 with pbt).
        scheduler: asha ends the worse two thirds early; pbt lets the worst go on from the best.
        seed: of the settings that are tried, of every trial and of the evaluation; 0 or more.
        cpus: trials side by side, one CPU each; give the step sweep_policies as many.
        privacy: the specification's section privacy as a JSON text; nothing is spent, it says what the
            releases promise. {}: defaults.
        training: its section training: what every trial has in common. {}: defaults.
        thresholds: its section thresholds: what data, models and gates must reach. {}: defaults.
        terms: its section rollout: how candidates are tried on people, and who must agree. {}: defaults.
        workspace: folder of the workspace in the steps' containers.
        tenant: whose rows.
        code: checksum of everloop's source, kept with what a run makes. The image says it, too: leave it.
        oversight: any new word asks the gate anew, since people have spoken or a check was installed. On
            Kubeflow every run asks it anyway: leave it.
    """
    everywhere: dict[str, Any] = {"workspace": workspace, "product": product, "code": code}
    sections: dict[str, Any] = {
        "privacy": privacy,
        "training": training,
        "thresholds": thresholds,
        "terms": terms,
    }
    search: dict[str, Any] = {
        "space": space,
        "trials": trials,
        "scheduler": scheduler,
        "seed": seed,
        "cpus": cpus,
    }
    # no refresh: the night's own reading of the log is what its releases were made from
    extracted = extract_episodes(
        **everywhere,
        logical_date=logical_date,
        scheduled=SCHEDULED,
        tenant=tenant,
        thresholds=thresholds,
        refresh="",
    )
    dataset = extracted.outputs["dataset"]
    dated = everywhere | {"logical_date": extracted.outputs["Output"], "tenant": tenant}
    validated = validate_episodes(**everywhere, thresholds=thresholds, dataset=dataset)
    known: dict[str, Any] = {"dataset": dataset, "validation": validated.outputs["validation"]}
    with dsl.If(validated.outputs["Output"] == True, "valid"):  # noqa: E712
        aggregated = aggregate_rewards(**everywhere, thresholds=thresholds, dataset=dataset)
        rewarded = {name: aggregated.outputs[name] for name in ("rewards", "episodes")}
        shipped = search_and_ship(dated, sections, search, known | rewarded, oversight)
        report(**dated, **sections, **known, **rewarded, **shipped, graph=NAME)
    with dsl.Else("invalid"):
        report(**dated, **sections, **known, graph=NAME)
