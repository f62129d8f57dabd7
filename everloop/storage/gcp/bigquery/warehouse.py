"""``Warehouse`` in BigQuery: Parquet files become stages, and a statement runs on them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import sqlglot
from sqlglot import exp

from everloop.contracts.errors import ShouldFixArgument, ShouldRetryLater
from everloop.storage.gcp.bigquery.failures import TableGone
from everloop.storage.gcp.bigquery.jobs import Jobs
from everloop.storage.gcp.bigquery.staging import Staging
from everloop.storage.gcp.bigquery.tables import Column, Kind, Table


class BigQueryWarehouse:
    """Statements on files, in one dataset.

    Args:
        jobs: of the dataset.
    """

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    @contextmanager
    def rows(
        self, statement: str, tables: Mapping[str, Path], labels: Mapping[str, str]
    ) -> Iterator[Iterator[pa.RecordBatch]]:
        """See ``Warehouse``. Stages are dropped when the context is left, and expire if it never is.

        Raises:
            ShouldRetryLater: somebody was erased meanwhile, and the stages with them; besides, what
                ``failures.named`` says.
        """
        told = {**labels, "stage": "rewards"}
        with Staging(self._jobs, labels.get("tenant", ""), told) as staging:
            shapes = {name: table_of(name, path) for name, path in tables.items()}
            try:
                with ThreadPoolExecutor(len(tables)) as loads:
                    loaded = {
                        name: loads.submit(staging.load, tables[name], shape)
                        for name, shape in shapes.items()
                    }
                names = {name: load.result() for name, load in loaded.items()}
                asked = on_stages(statement, self._jobs.name, names)
                yield self._jobs.batches(asked, {}, told)
            except TableGone as problem:
                raise ShouldRetryLater(
                    f"What was staged in {self._jobs.name} was deleted while it was read ({problem}): "
                    "somebody was erased.",
                    "Run the stage again; if the dataset is refused, extract it again.",
                    5.0,
                ) from problem


def table_of(name: str, path: Path) -> Table:
    """The table that a Parquet file's columns make.

    Raises:
        ShouldFixArgument: a column's type has no place in BigQuery.
    """
    kinds = {kind.arrow: kind for kind in Kind}
    columns = []
    for field in pq.read_schema(path):
        if field.type not in kinds:
            raise ShouldFixArgument(
                f"Column {field.name} of {path} is {field.type}.", "Give text, numbers or times."
            )
        columns.append(Column(field.name, kinds[field.type], field.nullable))
    return Table(name, tuple(columns))


def on_stages(statement: str, dataset: str, names: Mapping[str, str]) -> str:
    """The statement with its tables' stages in their place, each under the name that it had.

    Args:
        dataset: ``project.dataset``.
        names: name of a table -> its stage.
    """

    def placed(node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Table) and not node.db and node.name in names:
            project, _, of = dataset.rpartition(".")
            parts = [exp.to_identifier(p, quoted=True) for p in (names[node.name], of, project)]
            table = exp.Table(this=parts[0], db=parts[1], catalog=parts[2])
            return exp.alias_(table, node.alias_or_name, table=True)
        return node

    return sqlglot.parse_one(statement, read="bigquery").transform(placed).sql("bigquery")
