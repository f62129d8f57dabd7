"""The scale benchmark's own logic: rows, evidence, processes, growth, table and plot."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pyarrow.parquet as pq
import pytest

from bench.scale.__main__ import goals, main, rows
from bench.scale.evidence import ten_each
from bench.scale.growth import exponent, growths, micros_each
from bench.scale.log import _uuids, load_log, signal_rows
from bench.scale.plot import plot
from bench.scale.processes import (
    PeakWatch,
    Seen,
    below,
    memory_of,
    parent_of,
    processes,
    tree_peak,
)
from bench.scale.stages import StageUse, kept, stages_in
from bench.scale.table import fastest, table
from bench.scale.terms import LOGICAL_DATE, VISITS, ScaleTerms
from everloop.contracts.episodes import RewardSignal, canonical_uuid
from everloop.contracts.ports import Appended, Extraction
from everloop.loops import load
from everloop.storage.payloads import payload_sha256
from everloop.storage.sql.event_rows import signal_row
from everloop.wiring import open_workspace
from synthetic.population import DayOfDecisions, Population, PopulationSpec, logging_policy
from synthetic.population.catalogue import SIGNALS


def _uses(**cpu: float) -> list[StageUse]:
    return [StageUse(stage, cpu_s * 2, cpu_s, 100 * cpu_s, "") for stage, cpu_s in cpu.items()]


@pytest.fixture(scope="module")
def played() -> DayOfDecisions:
    people = Population(load("companion"), 600, 3, PopulationSpec(visits_per_day=VISITS))
    return people.day(LOGICAL_DATE, logging_policy)


def test_parent_is_read_behind_a_name_with_spaces_and_parentheses() -> None:
    assert parent_of("17 (a) b (c) S 4 17 17 0 -1") == 4


def test_memory_is_read_in_bytes_and_a_process_that_ended_has_none() -> None:
    told = "Name:\tpython\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nThreads:\t3\n"
    assert memory_of(told) == (1024 * 1024, 2048 * 1024)
    assert memory_of("Name:\tpython\nState:\tZ (zombie)\n") == (0, 0)


def test_a_tree_is_its_descendants_and_nobody_else() -> None:
    seen = {
        1: Seen(0, 9, 9),
        2: Seen(1, 1, 5),
        3: Seen(2, 3, 4),
        4: Seen(2, 3, 3),
        5: Seen(0, 9, 9),
    }
    assert below(1, seen) == {2, 3, 4}
    assert below(3, seen) == set()
    assert tree_peak(1, seen) == 7  # together more than any one's peak
    assert tree_peak(2, seen) == 6
    assert tree_peak(1, {1: Seen(0, 9, 9), 2: Seen(1, 1, 5)}) == 5  # one's peak between two looks
    assert tree_peak(3, seen) == 0


def test_processes_that_cannot_be_read_are_left_out(tmp_path: Path) -> None:
    for pid, stat in (("12", "12 (x) S 3"), ("13", "nothing"), ("self", "1 (x) S 1")):
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "stat").write_text(stat)
        (tmp_path / pid / "status").write_text("VmRSS: 1 kB\nVmHWM: 2 kB\n")
    (tmp_path / "14").mkdir()  # ended between two reads
    assert processes(tmp_path) == {12: Seen(3, 1024, 2048)}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="there is no /proc here")
def test_the_watch_sees_a_grandchild_and_starts_anew_after_a_lap() -> None:
    holds = "import sys; x = bytearray(400 << 20); print(1, flush=True); sys.stdin.read()"
    child = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {holds!r}])"
    with PeakWatch() as watch:
        with subprocess.Popen(
            [sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert any(one for one in below(os.getpid(), processes()) if one != process.pid)
            time.sleep(0.3)
            process.communicate()
        assert watch.lap() >= 400
        time.sleep(0.2)
        assert watch.lap() < 400


def test_growth_of_a_power_is_its_exponent() -> None:
    assert exponent((10, 1000), (2.0, 2.0)) == 0.0
    assert exponent((1000, 10), (50.0, 0.5)) == pytest.approx(1.0)
    assert exponent((10, 100), (1.0, 10**1.5)) == pytest.approx(1.5)
    for sizes, costs in (((10, 10), (1.0, 2.0)), ((10, 20), (0.0, 2.0))):
        with pytest.raises(ValueError, match="No growth"):
            exponent(sizes, costs)


def test_the_fastest_is_judged_between_the_two_largest_sizes() -> None:
    of = {
        10: _uses(gate=1.0, explain=0.001),
        100: _uses(gate=1.0, explain=1.0),
        1000: _uses(gate=20.0, explain=10.0, report=1.0),
    }
    found = growths(of, "cpu_s")
    assert [(g.stage, g.smaller, g.larger) for g in found] == [
        ("gate", 100, 1000),
        ("explain", 100, 1000),
    ]
    assert found[0].exponent == pytest.approx(np.log10(20))
    assert fastest(of)[0] == (
        "CPU seconds grow fastest in gate: as n^1.30 from 100 to 1,000 episodes."
    )
    assert growths({10: of[10]}, "cpu_s") == []
    assert micros_each(100, of[100]) == pytest.approx(2.0 / 100 * 1e6)


def test_the_table_has_every_stage_and_the_totals() -> None:
    lines = table({1000: _uses(gate=1.5, explain=2.0), 10_000: _uses(gate=1.5, explain=20.0)})
    assert next(line for line in lines if line.startswith("explain")).split() == (
        ["explain", "4.0", "2.0", "200", "40.0", "20.0", "2000", "1.00", "1.00"]
    )
    assert next(line for line in lines if line.startswith("all, or")).split()[-6:] == (
        ["7.0", "3.5", "200", "43.0", "21.5", "2000"]
    )
    assert any(line.split()[-2:] == ["3500", "2150"] for line in lines if "µs" in line)


def test_the_plot_is_one_well_formed_picture_with_a_panel_for_each_stage() -> None:
    told = plot({1000: _uses(gate=1.5), 10_000: _uses(gate=15.0, report=2.0)}, "a <machine>")
    root = ElementTree.fromstring(told)
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"gate", "report", "a <machine>", "1k", "10k"} <= set(words)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 3 * 3
    assert "nan" not in told


def test_goals_are_of_a_million_episodes_alone() -> None:
    assert goals({1000: _uses(gate=1.0)}) == []
    wall, peak = goals({1_000_000: _uses(gate=1.0, explain=700.0)})
    assert (wall.name, wall.measured.value, wall.met) == ("wall_s_1m", 1402.0, False)
    assert (peak.name, peak.measured.value, peak.met) == ("peak_mb_1m", 70_000.0, False)
    assert rows({1000: _uses(gate=1.0)}) == [
        {"system": "gate", "size": 1000, "wall_s": 2.0, "cpu_s": 1.0, "peak_mb": 100.0}
    ]


def test_stages_are_in_the_graphs_order_even_where_a_size_ended_early() -> None:
    assert stages_in({10: _uses(gate=1.0), 100: _uses(explain=1.0, gate=1.0, report=1.0)}) == (
        ["explain", "gate", "report"]
    )
    assert stages_in({}) == []


def test_nothing_measured_is_nothing_kept(tmp_path: Path) -> None:
    assert kept(tmp_path) == {}


def test_there_are_ten_signals_an_episode_and_no_other_kinds_than_came_in_time(
    played: DayOfDecisions,
) -> None:
    evidence, first = ten_each(played, 3, 10), played.decisions.evidence
    n, closes = len(played), 86_400
    assert len(evidence) == 10 * n
    count = np.bincount(evidence.decision, minlength=n)
    timely = first.latency <= closes
    came = {
        (int(d), int(k)) for d, k in zip(first.decision[timely], first.kind[timely], strict=True)
    }
    further = zip(evidence.decision[len(first) :], evidence.kind[len(first) :], strict=True)
    assert {(int(d), int(k)) for d, k in further} <= came
    answered = np.isin(np.arange(n), [d for d, _ in came])
    assert (count[answered] >= 10).all()
    assert (count[~answered] == np.bincount(first.decision, minlength=n)[~answered]).all()
    again = ten_each(played, 3, 10)
    assert (again.value == evidence.value).all()


def test_further_readings_have_the_mean_of_the_first(played: DayOfDecisions) -> None:
    made, responses = played.decisions, played.responses
    means = responses.means_of(responses.chances_with(made.hidden, made.action, made.partners))
    evidence = ten_each(played, 4, 60)
    for kind in range(len(SIGNALS)):
        told = evidence.kind == kind
        wanted = means[evidence.decision[told], kind]
        error = (evidence.value[told] - wanted).std() / np.sqrt(told.sum())
        assert abs(evidence.value[told].mean() - wanted.mean()) < 4 * error


def test_rows_of_signals_are_those_of_records(played: DayOfDecisions) -> None:
    evidence = ten_each(played, 3, 10)
    ids = _uuids(np.random.default_rng(1), len(played))
    arrived = datetime(2026, 3, 29, tzinfo=UTC)
    made = list(signal_rows(3, played, ids, evidence, 5, arrived))
    assert [row["seq"] for row in made] == list(range(5, 5 + len(evidence)))
    assert {row["confidence"] == 1.0 for row in made} == {True, False}
    for row in made[:400]:
        signal = RewardSignal(
            signal_id=row["signal_id"],
            episode_id=row["episode_id"],
            signal_type=row["signal_type"],
            value=row["value"],
            latency=row["latency"],
            confidence=row["confidence"],
        )
        assert signal_row(signal, row["seq"], arrived, payload_sha256(signal)) == row


def test_ids_are_distinct_random_uuids() -> None:
    ids = _uuids(np.random.default_rng(1), 1000)
    assert len(set(ids)) == 1000
    assert all(canonical_uuid(one) == one and one[14] == "4" and one[19] in "89ab" for one in ids)


def test_a_loaded_log_is_the_workspaces_and_is_not_loaded_again(tmp_path: Path) -> None:
    terms = ScaleTerms(1000, 5, tmp_path / "size")
    told: list[str] = []
    held = load_log(terms, told.append)
    assert len(told) == 28
    spec = load(terms.loop)
    assert spec.privacy.people_expected == 100
    place = open_workspace(terms.home)
    assert place.log.counts(spec.name) == (held["episodes"], held["signals"])
    manifest = place.datasets.extract(Extraction(spec, LOGICAL_DATE, 28)).manifest
    assert 950 <= manifest.episodes <= 1250
    ids = pq.read_table(place.datasets.open(manifest.dataset_id).episodes_path)["episode_id"]
    found = list(place.log.episodes(ids.to_pylist()[:50]).values())
    assert place.log.append_episodes(found) == Appended(new=0, replayed=50)
    signals = [one for some in place.log.signals_of(ids.to_pylist()[:50]).values() for one in some]
    assert place.log.append_signals(signals) == Appended(new=0, replayed=len(signals))
    assert manifest.exclusions.opted_out_episodes == 0
    assert load_log(terms, told.append) == held
    assert len(told) == 28


def test_a_size_of_which_no_night_learns_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="below 1,000"):
        ScaleTerms(999, 7, tmp_path)


def test_a_run_ends_with_its_record_and_leaves_no_workspace_that_was_not_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ran(terms: ScaleTerms) -> list[StageUse]:
        terms.home.mkdir(parents=True)
        return _uses(gate=terms.size / 1000, report=1.0)

    monkeypatch.setattr("bench.scale.__main__.run_size", ran)
    asked = ["--sizes", "10000,1000", "--seed", "3", "--folder", str(tmp_path)]
    main(asked)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["scale.svg", "scale.txt"]
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (told["bench"], told["seed"], told["goals"]) == ("scale", 3, [])
    assert [(row["system"], row["size"]) for row in told["rows"]] == [
        ("gate", 1000),
        ("report", 1000),
        ("gate", 10_000),
        ("report", 10_000),
    ]
    main([*asked, "--keep"])
    assert (tmp_path / "1000-3" / "home").is_dir()
