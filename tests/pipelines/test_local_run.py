"""The local runner: events, results, failures, kills, locks and what a rerun repeats."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from kfp import compiler

from everloop.contracts.errors import ShouldResolveConflict
from pipelines.local_run import LocalOutcome, StageEvent, exclusive, run_locally, stage_of

HERE = Path(__file__).parent
STAGES = ("first_step", "second_step", "report")


@pytest.fixture(scope="session")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Path:
    spec = importlib.util.spec_from_file_location("small_graph", HERE / "small_graph.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    path = tmp_path_factory.mktemp("graph") / "small.yaml"
    compiler.Compiler().compile(module.small, str(path))
    return path


class Bench:
    def __init__(self, graph: Path, root: Path) -> None:
        self.graph, self.root, self.events = graph, root, list[StageEvent]()
        self.counter, self.mode, self.folder = root / "count", root / "mode", root / "l" / "t" / "d"

    def arguments(self, text: str = "hello") -> dict[str, str]:
        return {"counter": str(self.counter), "mode": str(self.mode), "text": text}

    def run(self, text: str = "hello", repeat: tuple[str, ...] = ()) -> LocalOutcome:
        self.events.clear()
        return run_locally(
            self.graph, self.arguments(text), self.folder, self.events.append, repeat
        )

    def counted(self) -> Counter[str]:
        return Counter(self.counter.read_text().split())


@pytest.fixture
def bench(graph: Path, tmp_path: Path) -> Bench:
    return Bench(graph, tmp_path)


def test_a_run_tells_its_stages_and_a_rerun_repeats_none(bench: Bench) -> None:
    outcome = bench.run()
    assert outcome.error == ""
    assert [(s.stage, s.outcome) for s in outcome.stages] == [(s, "succeeded") for s in STAGES]
    first = outcome.stages[0]
    assert first.summary == "wrote hello"
    assert first.metrics["length"] == 5.0
    assert "nothing" not in first.metrics
    assert first.metrics["compute_seconds"] <= first.seconds
    assert Path(first.artefacts["result"]).read_text() == "hello"
    assert "wrote hello" in Path(first.artefacts["page"]).read_text()
    assert [e.text for e in bench.events if e.kind == "progress"] == ["halfway"]
    assert not (bench.folder / "tmp").exists()

    again = bench.run()
    assert [(s.stage, s.outcome) for s in again.stages] == [(s, "cached") for s in STAGES]
    assert [s.summary for s in again.stages] == [s.summary for s in outcome.stages]
    assert bench.counted() == {"first": 1, "second": 1}


def test_a_changed_parameter_repeats_what_reads_it(bench: Bench) -> None:
    bench.run()
    bench.run("other")
    assert bench.counted() == {"first": 2, "second": 2}


def test_a_refusing_branch_ends_in_the_report(bench: Bench) -> None:
    outcome = bench.run("stop")
    assert [s.stage for s in outcome.stages] == ["first_step", "report"]


def test_a_failing_stage_is_named_with_its_error_and_later_continues(bench: Bench) -> None:
    bench.mode.write_text("fail")
    outcome = bench.run()
    assert outcome.error == "ShouldCollectMoreData: There are 3 rows. Log more."
    assert [(s.stage, s.outcome) for s in outcome.stages] == [
        ("first_step", "succeeded"),
        ("second_step", "failed"),
    ]
    assert "Traceback" in (bench.folder / "run.log").read_text()
    bench.mode.unlink()
    assert bench.run().error == ""
    assert bench.counted() == {"first": 1, "second": 2}


def test_a_killed_run_continues_where_it_was(bench: Bench) -> None:
    bench.mode.write_text("wait")
    code = (
        "import sys; from pathlib import Path; from pipelines.local_run import run_locally;"
        f"run_locally(Path({str(bench.graph)!r}), {bench.arguments()!r},"
        f" Path({str(bench.folder)!r}), print)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.DEVNULL, start_new_session=True
    ) as killed:
        until = time.monotonic() + 60
        while not (bench.counter.exists() and bench.counted()["second"]):
            assert time.monotonic() < until
            time.sleep(0.05)
        os.killpg(killed.pid, signal.SIGKILL)
    bench.mode.unlink()
    outcome = bench.run()
    assert [(s.stage, s.outcome) for s in outcome.stages] == [
        ("first_step", "cached"),
        ("second_step", "succeeded"),
        ("report", "succeeded"),
    ]


def test_a_repeated_stage_replaces_its_own_result_alone(bench: Bench) -> None:
    bench.run()
    bench.run("other")
    outcome = bench.run(repeat=("second_step", "report"))
    assert [s.outcome for s in outcome.stages] == ["cached", "succeeded", "succeeded"]
    assert bench.counted() == {"first": 2, "second": 3}
    assert {s.outcome for s in bench.run("other").stages} == {"cached"}
    assert {s.outcome for s in bench.run().stages} == {"cached"}


def test_two_runs_of_one_date_do_not_meet(bench: Bench) -> None:
    bench.folder.mkdir(parents=True)
    with (bench.folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with (
            pytest.raises(ShouldResolveConflict, match="Another process"),
            exclusive(bench.folder),
        ):
            pass


def test_copies_of_a_task_are_one_stage() -> None:
    assert (stage_of("report-2"), stage_of("fit-user-model")) == ("report", "fit_user_model")
