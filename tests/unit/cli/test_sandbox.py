"""``everloop sandbox``: what it lists, refuses and reads back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from ruamel.yaml import YAML
from typer.testing import CliRunner

from everloop import opened_voice
from everloop.cli.app import app
from everloop.cli.output import complain
from everloop.cli.sandbox import _print, _traits
from everloop.contracts.documents import write
from everloop.contracts.errors import ShouldFixArgument, ShouldFixInput, ShouldRestoreArtefact
from everloop.contracts.evaluation import Check, CheckStatus
from everloop.contracts.sandboxes import SandboxReport, VoiceConfiguration, VoiceOpening
from everloop.contracts.speaking import AdapterFolder, BaseFolder
from everloop.contracts.voices import Message
from everloop.loops.loader import load
from everloop.loops.sections import voice_of
from everloop.sandbox import trying
from everloop.sandbox.deciding import report_of
from everloop.sandbox.loading import shipped
from everloop.sdk import sandboxed
from everloop.sdk.sandboxed import Contest
from tests.unit.sandbox.screens import SCREENS
from tests.unit.sandbox.test_deciding import CLOSED, LIMITS, NOW, SAME, comparison, passing
from tests.unit.sandbox.test_growing import report

ROOT = Path(__file__).parents[3]


def ran(*arguments: str | Path, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["sandbox", *map(str, arguments)])
    assert done.exit_code == code, done.output
    return done.output


def test_scenarios_are_listed_with_the_products_own(tmp_path: Path) -> None:
    everything = json.loads(ran("scenarios", "--loop", "companion", "--json"))
    assert [each["id"] for each in everything] == [each.id for each in shipped()]
    safety = json.loads(ran("scenarios", "--loop", "companion", "--suite", "safety", "--json"))
    assert {each["suite"] for each in safety} == {"safety"}


def test_a_suite_that_is_none_and_a_trait_that_is_no_number_are_refused() -> None:
    for command in ("scenarios", "run"):
        with pytest.raises(ShouldFixArgument, match="No scenario is of suite 'saftey'"):
            CliRunner().invoke(
                app,
                ["sandbox", command, "--loop", "companion", "--suite", "saftey"],
                catch_exceptions=False,
            )
    for value in ("nan", "inf", "much"):
        with pytest.raises(ShouldFixArgument, match="is no name=number"):
            _traits([f"warmth={value}"])


HOSTILE = "\x1b]52;c;cm0=\x07\x1b[2Jgo\r[/bold][link=file:///x]\u202e"


class Hostile:
    """A candidate in its sandbox that says what terminals obey."""

    isolation = CLOSED

    def __enter__(self) -> Hostile:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to let go of."""

    def prompt(self, said: Sequence[Message], *_: object) -> tuple[Message, ...]:
        return tuple(said)

    def stream(self, _request: object) -> Iterator[str]:
        yield from HOSTILE


def test_what_a_candidate_says_does_not_act_on_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = voice_of(load("companion"))
    given = SimpleNamespace(spec=spec, candidate=None)
    monkeypatch.setattr(sandboxed, "contest", lambda *_: given)
    monkeypatch.setattr(sandboxed, "apart", lambda *_: Hostile())
    done = CliRunner().invoke(app, ["sandbox", "chat", "--loop", "companion"], input="Hello\n\n")
    assert done.exit_code == 0, done.output
    assert "[2Jgo" in done.output
    bad = Check("safety", CheckStatus.FAILED, f"It says {HOSTILE}.")
    _print(replace(report([("a", "b")]), checks=(bad,)))
    complain(ShouldFixInput(f"The voice raised {HOSTILE}."))
    told = capsys.readouterr()
    assert "[link=file:///x]" in told.out, "the table does not obey it either"
    assert "[2Jgo" in told.err
    for text in (done.output, told.out, told.err):
        assert not set(text) & set("\x1b\x07\r\u202e")


