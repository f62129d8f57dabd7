"""The daily graph: from logged decisions to a started rollout or an honest refusal.

::

    extract_episodes -> validate_episodes -+-> aggregate_rewards -> fit_user_model -+-> ...
                                           |                                        |
                                           +- no -> report                          +- no -> report

    ... -> generate_profiles -+-> check_synthetic -> export_heads -> train_policy
                              |      -> train_alternatives -> evaluate_policy -> explain
                              |      -> gate -> register -> start_rollout -> report
                              +- no -> report
"""

from typing import Any

from kfp import dsl

from components._runtime import SCHEDULED, pipeline
from components.aggregate_rewards import aggregate_rewards
from components.check_synthetic import check_synthetic
from components.evaluate_policy import evaluate_policy
from components.explain import explain
from components.export_heads import export_heads
from components.extract_episodes import extract_episodes
from components.fit_user_model import fit_user_model
from components.gate import gate
from components.generate_profiles import generate_profiles
from components.register import register
from components.report import report
from components.start_rollout import start_rollout
from components.train_alternatives import train_alternatives
from components.train_policy import train_policy
from components.validate_episodes import validate_episodes

NAME = "daily-learning"

STAGES = (
    "extract_episodes",
    "validate_episodes",
    "aggregate_rewards",
    "fit_user_model",
    "generate_profiles",
    "check_synthetic",
    "export_heads",
    "train_policy",
    "train_alternatives",
    "evaluate_policy",
    "explain",
    "gate",
    "register",
    "start_rollout",
    "report",
)
"""In the order they run; ``--from-stage`` takes one of these."""


def learn_and_ship(
    dated: dict[str, Any], sections: dict[str, Any], known: dict[str, Any], oversight: str
) -> dict[str, Any]:
    """The sub-graph from synthetic people to a rollout; the artifacts that it adds."""
    everywhere = {name: dated[name] for name in ("workspace", "product", "code")}
    common = {name: dated[name] for name in ("product", "code")}
    tenant = dated["tenant"]
    thresholds = {"thresholds": sections["thresholds"]}
    released = {"user_model": known["user_model"], "profiles": known["profiles"]}
    real = {"dataset": known["dataset"], "episodes": known["episodes"]}
    quality = check_synthetic(
        **dated, **thresholds, **released, **real, privacy=sections["privacy"]
    ).outputs["quality"]
    heads = export_heads(
        **common,
        privacy=sections["privacy"],
        episodes=known["episodes"],
        user_model=known["user_model"],
    ).outputs["heads"]
    trained = train_policy(**everywhere, **released, training=sections["training"])
    others = train_alternatives(
        **common, **released, training=sections["training"], episodes=known["episodes"]
    ).after(trained)
    evaluated = evaluate_policy(
        **dated,
        **thresholds,
        **real,
        policy=trained.outputs["policy"],
        alternatives=others.outputs["alternatives"],
        report_only=others.outputs["report_only"],
    )
    evaluation, comparison = evaluated.outputs["evaluation"], evaluated.outputs["comparison"]
    policy = evaluated.outputs["chosen"]
    explanations = explain(
        **everywhere, **thresholds, **real, user_model=known["user_model"], policy=policy
    ).outputs["explanations"]
    verdict = gate(
        **everywhere,
        **thresholds,
        terms=sections["terms"],
        tenant=tenant,
        oversight=oversight,
        **released,
        validation=known["validation"],
        rewards=known["rewards"],
        quality=quality,
        policy=policy,
        evaluation=evaluation,
        explanations=explanations,
    ).outputs["verdict"]
    checkpoint = register(
        **everywhere,
        **released,
        tenant=tenant,
        dataset=known["dataset"],
        quality=quality,
        policy=policy,
        evaluation=evaluation,
        comparison=comparison,
        heads=heads,
        verdict=verdict,
    ).outputs["checkpoint"]
    rollout = start_rollout(
        **dated,
        terms=sections["terms"],
        evaluation=evaluation,
        verdict=verdict,
        checkpoint=checkpoint,
    ).outputs["rollout"]
    return {
        "quality": quality,
        "heads": heads,
        "policy": trained.outputs["policy"],
        "evaluation": evaluation,
        "comparison": comparison,
        "explanations": explanations,
        "verdict": verdict,
        "checkpoint": checkpoint,
        "rollout": rollout,
    }


@pipeline(
    NAME,
    "Every day: logged decisions become a privately trained policy, and ship if the evidence allows.",
)
def daily_learning(
    product: str,
    logical_date: str = "",
    privacy: str = "{}",
    training: str = "{}",
    thresholds: str = "{}",
    terms: str = "{}",
    workspace: str = "/workspace",
    tenant: str = "default",
    code: str = "",
    refresh: str = "",
    oversight: str = "",
) -> None:
    """Learn from the days that end with a date.

    Args:
        product: what the product decides, sees and is rewarded for: a JSON text. Required; everloop
            compile --loop NAME --platform FILE writes a file in which it is filled in.
        logical_date: the day to learn for, YYYY-MM-DD. Empty: the last day (UTC) that had ended when the
            run was scheduled, or else begun. A moment (2026-03-29T03:00:00Z) means the last day before it.
        privacy: the specification's section privacy as a JSON text: budget and mechanism. {}: defaults.
        training: its section training: how policies are trained. {}: defaults.
        thresholds: its section thresholds: what data, models and gates must reach. {}: defaults.
        terms: its section rollout: how candidates are tried on people, and who must agree. {}: defaults.
        workspace: folder of the workspace in the steps' containers.
        tenant: whose rows.
        code: checksum of everloop's source, kept with what a run makes. The image says it, too: leave it.
        refresh: any new word reads the log anew for the date; empty keeps the date's dataset.
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
    validated = validate_episodes(**everywhere, thresholds=thresholds, dataset=dataset)
    known: dict[str, Any] = {"dataset": dataset, "validation": validated.outputs["validation"]}
    with dsl.If(validated.outputs["Output"] == True, "valid"):  # noqa: E712
        aggregated = aggregate_rewards(**everywhere, thresholds=thresholds, dataset=dataset)
        episodes = aggregated.outputs["episodes"]
        known |= {"rewards": aggregated.outputs["rewards"], "episodes": episodes}
        fitted = fit_user_model(**dated, privacy=privacy, dataset=dataset, episodes=episodes)
        known["user_model"] = fitted.outputs["user_model"]
        with dsl.If(fitted.outputs["Output"] == True, "user-model"):  # noqa: E712
            drawn = generate_profiles(
                **dated,
                privacy=privacy,
                training=training,
                dataset=dataset,
                episodes=episodes,
                user_model=fitted.outputs["user_model"],
            )
            known["profiles"] = drawn.outputs["profiles"]
            with dsl.If(drawn.outputs["Output"] == True, "people"):  # noqa: E712
                shipped = learn_and_ship(dated, sections, known, oversight)
                report(**dated, **sections, **known, **shipped)
            with dsl.Else("no-people"):
                report(**dated, **sections, **known)
        with dsl.Else("no-user-model"):
            report(**dated, **sections, **{k: v for k, v in known.items() if k != "profiles"})
    with dsl.Else("invalid"):
        report(**dated, **sections, dataset=dataset, validation=validated.outputs["validation"])
