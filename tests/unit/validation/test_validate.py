"""Validation: each expectation is broken in turn and named; an empty version is a no, not an error."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from everloop.contracts.datasets import DatasetManifest, DatasetVersion, Exclusions, FileEntry
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.evaluation import ValidationCheck, ValidationReport
from everloop.contracts.loop_spec import LoopSpec
from everloop.loops.loader import parse
from everloop.validation.page import render_html
from everloop.validation.suite import validate

DAY = date(2026, 3, 10)
SPEC = parse(
    """
name: small
version: 1
context:
  - {name: mood, kind: number, low: -1, high: 1}
  - {name: face, kind: vector, width: 2, low: 0, high: 1}
  - {name: group, kind: category, choices: [a, b]}
  - {name: hour, kind: cycle, period: 24}
  - {name: past, kind: history, width: 2}
actions:
  - {id: stay, kind: no_action}
  - {id: walk, kind: recommend_hive, event_id: walk}
signals:
  - {name: click, low: 0, high: 1, weight: 1, silence: zero}
reward: {attainable_low: 0, attainable_high: 1, half_life_seconds: 60, closes_after_seconds: 60,
         success_at: 0.5, failure_at: -0.5}
thresholds: {min_episodes: 10, window_days: 5}
"""
)


@dataclass
class Log:
    """Forty good episodes over five days, ready to be spoilt."""

    episodes: list[dict[str, Any]] = field(default_factory=list)
    signals: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for i in range(40):
            moment = datetime(2026, 3, 6 + i % 5, 12, tzinfo=UTC) + timedelta(minutes=i)
            name = str(uuid.UUID(int=i))
            self.episodes.append(
                {
                    "episode_id": name,
                    "timestamp": moment,
                    "action": "stay" if i % 2 else "walk",
                    "propensity": 0.5,
                    "valid_actions": ["stay", "walk"],
                    "arm": "active",
                    "context": {"mood": 0.1, "face": [0, 1], "group": "a", "hour": 5, "past": []},
                }
            )
            self.signals.append(
                {
                    "signal_id": str(uuid.UUID(int=1000 + i)),
                    "episode_id": name,
                    "signal_type": "click",
                    "value": float(i % 3 == 0),
                    "latency": 4,
                    "confidence": 1.0,
                }
            )

    def version(self, root: Path) -> DatasetVersion:
        rows = [e | {"context": json.dumps(e["context"])} for e in self.episodes]
        episodes = pa.Table.from_pylist(
            rows,
            pa.schema(
                [
                    ("episode_id", pa.string()),
                    ("timestamp", pa.timestamp("us", "UTC")),
                    ("action", pa.string()),
                    ("propensity", pa.float64()),
                    ("valid_actions", pa.list_(pa.string())),
                    ("arm", pa.string()),
                    ("context", pa.string()),
                ]
            ),
        )
        signals = pa.Table.from_pylist(
            self.signals,
            pa.schema(
                [
                    ("signal_id", pa.string()),
                    ("episode_id", pa.string()),
                    ("signal_type", pa.string()),
                    ("value", pa.float64()),
                    ("latency", pa.int64()),
                    ("confidence", pa.float64()),
                ]
            ),
        )
        pq.write_table(episodes, root / "episodes.parquet")
        pq.write_table(signals, root / "signals.parquet")
        days = [DAY - timedelta(days=back) for back in range(4, -1, -1)]
        counts = {
            day.isoformat(): sum(e["timestamp"].date() == day for e in self.episodes)
            for day in days
        }
        manifest = DatasetManifest(
            dataset_id="d" * 64,
            loop="small",
            tenant="default",
            logical_date=DAY,
            window_days=5,
            episode_watermark=1,
            signal_watermark=1,
            consent_revision=0,
            spec_sha256="s",
            files=(
                FileEntry("episodes.parquet", "x", len(self.episodes), 1),
                FileEntry("signals.parquet", "y", len(self.signals), 1),
            ),
            exclusions=Exclusions(),
            episodes_per_day=counts,
        )
        return DatasetVersion(root, manifest)


def answers(log: Log, root: Path, spec: LoopSpec = SPEC) -> dict[str, ValidationCheck]:
    return {check.name: check for check in validate(spec, log.version(root)).checks}


def test_a_good_version_meets_every_expectation(tmp_path: Path) -> None:
    report = validate(SPEC, Log().version(tmp_path))
    assert [check for check in report.checks if not check.passed] == []
    assert report.passed


def test_a_day_that_was_cut_off_has_no_volume_yet_and_is_fresh_to_its_cut_off(
    tmp_path: Path,
) -> None:
    log = Log()
    morning = datetime(2026, 3, 10, tzinfo=UTC)
    log.episodes = [e for e in log.episodes if e["timestamp"] < morning]
    log.episodes.append(log.episodes[0] | {"episode_id": "new", "timestamp": morning})
    whole = log.version(tmp_path)
    cut = replace(whole, manifest=replace(whole.manifest, cutoff=morning + timedelta(hours=3)))
    spec = SPEC.model_copy(update={"thresholds": SPEC.thresholds.model_copy(
        update={"freshness_hours": 3.0})})  # fmt: skip

    def passed(version: DatasetVersion) -> dict[str, bool]:
        return {check.name: check.passed for check in validate(spec, version).checks}

    assert not passed(whole)["volume as usual"]
    assert not passed(whole)["data fresh"]
    assert passed(cut)["volume as usual"]
    assert passed(cut)["data fresh"]
    earlier = replace(whole.manifest, cutoff=morning)
    assert not passed(replace(whole, manifest=earlier))["timestamps in the window"]


def _cut(log: Log, keep: int) -> None:
    log.episodes = log.episodes[:keep]
    log.signals = log.signals[:keep]


def _all(name: str, value: Any) -> Callable[[Log], None]:
    def spoil(log: Log) -> None:
        for episode in log.episodes:
            episode[name] = value

    return spoil


def _first(name: str, value: Any, table: str = "episodes") -> Callable[[Log], None]:
    return lambda log: getattr(log, table)[0].update({name: value})


def _context(name: str, value: Any) -> Callable[[Log], None]:
    return lambda log: log.episodes[0]["context"].update({name: value})


def _lacking(name: str) -> Callable[[Log], None]:
    def spoil(log: Log) -> None:
        for episode in log.episodes[:30]:
            del episode["context"][name]

    return spoil


SPOILT: dict[str, tuple[Callable[[Log], None], str, str]] = {
    "too few": (lambda log: _cut(log, 5), "enough episodes", "error"),
    "twice the same id": (
        _first("episode_id", str(uuid.UUID(int=3))),
        "episode ids distinct",
        "error",
    ),
    "unknown action": (_first("action", "jump"), "actions in the catalogue", "error"),
    "invalid action": (_first("valid_actions", ["stay"]), "actions valid", "error"),
    "propensity 0": (_first("propensity", 0.0), "propensities in (0, 1]", "error"),
    "propensity NaN": (_first("propensity", math.nan), "propensities in (0, 1]", "error"),
    "propensity 2": (_first("propensity", 2.0), "propensities in (0, 1]", "error"),
    "none logged": (_all("propensity", None), "propensities logged by some", "error"),
    "one not logged": (_first("propensity", None), "propensities logged by all", "warning"),
    "propensities too small": (_all("propensity", 0.2), "propensities true", "error"),
    "tomorrow": (
        _first("timestamp", datetime(2026, 3, 11, tzinfo=UTC)),
        "timestamps in the window",
        "error",
    ),
    "stale": (
        lambda log: _cut_to(log, lambda e: e["timestamp"].day < 8),
        "data fresh",
        "error",
    ),
    "a day nearly without": (
        lambda log: _cut_to(
            log, lambda e: e["timestamp"].day < 10 or e["episode_id"] == str(uuid.UUID(int=4))
        ),
        "volume as usual",
        "error",
    ),
    "same signal id": (
        _first("signal_id", str(uuid.UUID(int=1003)), "signals"),
        "signal ids distinct",
        "error",
    ),
    "unknown type": (_first("signal_type", "tap", "signals"), "signal types declared", "error"),
    "value 1.5": (_first("value", 1.5, "signals"), "signal values in range", "error"),
    "value NaN": (_first("value", math.nan, "signals"), "signal values in range", "error"),
    "latency -1": (_first("latency", -1, "signals"), "latencies not negative", "error"),
    "confidence 2": (_first("confidence", 2.0, "signals"), "confidences in [0, 1]", "error"),
    "confidence NaN": (_first("confidence", math.nan, "signals"), "confidences in [0, 1]", "error"),
    "orphan": (
        _first("episode_id", str(uuid.UUID(int=9999)), "signals"),
        "signals have episodes",
        "error",
    ),
    "no positive": (
        lambda log: [s.update({"value": 0.0}) for s in log.signals] and None,
        "positive evidence present",
        "warning",
    ),
    "mood out of bounds": (_context("mood", 1.01), "context mood well formed", "error"),
    "mood a word": (_context("mood", "good"), "context mood well formed", "error"),
    "face too short": (_context("face", [1]), "context face well formed", "error"),
    "unknown group": (_context("group", "c"), "context group well formed", "error"),
    "hour a word": (_context("hour", "noon"), "context hour well formed", "error"),
    "history too long": (
        _context("past", [{"action": "stay"}] * 3),
        "context past well formed",
        "error",
    ),
    "hour 25": (_context("hour", 25), "context hour well formed", "error"),
    "history with reward 2": (
        _context("past", [{"action": "stay", "reward": 2}]),
        "context past well formed",
        "error",
    ),
    "no context": (_first("context", None), "contexts readable", "error"),
    "context a list": (_first("context", [1]), "contexts readable", "error"),
    "no action": (_first("action", None), "actions in the catalogue", "error"),
    "unknown valid action": (
        _first("valid_actions", ["walk", "stay", "fly"]),
        "actions in the catalogue",
        "error",
    ),
    "no arm": (_first("arm", None), "arms known", "error"),
    "unknown arm": (_first("arm", "left"), "arms known", "error"),
    "no value": (_first("value", None, "signals"), "signal values in range", "error"),
    "no weight": (
        lambda log: [s.update({"confidence": 0.0}) for s in log.signals] and None,
        "positive evidence present",
        "warning",
    ),
    "mood mostly missing": (_lacking("mood"), "context mood present", "warning"),
}


def _cut_to(log: Log, keep: Callable[[dict[str, Any]], bool]) -> None:
    log.episodes = [e for e in log.episodes if keep(e)]
    known = {e["episode_id"] for e in log.episodes}
    log.signals = [s for s in log.signals if s["episode_id"] in known]


@pytest.mark.parametrize("case", SPOILT)
def test_each_fault_is_named(case: str, tmp_path: Path) -> None:
    spoil, name, severity = SPOILT[case]
    log = Log()
    spoil(log)
    check = answers(log, tmp_path)[name]
    assert not check.passed
    assert check.severity == severity
    assert check.observed
    assert check.expected


def test_the_comparison_arm_only_warns(tmp_path: Path) -> None:
    log = Log()
    for episode in log.episodes[::2]:
        episode |= {"arm": "comparison", "propensity": 0.01}
    found = answers(log, tmp_path)
    assert not found["comparison propensities true"].passed
    assert found["comparison propensities true"].severity == "warning"
    assert found["propensities true"].passed


def test_an_empty_version_is_a_no(tmp_path: Path) -> None:
    log = Log()
    _cut(log, 0)
    report = validate(SPEC, log.version(tmp_path))
    assert not report.passed
    assert [check.name for check in report.checks] == ["episodes present"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    version = Log().version(tmp_path)
    version.signals_path.unlink()
    with pytest.raises(ShouldRestoreArtefact):
        validate(SPEC, version)


class _Loads(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag} {name}" for name, _ in attrs if name in ("src", "href")]
        assert tag != "script"

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def test_the_page_stands_alone_and_escapes() -> None:
    hostile = ValidationCheck("<script>x</script>", False, "a & b", "c", "error")
    page = render_html(ValidationReport("d", (hostile,)), SPEC)
    parser = _Loads()
    parser.feed(page)
    assert parser.found == []
    assert "<script>x</script>" in "".join(parser.text)
    assert "not fit to learn from" in page
    assert "1 expectation, 1 failed, 0 warnings" in page
