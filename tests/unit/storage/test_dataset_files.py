"""The Parquet files of a dataset version."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from everloop.contracts.datasets import EPISODES_FILE, SIGNALS_FILE, FileEntry
from everloop.storage.local.dataset_batches import SignalBatches, episode_batches
from everloop.storage.local.dataset_files import ROW_GROUP, SCHEMAS, dataset_id_of, write_rows

SIGNALS = SCHEMAS[SIGNALS_FILE]


def rows(start: int, count: int) -> pa.RecordBatch:
    numbers = range(start, start + count)
    return pa.RecordBatch.from_arrays(
        [
            pa.array([f"s{n:09}" for n in numbers]),
            pa.array([f"e{n % 7}" for n in numbers]),
            pa.array(["engagement"] * count),
            pa.array([n / 7 for n in numbers]),
            pa.array(list(numbers), pa.int64()),
            pa.array([1.0] * count),
        ],
        schema=SIGNALS,
    )


@pytest.mark.parametrize(
    "pieces", [(150_000, 112_144), (262_144,), (1, 131_071, 131_072), (5,) * 3]
)
def test_row_groups_do_not_depend_on_how_rows_arrive(
    tmp_path: Path, pieces: tuple[int, ...]
) -> None:
    starts = [sum(pieces[:n]) for n in range(len(pieces))]
    batches = [rows(start, count) for start, count in zip(starts, pieces, strict=True)]
    assert write_rows(tmp_path, SIGNALS_FILE, batches) == sum(pieces)
    (tmp_path / "whole").mkdir()
    write_rows(tmp_path / "whole", SIGNALS_FILE, [rows(0, sum(pieces))])
    written = (tmp_path / SIGNALS_FILE).read_bytes()
    assert written == (tmp_path / "whole" / SIGNALS_FILE).read_bytes()
    file = pq.ParquetFile(tmp_path / SIGNALS_FILE)
    sizes = [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)]
    assert all(size == ROW_GROUP[SIGNALS_FILE] for size in sizes[:-1])
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"
    assert file.read().to_batches()[0].slice(0, 3) == rows(0, 3)


def test_an_identity_is_part_of_the_bytes(tmp_path: Path) -> None:
    contents = set()
    for identity in (b"", b"one", b"two", b"one"):
        write_rows(tmp_path, SIGNALS_FILE, [rows(0, 3)], identity)
        contents.add((tmp_path / SIGNALS_FILE).read_bytes())
    assert len(contents) == 3


def test_the_id_covers_names_and_checksums_in_any_order() -> None:
    one, two = FileEntry("a", "1" * 64, 1, 1), FileEntry("b", "2" * 64, 1, 1)
    swapped = FileEntry("a", "2" * 64, 1, 1), FileEntry("b", "1" * 64, 1, 1)
    assert dataset_id_of([one, two]) == dataset_id_of([two, one])
    assert len({dataset_id_of(f) for f in ([one, two], [one], swapped)}) == 3


def test_empty_results_have_no_rows_of_unknown_type() -> None:
    empty = pa.RecordBatch.from_pydict({"anything": pa.array([], pa.int64())})
    assert list(episode_batches([empty])) == []
    assert list(SignalBatches([empty])) == []


def test_names_in_masks_are_read_as_json() -> None:
    text = '["a","b\\u00e9\\"c"]'
    values: dict[str, list[object]] = {
        "episode_id": ["e1", "e2", "e3"],
        "person": ["p"] * 3,
        "timestamp": [0, 1, 2],
        "action": ["a"] * 3,
        "propensity": [-1.0, 0.5, -1.0],
        "valid_actions": [text, '["a"]', text],
        "context": ["{}"] * 3,
        "action_arguments": ["{}"] * 3,
        "model_version": ["v"] * 3,
        "arm": ["active"] * 3,
        "closed": [1, 0, 1],
    }
    batch = pa.RecordBatch.from_pydict(values)
    (made,) = episode_batches([batch])
    assert made.schema == SCHEMAS[EPISODES_FILE]
    assert made.column("valid_actions").to_pylist() == [["a", 'bé"c'], ["a"], ["a", 'bé"c']]
    assert made.column("propensity").to_pylist() == [None, 0.5, None]
    assert made.column("closed").to_pylist() == [True, False, True]
