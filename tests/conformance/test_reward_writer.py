"""What every ``RewardWriter`` must do."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlglot
from hypothesis import HealthCheck, given, settings

from everloop.contracts.errors import ShouldFixSignal
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.warehouse import RewardWriter
from everloop.loops import load
from everloop.rewards.table import write_rewards
from everloop.rewards.warehouse import WarehouseRewards
from tests.bigquery_emulator import Emulator, new_dataset
from tests.made_datasets import Evidence, Row, write_dataset
from tests.unit.rewards.test_reward_properties import logs, reference

SPEC = load("companion")
ODD = "rechts — ⇒ 😀 'quoted' \\ \""


class DuckDbWarehouse:
    """A warehouse in memory, which reads BigQuery's dialect through sqlglot."""

    def __init__(self) -> None:
        self.labels: list[dict[str, str]] = []

    @contextmanager
    def rows(
        self, statement: str, tables: Mapping[str, Path], labels: Mapping[str, str]
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        self.labels.append(dict(labels))
        with duckdb.connect() as connection:
            for name, path in tables.items():
                connection.execute(f"CREATE TABLE {name} AS FROM read_parquet('{path}')")
            asked = sqlglot.transpile(statement, read="bigquery", write="duckdb")[0]
            try:
                yield iter(connection.execute(asked).to_arrow_reader())
            except duckdb.Error as problem:
                from everloop.contracts.errors import ShouldFixInput

                raise ShouldFixInput(str(problem)) from problem


class RewardWriterSuite(ABC):
    @abstractmethod
    @pytest.fixture
    def writer(self) -> Any:
        """The adapter."""

    def test_values_are_the_definition_s(self, writer: RewardWriter, tmp_path: Path) -> None:
        rows = [Row(n, action=ODD, closed=n != 3, propensity=None) for n in range(5)]
        signals = [
            Evidence(0, "engagement", 1.0),
            Evidence(1, "resonance", 0.25, latency=86_400, confidence=0.5),
            Evidence(1, "resonance", 1.0),
            Evidence(2, "explicit_feedback", 0.0, confidence=0.0),
        ]
        version = write_dataset(tmp_path / "d", rows, signals)
        table = pq.read_table(writer(SPEC, version, tmp_path / "r.parquet"))
        assert [row["episode_id"] for row in table.to_pylist()] == pq.read_table(
            version.episodes_path
        )["episode_id"].to_pylist()
        for number, row in enumerate(table.to_pylist()):
            wanted = reference(SPEC, number != 3, [s for s in signals if s.episode == number])
            agree(row, wanted)
        assert table["held"].to_pylist() == [False] * 5

    def test_columns_and_types_are_the_same(self, writer: RewardWriter, tmp_path: Path) -> None:
        version = write_dataset(tmp_path / "d", [Row(0)], [])
        here = pq.read_schema(write_rewards(SPEC, version, tmp_path / "here.parquet"))
        assert pq.read_schema(writer(SPEC, version, tmp_path / "there.parquet")).equals(here)

    def test_an_empty_version_is_an_empty_table(self, writer: RewardWriter, tmp_path: Path) -> None:
        version = write_dataset(tmp_path / "d", [], [])
        assert pq.read_table(writer(SPEC, version, tmp_path / "r.parquet")).num_rows == 0

    @pytest.mark.parametrize(
        "bad",
        [
            Evidence(0, "engagement", math.nan),
            Evidence(0, "engagement", 0.5, confidence=math.nan),
            Evidence(0, "engagement", 1.5),
            Evidence(0, "unheard-of", 0.5),
            Evidence(0, "engagement", 0.5, confidence=1.5),
            Evidence(0, "engagement", 0.5, latency=-1),
        ],
    )
    def test_what_is_out_of_range_is_refused(
        self, writer: RewardWriter, tmp_path: Path, bad: Evidence
    ) -> None:
        version = write_dataset(tmp_path / "d", [Row(0)], [bad])
        with pytest.raises(ShouldFixSignal, match=bad.signal_type):
            writer(SPEC, version, tmp_path / "r.parquet")
        assert not (tmp_path / "r.parquet").exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["d"]


class TestHere(RewardWriterSuite):
    @pytest.fixture
    def writer(self) -> Any:
        return write_rewards


class TestInAWarehouse(RewardWriterSuite):
    @pytest.fixture
    def writer(self) -> Any:
        return WarehouseRewards(DuckDbWarehouse())

    def test_jobs_are_labelled(self, tmp_path: Path) -> None:
        warehouse = DuckDbWarehouse()
        version = write_dataset(tmp_path / "d", [Row(0)], [])
        WarehouseRewards(warehouse)(SPEC, version, tmp_path / "r.parquet")
        manifest = version.manifest
        assert warehouse.labels == [
            {"loop": SPEC.name, "tenant": manifest.tenant, "dataset": manifest.dataset_id}
        ]


@pytest.mark.gcp
class TestInBigQuery(RewardWriterSuite):
    @pytest.fixture
    def writer(self, bigquery_jobs: Any) -> Any:
        from everloop.storage.gcp.bigquery.warehouse import BigQueryWarehouse

        return WarehouseRewards(BigQueryWarehouse(bigquery_jobs))

    def test_nothing_stays_there(
        self, writer: RewardWriter, bigquery_jobs: Any, tmp_path: Path
    ) -> None:
        version = write_dataset(tmp_path / "d", [Row(0)], [Evidence(0, "engagement", 2.0)])
        with pytest.raises(ShouldFixSignal):
            writer(SPEC, version, tmp_path / "r.parquet")
        assert bigquery_jobs.stages("") == ()


@pytest.mark.gcp
@pytest.mark.timeout(900)
def test_bigquery_equals_the_reference(bigquery_emulator: Emulator) -> None:
    from everloop.storage.gcp.bigquery.jobs import Jobs
    from everloop.storage.gcp.bigquery.warehouse import BigQueryWarehouse

    jobs = Jobs(new_dataset(bigquery_emulator), patience=10.0)
    equals_the_reference(WarehouseRewards(BigQueryWarehouse(jobs)), examples=8)
    jobs.close()


def test_a_warehouse_equals_the_reference() -> None:
    equals_the_reference(WarehouseRewards(DuckDbWarehouse()), examples=5)


def equals_the_reference(writer: RewardWriter, examples: int) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(logs())
    def holds(log: tuple[LoopSpec, list[Row], list[Evidence]]) -> None:
        spec, rows, signals = log
        with tempfile.TemporaryDirectory() as folder:
            version = write_dataset(Path(folder) / "d", rows, signals)
            table = pq.read_table(writer(spec, version, Path(folder) / "r.parquet"))
        for row, episode in zip(table.to_pylist(), rows, strict=True):
            said = [dataclasses.replace(s) for s in signals if s.episode == episode.number]
            agree(row, reference(spec, episode.closed, said))

    holds()


def agree(row: dict[str, Any], wanted: dict[str, Any]) -> None:
    pairs = [(row["reward"], wanted["reward"]), (row["signals"], wanted["signals"])]
    pairs += [(row[f"mean_{name}"], mean) for name, mean in wanted["means"].items()]
    for got, told in pairs:
        assert (got is None) == (told is None), (row, wanted)
        if got is not None:
            assert math.isclose(got, told, rel_tol=0, abs_tol=1e-12), (row, wanted)
