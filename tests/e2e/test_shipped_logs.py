"""Both shipped logs, end to end: what ``make run`` does, and what its commands show."""

from __future__ import annotations

import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from everloop import sdk
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import CheckStatus, Decision
from everloop.contracts.models import Provenance, States
from everloop.intake.example import episode_ids
from everloop.intake.example_journeys import DAYS, PEOPLE, SEED, generate
from everloop.sdk import OpenedRun
from everloop.wiring import open_workspace
from pipelines.daily_learning import STAGES
from rl.runtime import load_policy
from tests.e2e.whole_runs import BANDIT_DAY, EXAMPLE_DAY, ROOT, command


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("shipped") / "home"
    assert command("init", "--home", str(place)) == 0
    if (ROOT / ".cache").is_dir():
        shutil.copytree(ROOT / ".cache", place / "downloads")
    assert command("import", "open-bandit", "--home", str(place)) == 0
    assert command("import", "example", "--home", str(place)) == 0
    return place


@pytest.fixture(scope="module")
def example(home: Path) -> OpenedRun:
    return sdk.run_daily("companion", EXAMPLE_DAY, home=home)


@pytest.fixture(scope="module")
def bandit(home: Path) -> OpenedRun:
    return sdk.run_daily("open_bandit", BANDIT_DAY, home=home)


def test_the_example_goes_all_the_way_to_a_started_rollout(example: OpenedRun, home: Path) -> None:
    assert [stage.stage for stage in example.record.stages] == list(STAGES)
    assert example.verdict.decision is Decision.CONTINUE
    assert (example.rollout.state, example.rollout.traffic_percent) == ("shadow", 0.0)
    registry = open_workspace(home).registry
    assert registry.alias("companion", "candidate")[0] == example.checkpoint.checkpoint_id
    assert example.checkpoint.provenance is Provenance.PRIVATE_RELEASE
    assert example.checkpoint.lineage["dataset"] == example.manifest.dataset_id
    assert {"model_card.md", "model_card_public.md"} <= set(example.checkpoint.files)


def test_the_example_learned_what_its_truth_rewards(example: OpenedRun) -> None:
    """The policy's true value beats the logging policy's, and the estimate's interval is honest."""
    log = generate()
    ids = episode_ids(log, PEOPLE, DAYS, SEED, "default")
    row_of = {name: row for row, name in enumerate(ids)}
    judged = example.episodes.evaluation
    rows = np.array([row_of[name] for name in judged.episode_id.tolist()])
    policy = load_policy(example.chosen_policy / "policy.onnx")
    chances = policy.act(States(judged.context, judged.mask), 0.1).propensity
    earned = (chances * log.expected[rows]).sum(axis=1).mean()
    logged = (log.propensities[rows] * log.expected[rows]).sum(axis=1).mean()
    best = np.where(log.valid[rows], log.expected[rows], -np.inf).max(axis=1).mean()
    assert earned - logged > 0.4 * (best - logged)
    found = example.evaluation.difference
    assert found.low - 0.02 < earned - logged < found.high + 0.02


def test_the_open_bandit_log_cannot_decide_and_says_so(bandit: OpenedRun) -> None:
    assert bandit.verdict.decision is Decision.HOLD
    assert bandit.verdict.reasons[0].startswith("Not enough evidence")
    assert bandit.rollout.state == "refused"
    assert bandit.evaluation.difference.low < 0 < bandit.evaluation.difference.high
    assert bandit.evaluation.comparison is not None
    assert bandit.evaluation.comparison.n == 10_000
    assert not bandit.episodes.training.comparison.any()
    assert "each row" in " ".join(bandit.report.read_text().split())
    assert "CC BY 4.0" in bandit.report.read_text()


def test_what_is_registered_is_what_the_comparison_chose(example: OpenedRun) -> None:
    found, row = example.comparison, example.checkpoint
    assert [p.learner for p in found.policies] == ["ppo", "greedy", "lin_ts", "raw_dr"]
    assert row.lineage["learner"] == found.chosen
    assert row.lineage["version"] == found.best.version
    assert row.lineage["compared"].split() == sorted(p.version for p in found.policies)
    assert row.performance_metrics["compared"] == 4.0
    assert {p.evaluation.candidates for p in found.policies} == {4}
    lows = {p.learner: p.evaluation.difference.low for p in found.policies if p.deployable}
    assert found.chosen == max(lows, key=lambda name: lows[name])
    assert example.evaluation == found.best.evaluation


def test_on_open_bandit_the_learners_cannot_be_told_apart(bandit: OpenedRun) -> None:
    found = bandit.comparison
    lows = {p.learner: p.evaluation.difference.low for p in found.policies if p.deployable}
    assert found.chosen == max(lows, key=lambda name: lows[name])
    assert not found.distinguishable
    assert "do not show that it is better than" in found.reason
    assert all(d.low < 0 < d.high for d in found.differences)
    text = " ".join(bandit.report.read_text().split())
    assert "These people cannot tell the learners apart" in text
    assert "cannot say that privacy costs anything" in text


