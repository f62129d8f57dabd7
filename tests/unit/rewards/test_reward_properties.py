"""The reward definition against a brute-force reference and the specification's plain formula."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.contracts.loop_spec import LoopSpec, Silence
from everloop.loops import load
from everloop.rewards.definition import signal_rules, statement
from everloop.rewards.table import declare_rule, write_rewards
from tests.made_datasets import Evidence, Row, episode_id, write_dataset


def made_spec(signals: list[dict[str, Any]], half_life: float) -> LoopSpec:
    return LoopSpec.model_validate(
        {
            "name": "made",
            "version": 1,
            "context": [{"name": "x", "kind": "number"}],
            "actions": [
                {"id": "no_action", "kind": "no_action"},
                {"id": "pair-one", "kind": "suggest_pairing", "people": 1},
            ],
            "signals": signals,
            "reward": {
                "attainable_low": -1,
                "attainable_high": 1,
                "half_life_seconds": half_life,
                "closes_after_seconds": 60,
                "success_at": 0.25,
                "failure_at": -0.25,
            },
        }
    )


def reference(spec: LoopSpec, closed: bool, signals: list[Evidence]) -> dict[str, Any]:
    """The definition in plain Python, with exact sums."""
    means: dict[str, float | None] = {}
    for signal in spec.signals:
        of_type = [s for s in signals if s.signal_type == signal.name]
        c = [s.confidence * 2 ** (-s.latency / spec.reward.half_life_seconds) for s in of_type]
        v = [2 * s.value - 1 if signal.two_sided else s.value for s in of_type]
        mean: float | None = None
        if not of_type and closed and signal.silence is Silence.ZERO:
            mean = 0.0
        elif math.fsum(c) > 0:
            mean = math.fsum(a * b for a, b in zip(c, v, strict=True)) / math.fsum(c)
        means[signal.name] = mean
    present = [(s.weight, m) for s in spec.signals if (m := means[s.name]) is not None]
    reward = None
    if present:
        reward = math.fsum(w * m for w, m in present) / math.fsum(w for w, _ in present)
        reward = max(-1.0, min(1.0, reward))
    return {"reward": reward, "means": means, "signals": len(signals)}


SIGNAL_TYPES = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["click", "thumb", "late-rating", "a_b", "select"]),
            "weight": st.floats(0.01, 10),
            "silence": st.sampled_from(["zero", "missing"]),
            "range": st.sampled_from([(0.0, 1.0, True), (0.0, 1.0, False), (-1.0, 0.5, False)]),
        }
    ),
    min_size=1,
    max_size=4,
    unique_by=lambda s: s["name"],
)


@st.composite
def logs(draw: st.DrawFn) -> tuple[LoopSpec, list[Row], list[Evidence]]:
    declared = [
        {
            **{k: s[k] for k in ("name", "weight", "silence")},
            "low": s["range"][0],
            "high": s["range"][1],
            "two_sided": s["range"][2],
        }
        for s in draw(SIGNAL_TYPES)
    ]
    spec = made_spec(declared, draw(st.floats(1, 1e6)))
    rows = [Row(i, closed=draw(st.booleans())) for i in range(draw(st.integers(1, 5)))]
    signals = draw(
        st.lists(
            st.sampled_from(spec.signals).flatmap(
                lambda s: st.builds(
                    Evidence,
                    episode=st.integers(0, len(rows) - 1),
                    signal_type=st.just(s.name),
                    value=st.floats(s.low, s.high),
                    latency=st.integers(0, 10**6),
                    confidence=st.one_of(st.just(0.0), st.floats(1e-3, 1)),
                )
            ),
            max_size=25,
        )
    )
    return spec, rows, signals


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(logs())
def test_equals_the_reference(log: tuple[LoopSpec, list[Row], list[Evidence]]) -> None:
    spec, rows, signals = log
    with tempfile.TemporaryDirectory() as folder:
        dataset = write_dataset(Path(folder) / "d", rows, signals)
        table = pq.read_table(write_rewards(spec, dataset, Path(folder) / "r.parquet"))
    assert table.num_rows == len(rows)
    for row, episode in zip(table.to_pylist(), rows, strict=True):
        wanted = reference(
            spec, episode.closed, [s for s in signals if s.episode == episode.number]
        )
        assert row["episode_id"] == episode_id(episode.number)
        assert row["signals"] == wanted["signals"]
        for name, mean in wanted["means"].items():
            assert close(row[f"mean_{name}"], mean), (name, row, wanted)
        assert close(row["reward"], wanted["reward"]), (row, wanted)
        if row["reward"] is not None:
            assert -1.0 <= row["reward"] <= 1.0
            assert not math.isnan(row["reward"])


def close(got: float | None, wanted: float | None) -> bool:
    if got is None or wanted is None:
        return got is wanted
    return math.isclose(got, wanted, rel_tol=0, abs_tol=1e-12)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(*[st.floats(0, 1)] * 3), min_size=1, max_size=20))
def test_plain_formula_of_the_specification(values: list[tuple[float, float, float]]) -> None:
    """Every type present, confidence 1, nothing late: engagement .3 + resonance .4 + explicit .3."""
    spec = load("companion")
    names = ("engagement", "resonance", "explicit_feedback")
    signals = [
        Evidence(index, name, value)
        for index, triple in enumerate(values)
        for name, value in zip(names, triple, strict=True)
    ]
    with tempfile.TemporaryDirectory() as folder:
        rows = [Row(index) for index in range(len(values))]
        dataset = write_dataset(Path(folder) / "d", rows, signals)
        table = pq.read_table(write_rewards(spec, dataset, Path(folder) / "r.parquet"))
    for got, (engagement, resonance, explicit) in zip(
        table.column("reward").to_pylist(), values, strict=True
    ):
        plain = 0.3 * engagement + 0.4 * (2 * resonance - 1) + 0.3 * (2 * explicit - 1)
        assert math.isclose(got, plain, rel_tol=0, abs_tol=1e-15)


def test_statement_is_bigquery_and_holds_no_number_of_the_loop() -> None:
    spec = made_spec(
        [{"name": "late-rating", "weight": 0.123456, "silence": "zero", "high": 0.654321}], 98765.0
    )
    sql = statement(spec.signal_names)
    assert "`mean_late-rating`" in sql
    assert "VAR_SAMP" in sql
    for number in ("123456", "654321", "98765"):
        assert number not in sql
    (rule,) = signal_rules(spec)
    assert (rule.weight, rule.high, rule.half_life_seconds) == (0.123456, 0.654321, 98765.0)


def test_failure_begins_at_its_threshold(tmp_path: Path) -> None:
    spec = made_spec([{"name": "x", "low": -1, "weight": 2, "silence": "missing"}], 60.0)
    dataset = write_dataset(
        tmp_path / "d", [Row(0), Row(1)], [Evidence(0, "x", -0.25), Evidence(1, "x", -0.2499)]
    )
    table = pq.read_table(write_rewards(spec, dataset, tmp_path / "r.parquet"))
    assert table.column("outcome").to_pylist() == ["failure", "neutral"]


def test_file_runs_on_tables_too(tmp_path: Path) -> None:
    """The definition needs nothing of our files: any tables of those names will do."""
    spec = load("open_bandit")
    connection = duckdb.connect()
    declare_rule(connection, spec)
    connection.execute(
        "CREATE TABLE episodes AS SELECT 'e1' AS episode_id, 1 AS episode_key, 0 AS place, true AS closed"
    )
    connection.execute(
        "CREATE TABLE signals AS SELECT 'e1' AS episode_id, 1 AS episode_key, 'click' AS signal_type, "
        "1.0::DOUBLE AS value, 0 AS latency, 1.0::DOUBLE AS confidence"
    )
    rows = connection.execute(statement(spec.signal_names, "duckdb")).fetchall()
    assert rows == [("e1", 1.0, "success", 1, True, None, 1.0)]


def test_columns_of_the_table(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", [Row(0)], [])
    schema = pq.read_schema(write_rewards(load("companion"), dataset, tmp_path / "r.parquet"))
    assert {field.name: field.type for field in schema} == {
        "episode_id": pa.string(),
        "reward": pa.float64(),
        "outcome": pa.string(),
        "signals": pa.int64(),
        "closed": pa.bool_(),
        "variance": pa.float64(),
        "mean_engagement": pa.float64(),
        "mean_resonance": pa.float64(),
        "mean_explicit_feedback": pa.float64(),
        "held": pa.bool_(),
    }
