"""The voice's graph: what people said becomes one adapter, tried in a sandbox before anybody hears it.

::

    collect_feedback -> build_training_data -> choose_strategy -+-> train_reward_model -> ...
                                                                +- no adapter -> voice_report

    ... -> train_adapter -+-> train_placebo -> measure_voice -> run_sandbox -> voice_gate
                          |     -> register_voice -> start_voice_rollout -> voice_report
                          +- refused -> voice_report
"""

from typing import Any

from kfp import dsl

from components._runtime import SCHEDULED, pipeline
from components.build_training_data import build_training_data
from components.choose_strategy import choose_strategy
from components.collect_feedback import collect_feedback
from components.measure_voice import measure_voice
from components.register_voice import register_voice
from components.run_sandbox import run_sandbox
from components.start_voice_rollout import start_voice_rollout
from components.train_adapter import train_adapter
from components.train_placebo import train_placebo
from components.train_reward_model import train_reward_model
from components.voice_gate import voice_gate
from components.voice_report import voice_report

NAME = "persona-adaptation"

STAGES = (
    "collect_feedback",
    "build_training_data",
    "choose_strategy",
    "train_reward_model",
    "train_adapter",
    "train_placebo",
    "measure_voice",
    "run_sandbox",
    "voice_gate",
    "register_voice",
    "start_voice_rollout",
    "voice_report",
)
"""In the order they run; ``--from-stage`` takes one of these."""


def try_adapter(
    dated: dict[str, Any],
    sections: dict[str, Any],
    known: dict[str, Any],
    scorer: Any,
    adapter: Any,
    oversight: str,
) -> dict[str, Any]:
    """The sub-graph from an adapter to its trial; the artifacts that it adds."""
    here = {name: dated[name] for name in ("workspace", "product", "voice", "code")}
    owned = here | {"tenant": dated["tenant"]}
    data, strategy = known["data"], known["strategy"]
    taught = {"data": data, "strategy": strategy, "scorer": scorer}
    placebo = train_placebo(**dated, **taught).outputs["adapter"]
    measure = measure_voice(
        **owned, data=data, adapter=adapter, placebo=placebo, scorer=scorer
    ).outputs["measure"]
    findings = run_sandbox(
        **owned,
        collection=known["collection"],
        adapter=adapter,
        placebo=placebo,
        measure=measure,
    ).outputs["findings"]
    verdict = voice_gate(
        **owned,
        privacy=sections["privacy"],
        terms=sections["terms"],
        oversight=oversight,
        data=data,
        adapter=adapter,
        placebo=placebo,
        findings=findings,
    ).outputs["verdict"]
    checkpoint = register_voice(
        **dated,
        **known,
        scorer=scorer,
        adapter=adapter,
        measure=measure,
        findings=findings,
        verdict=verdict,
    ).outputs["checkpoint"]
    rollout = start_voice_rollout(
        **dated,
        terms=sections["terms"],
        measure=measure,
        verdict=verdict,
        checkpoint=checkpoint,
    ).outputs["rollout"]
    return {
        "placebo": placebo,
        "measure": measure,
        "findings": findings,
        "verdict": verdict,
        "checkpoint": checkpoint,
        "rollout": rollout,
    }


@pipeline(
    NAME,
    "What people said of a voice becomes an adapter, and meets people if the evidence allows.",
)
def persona_adaptation(
    product: str,
    voice: str,
    logical_date: str = "",
    privacy: str = "{}",
    terms: str = "{}",
    workspace: str = "/workspace",
    tenant: str = "default",
    code: str = "",
    refresh: str = "",
    oversight: str = "",
) -> None:
    """Teach a persona what people said of it until now.

    Args:
        product: what the product decides, sees and is rewarded for: a JSON text. Required; everloop
            compile --loop NAME --platform FILE writes a file in which it is filled in.
        voice: the specification's section voice: who speaks, on which base, and how it learns. Required;
            filled in as the product is.
        logical_date: the day to learn for, YYYY-MM-DD. Empty: the last day (UTC) that had ended when the
            run was scheduled, or else begun.
        privacy: its section privacy as a JSON text: the budget that a private adapter is charged to. {}:
            defaults.
        terms: its section rollout: how candidates are tried on people, and who must agree. {}: defaults.
        workspace: folder of the workspace in the steps' containers.
        tenant: whose rows.
        code: checksum of everloop's source, kept with what a run makes. The image says it, too: leave it.
        refresh: any new word reads what people said anew; empty keeps the date's collection.
        oversight: any new word asks the gate anew, since people have spoken. On Kubeflow every run asks
            it anyway: leave it.
    """
    here: dict[str, Any] = {
        "workspace": workspace,
        "product": product,
        "voice": voice,
        "code": code,
    }
    sections: dict[str, Any] = {"privacy": privacy, "terms": terms}
    collected = collect_feedback(
        **here, logical_date=logical_date, scheduled=SCHEDULED, tenant=tenant, refresh=refresh
    )
    collection = collected.outputs["collection"]
    dated = here | {"logical_date": collected.outputs["Output"], "tenant": tenant}
    owned = here | {"tenant": tenant}
    data = build_training_data(**owned, collection=collection).outputs["data"]
    chosen = choose_strategy(**owned, collection=collection, data=data)
    known = {"collection": collection, "data": data, "strategy": chosen.outputs["strategy"]}
    told = {name: value for name, value in dated.items() if name != "workspace"}
    with dsl.If(chosen.outputs["Output"] == True, "adapter"):  # noqa: E712
        scorer = train_reward_model(**here, data=data).outputs["scorer"]
        strategy = chosen.outputs["strategy"]
        trained = train_adapter(**dated, data=data, strategy=strategy, scorer=scorer)
        taught = {"scorer": scorer, "adapter": trained.outputs["adapter"]}
        # Behind it, too, so that the placebo of a private training knows whom the release admitted.
        with dsl.If(trained.outputs["Output"] == True, "trained"):  # noqa: E712
            tried = try_adapter(dated, sections, known, **taught, oversight=oversight)
            voice_report(**told, terms=terms, **known, **taught, **tried)
        with dsl.Else("refused"):
            voice_report(**told, terms=terms, **known, **taught)
    with dsl.Else("no-adapter"):
        voice_report(**told, terms=terms, **known)
