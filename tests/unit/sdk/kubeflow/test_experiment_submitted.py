"""An experiment on a cluster: what is sent, and what is refused before anything is."""

from __future__ import annotations

import pytest

from everloop import sdk
from everloop.cli import app as cli
from everloop.contracts.errors import ShouldFixArgument
from everloop.sdk import ExperimentPlan
from tests.unit.sdk.kubeflow.conftest import World

DAY = "2026-03-28"
SPACE = ("training.learning_rate=loguniform(1e-4,1e-2)", "exploration.start=uniform(0.1,0.4)")


@pytest.mark.usefixtures("small_files")
def test_the_search_is_sent_as_the_forms_parameters(world: World) -> None:
    plan = ExperimentPlan(space=SPACE, trials=6, scheduler="pbt", cpus=3, seed=9, loop="companion")
    run = sdk.submit_experiment(plan, DAY, tenant="acme", platform=world.platform())
    (sent,) = world.fake.runs
    assert run.name.startswith("companion-acme-experiment-2026-03-28-")
    given = sent["runtime_config"]["parameters"]
    assert given["space"] == "; ".join(SPACE)
    wanted = {"trials": 6, "scheduler": "pbt", "cpus": 3, "seed": 9, "tenant": "acme"}
    assert {name: given[name] for name in wanted} == wanted
    assert given["logical_date"] == DAY
    again = sdk.submit_experiment(plan, DAY, tenant="acme", platform=world.platform())
    assert (again.run_id, again.new) == (run.run_id, False)
    assert len(world.fake.runs) == 1


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        (ExperimentPlan("run-1", loop="companion"), "a night of the cluster's"),
        (ExperimentPlan(), "a night of the cluster's"),
        (ExperimentPlan(loop="companion", trials=0), "trials=0"),
        (ExperimentPlan(loop="companion", space=("privacy.epsilon=uniform(1,2)",)), "be tuned"),
        (ExperimentPlan(loop="companion", space=()), "empty"),
    ],
)
def test_what_cannot_be_searched_is_not_sent(world: World, plan: ExperimentPlan, said: str) -> None:
    with pytest.raises(ShouldFixArgument, match=said):
        sdk.submit_experiment(plan, DAY, platform=world.platform())
    assert world.fake.requests == []


@pytest.mark.usefixtures("small_files")
def test_the_command_submits(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from everloop.sdk.kubeflow import submitting

    monkeypatch.setattr(submitting, "opened_platform", lambda _: world.platform())
    words = ["experiment", "--submit", "--loop", "companion", "--date", DAY, "--trials", "3"]
    with pytest.raises(SystemExit) as ended:
        cli.app(words, standalone_mode=False)
    assert ended.value.code == 0
    assert "companion-experiment-2026-03-28-" in capsys.readouterr().out
    assert world.fake.runs[0]["runtime_config"]["parameters"]["trials"] == 3
    with pytest.raises(ShouldFixArgument, match="No night is named"):
        cli.app(["experiment"], standalone_mode=False)


@pytest.mark.parametrize(
    "line",
    [
        "--submit --loop companion --fail-on-hold",
        "--from x --date 2026-03-28",
        "--from x --wait",
        "--from x --platform /nope",
    ],
)
def test_options_of_the_other_place_are_refused(line: str) -> None:
    with pytest.raises(ShouldFixArgument, match="eave out"):
        cli.app(["experiment", *line.split()], standalone_mode=False)


@pytest.mark.parametrize("option", ["--trials", "--cpus"])
def test_a_search_without_bounds_is_refused(option: str) -> None:
    line = ["experiment", "--submit", "--loop", "companion", option, "1000000"]
    with pytest.raises(Exception, match="less than or equal"):
        cli.app(line, standalone_mode=False)