def test_a_rerun_finds_everything_done_and_spends_nothing(home: Path, example: OpenedRun) -> None:
    ledger = open_workspace(home).ledger
    before = ledger.history()
    again = sdk.run_daily("companion", EXAMPLE_DAY, home=home)
    assert again.run_id == example.run_id
    assert {stage.outcome for stage in again.record.stages} == {"cached"}
    assert ledger.history() == before
    assert again.rollout == example.rollout
    assert ledger.verify() == len(before)


class _Resources(HTMLParser):
    found: tuple[str, ...] = ()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("src", "href", "xlink:href") and not str(value).startswith(("#", "data:")):
                self.found += (f"{tag} {name}={value}",)
        assert tag != "script"


def test_reports_and_pages_need_no_network(example: OpenedRun, bandit: OpenedRun) -> None:
    pages = [example.report, bandit.report]
    pages += [Path(stage.artefacts["page"]) for stage in example.record.stages]
    for page in pages:
        parser = _Resources()
        parser.feed(page.read_text())
        assert parser.found == (), page


def test_every_stage_of_the_sdk_opens(example: OpenedRun, home: Path) -> None:
    opened = sdk.open_run(example.run_id, home)
    assert opened.dataset.manifest == opened.manifest
    assert opened.validation.passed
    assert opened.rewards.rewarded == len(opened.episodes)
    assert opened.reward_table.exists()
    assert opened.user_model_release.epsilon + opened.profiles_release.epsilon < 1
    assert all(check.status is CheckStatus.PASSED for check in opened.quality.checks)
    assert opened.training.last_reward > opened.training.first_reward
    assert opened.explanations
    assert opened in [sdk.OpenedRun(run) for run in sdk.runs("companion", home=home)]
    with pytest.raises(ShouldFixArgument, match="It has: extract_episodes"):
        opened.stage("extract")
    with pytest.raises(ShouldFixArgument, match="It has:"):
        opened.artefact("gate", "nothing")
    with pytest.raises(ShouldFixArgument):
        sdk.open_run("companion-2026-03-29", home)


def read_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> object:
    capsys.readouterr()
    assert command(*arguments, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_commands_show_the_runs(
    home: Path, example: OpenedRun, bandit: OpenedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ("--home", str(home))
    listed = read_json(capsys, "runs", "list", *at)
    assert {run["run_id"] for run in listed} >= {example.run_id, bandit.run_id}  # type: ignore[index, attr-defined]
    shown = read_json(capsys, "runs", "show", example.run_id, *at)
    assert shown["verdict"].startswith("continue")  # type: ignore[index, call-overload]
    changed = read_json(capsys, "runs", "diff", example.run_id, bandit.run_id, *at)
    assert {"loop", "verdict"} <= {row["what"] for row in changed}  # type: ignore[attr-defined]
    assert command("runs", "diff", example.run_id, example.run_id, *at) == 0
    assert "do not differ" in capsys.readouterr().out
    for words in (("runs", "list"), ("runs", "show", bandit.run_id)):
        assert command(*words, *at) == 0
        assert "hold" in capsys.readouterr().out


def test_commands_show_the_budget(
    home: Path, example: OpenedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ("--home", str(home))
    asked = ("privacy", "status", "--loop", "companion", "--date", EXAMPLE_DAY.isoformat())
    status = read_json(capsys, *asked, *at)
    assert 0 < status["epsilon_period"] < status["epsilon_budget"]  # type: ignore[index, call-overload]
    rows = read_json(capsys, "privacy", "history", *at)
    verified = read_json(capsys, "privacy", "verify", *at)
    assert verified == {"rows": len(rows), "verified": True}  # type: ignore[arg-type]
    for words in (asked, ("privacy", "history"), ("privacy", "verify")):
        assert command(*words, *at) == 0


def test_exit_codes_tell_scripts_the_verdict(home: Path, bandit: OpenedRun) -> None:
    words = ("run", "daily", "--loop", "open_bandit", "--date", BANDIT_DAY.isoformat())
    assert command(*words, "--home", str(home)) == 0
    assert command(*words, "--home", str(home), "--fail-on-hold") == 3


def test_importing_again_changes_nothing(
    home: Path, example: OpenedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = read_json(capsys, "import", "example", "--home", str(home))
    assert summary["episodes_new"] == 0  # type: ignore[index, call-overload]
    assert summary["episodes_replayed"] == open_workspace(home).log.counts("companion")[0]  # type: ignore[index, call-overload]


def test_doctor_finds_the_workspace_fit(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    findings = read_json(capsys, "doctor", "--home", str(home))
    assert all(finding["ok"] for finding in findings)  # type: ignore[attr-defined]
    (home / "secrets.env").chmod(0o644)
    assert command("doctor", "--home", str(home)) == 1
    (home / "secrets.env").chmod(0o600)
    assert "can be read by others" in " ".join(capsys.readouterr().out.split())
