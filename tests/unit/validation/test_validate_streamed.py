"""What is measured in bounded memory is what the whole data say."""

from __future__ import annotations

import math
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.contexts import plain
from everloop.contracts.datasets import DatasetManifest, DatasetVersion, Exclusions, FileEntry
from everloop.contracts.loop_spec import ContextField
from everloop.validation import contexts as module
from everloop.validation.contexts import _all_within, _contexts, _within
from everloop.validation.facts import _repeated

FIELD = ContextField.model_validate(
    {"name": "face", "kind": "vector", "width": 3, "low": -1, "high": 1}
)
VALUES = st.one_of(
    st.floats(-1.5, 1.5),
    st.sampled_from([1, -1, 2, True, None, "x", math.nan, math.inf, -math.inf, 10**400, 1e308]),
)


@given(st.lists(VALUES, max_size=5))
def test_a_vector_fits_where_each_of_its_numbers_does(values: list[Any]) -> None:
    assert _all_within(FIELD, values) is all(_within(FIELD, one) for one in values)


def test_a_number_of_any_length_is_beyond_its_bounds_and_no_error() -> None:
    assert not _all_within(FIELD, [0.5, 10**400])
    assert not _within(FIELD, -(10**400))


@pytest.mark.parametrize(
    "ids", [["a", "b", "c"], ["a", "b", "a", "a"], ["a", None, "b"], [None, None], []]
)
def test_repeated_ids_are_counted(ids: list[str | None]) -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (k VARCHAR)")
        if ids:
            connection.executemany("INSERT INTO t VALUES (?)", [[one] for one in ids])
        assert _repeated(connection, "t", "k") == len(ids) - len({one for one in ids if one})


@pytest.mark.parametrize("rows", [1, 4, 7, 100])
@pytest.mark.parametrize("most", [1, 3, 10, 23, 50])
def test_every_kth_row_is_looked_at_whatever_the_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int, most: int
) -> None:
    monkeypatch.setattr(module, "_BATCH", rows)
    monkeypatch.setattr(module, "MOST_ROWS", most)
    table = pa.table(
        {
            "episode_id": [f"e{i}" for i in range(23)],
            "context": [f'{{"place": {i}}}' if i != 10 else "no JSON" for i in range(23)],
        }
    )
    pq.write_table(table, tmp_path / "episodes.parquet", row_group_size=5)
    manifest = DatasetManifest(
        "d" * 64,
        "small",
        "default",
        date(2026, 1, 1),
        1,
        1,
        1,
        0,
        "s",
        (FileEntry("episodes.parquet", "x", 23, 1),),
        Exclusions(),
    )
    seen = list(_contexts(DatasetVersion(tmp_path, manifest), plain))
    every = math.ceil(23 / min(most, 23))
    assert seen == [None if i == 10 else {"place": i} for i in range(0, 23, every)]