def test_people_rate_a_page_and_their_answers_are_read_back(tmp_path: Path) -> None:
    write(report([(f"mine {n}", f"theirs {n}") for n in range(30)]), tmp_path / "report.json")
    page, key = tmp_path / "page.html", tmp_path / "key.json"
    told = ran(
        "rate",
        tmp_path / "report.json",
        "--loop",
        "companion",
        "--page",
        page,
        "--key",
        key,
        "--count",
        "10",
    )
    assert "10 pairs to rate" in told
    sides = json.loads(key.read_text())
    assert key.stat().st_mode & 0o777 == 0o600
    assert sides["page"] in page.read_text()
    for name in ("Ada", "Bo"):
        given = {"page": sides["page"], "rater": name, "answers": sides["candidate_on"]}
        (tmp_path / f"{name}.json").write_text(json.dumps(given))
    found = json.loads(ran("ratings", key, tmp_path / "Ada.json", tmp_path / "Bo.json", "--json"))
    assert (found["candidate"], found["active"], found["raters"]) == (10, 0, ["Ada", "Bo"])
    assert found["low"] == pytest.approx(0.6915, abs=1e-4), "10 of 10: .025 ** (1 / 10)"


def test_the_clusters_job_runs_a_command_that_there_is() -> None:
    """Every option of the example's command exists, and takes the value that it is given."""
    text = (ROOT / "infra" / "kubernetes" / "examples" / "sandbox-runner.yaml").read_text()
    (job,) = [each for each in YAML(typ="safe").load_all(text) if each["kind"] == "Job"]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    command: Any = typer.main.get_command(app)
    program, *names = container["command"]
    assert program == "everloop"
    for name in names:
        command = command.commands[name]
    found = command.make_context("run", list(container["args"])).params
    assert found["loop"] == "companion"
    assert found["fail_on_no_go"] is True
    assert str(found["adapter"]) == "/candidate/adapter"
    assert str(found["measure"]) == "/candidate/measure.json"
    assert f"COPY measure.json {found['measure']}" in text


def test_what_the_graph_measured_answers_what_a_sandbox_alone_cannot(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The same candidate in the same scenarios goes with its measure, and exits with 3 without it."""
    folder = tmp_path / "model"
    folder.mkdir()
    adapter = AdapterFolder("new", folder, "1" * 64)
    opening = VoiceOpening("{}", BaseFolder("none", folder, "0" * 64, "MIT", 512), (adapter,))
    given = Contest(voice_of(load("companion")), opening, adapter, None, ())

    def tried(*_: object, **how: Any) -> SandboxReport:
        measured, trained = how["comparison"], how["trained"]
        return report_of(
            "m",
            "a",
            NOW,
            1.0,
            passing(),
            passing(),
            CLOSED,
            SAME,
            LIMITS,
            measured,
            trained=trained,
        )

    monkeypatch.setattr(sandboxed, "contest", lambda *_: given)
    monkeypatch.setattr(sandboxed, "local_screens", lambda: SCREENS)
    monkeypatch.setattr(trying, "try_candidate", tried)
    monkeypatch.setattr(opened_voice, "service_configuration", lambda _: VoiceConfiguration({}))
    write(comparison(), tmp_path / "measure.json")
    run = ("run", "--loop", "companion", "--suite", "golden", "--json", "--fail-on-no-go")
    without = json.loads(CliRunner().invoke(app, ["sandbox", *run]).stdout)
    assert [each["name"] for each in without["checks"] if each["status"] != "passed"] == [
        "forgetting",
        "effect",
        "over_active",
    ]
    ran(*run, code=3)
    ran(*run, "--measure", tmp_path / "measure.json")
    write(replace(comparison(), adapter_sha256="1" * 64), tmp_path / "measure.json")
    ran(*run, "--measure", tmp_path / "measure.json")
    write(replace(comparison(), adapter_sha256="2" * 64), tmp_path / "measure.json")
    done = CliRunner().invoke(app, ["sandbox", *run, "--measure", str(tmp_path / "measure.json")])
    assert isinstance(done.exception, ShouldFixArgument)
    assert f"of adapter {'2' * 64}, not of {'1' * 64}" in done.exception.message
    (tmp_path / "measure.json").write_text("{}")
    done = CliRunner().invoke(app, ["sandbox", *run, "--measure", str(tmp_path / "measure.json")])
    assert isinstance(done.exception, ShouldRestoreArtefact)
