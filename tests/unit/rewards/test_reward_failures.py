"""What bad input and bad weather get: a refusal that names the value, and no half-written table."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from everloop.contracts.documents import sha256_of
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldFixSignal,
    ShouldFreeDisk,
    ShouldRestoreArtefact,
)
from everloop.loops import load
from everloop.rewards.engine import bounded_engine, remedy_for
from everloop.rewards.runner import aggregate
from everloop.rewards.table import write_rewards
from tests.made_datasets import Evidence, Row, episode_id, signal_id, write_dataset

SPEC = load("companion")

REFUSED = {
    "undeclared type": (Evidence(0, "applause", 1.0), "type applause"),
    "nan": (Evidence(0, "engagement", float("nan")), "value nan"),
    "infinite": (Evidence(0, "engagement", float("inf")), "value inf"),
    "above its range": (Evidence(0, "engagement", 1.5), "value 1.5"),
    "below its range": (Evidence(0, "resonance", -0.5), "value -0.5"),
    "confidence above one": (Evidence(0, "engagement", 1.0, confidence=1.5), "confidence 1.5"),
    "confidence nan": (Evidence(0, "engagement", 1.0, confidence=float("nan")), "confidence nan"),
    "before its decision": (Evidence(0, "engagement", 1.0, latency=-1), "latency -1"),
    "null value": (Evidence(0, "engagement", None), "value null"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_signal_is_refused_by_name(name: str, tmp_path: Path) -> None:
    signal, said = REFUSED[name]
    dataset = write_dataset(
        tmp_path / "d",
        [Row(0)],
        [Evidence(0, "resonance", 0.5), signal, Evidence(0, "engagement", 1)],
    )
    out = tmp_path / "out" / "r.parquet"
    with pytest.raises(ShouldFixSignal) as refused:
        aggregate(SPEC, dataset, out)
    assert said in refused.value.message
    assert episode_id(0) in refused.value.message or signal_id(1) in refused.value.message
    assert list(out.parent.iterdir()) == []


def test_refusal_leaves_the_old_table(tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    write_rewards(SPEC, write_dataset(tmp_path / "a", [Row(0)]), out)
    before = sha256_of(out)
    bad = write_dataset(tmp_path / "b", [Row(0)], [Evidence(0, "applause", 1.0)])
    with pytest.raises(ShouldFixSignal):
        write_rewards(SPEC, bad, out)
    assert sha256_of(out) == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_full_disk(tmp_path: Path) -> None:
    """DuckDB's own error for a device without room, as it reaches the engine's boundary."""
    with (
        pytest.raises(ShouldFreeDisk, match="Free disk space"),
        bounded_engine(tmp_path, 100, 1) as connection,
    ):
        connection.execute("COPY (SELECT * FROM range(100000)) TO '/dev/full' (FORMAT parquet)")
    assert list(tmp_path.iterdir()) == []


def test_spill_that_outgrows_its_disk(tmp_path: Path) -> None:
    with (
        pytest.raises(ShouldFreeDisk, match="max_temp_directory_size"),
        bounded_engine(tmp_path, 40, 1) as connection,
    ):
        connection.execute(
            "SET max_temp_directory_size = '1MB'; "
            "CREATE TABLE t AS SELECT md5(i::VARCHAR) AS m FROM range(3000000) t(i)"
        )


def test_too_little_memory_is_said(tmp_path: Path) -> None:
    problem = duckdb.OutOfMemoryException("Out of Memory Error: failed to allocate block")
    assert isinstance(remedy_for(problem), ShouldFixArgument)
    with pytest.raises(ShouldFixArgument, match="memory_limit_mb=0"):
        write_rewards(SPEC, write_dataset(tmp_path / "d", []), tmp_path / "r.parquet", 0)
    with pytest.raises(ShouldFixArgument, match="threads=0"):
        write_rewards(SPEC, write_dataset(tmp_path / "e", []), tmp_path / "r.parquet", 64, 0)


@pytest.mark.parametrize("damage", ["missing", "not parquet"])
def test_damaged_dataset(damage: str, tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", [Row(0)])
    dataset.signals_path.unlink()
    if damage == "not parquet":
        dataset.signals_path.write_bytes(b"something else entirely")
    with pytest.raises(ShouldRestoreArtefact, match="Extract the dataset again"):
        aggregate(SPEC, dataset, tmp_path / "r.parquet")


def test_folder_with_glob_characters_and_quotes(tmp_path: Path) -> None:
    dataset = write_dataset(
        tmp_path / "what's [this] *", [Row(0)], [Evidence(0, "engagement", 1.0)]
    )
    figures = aggregate(SPEC, dataset, tmp_path / "that's [it]" / "r.parquet")
    assert figures.rewarded == 1


def test_lonely_nan_is_refused_too(tmp_path: Path) -> None:
    """One signal has no variance that would fail on it."""
    dataset = write_dataset(
        tmp_path / "d",
        [Row(0), Row(1)],
        [Evidence(0, "resonance", float("nan")), Evidence(1, "resonance", 1)],
    )
    with pytest.raises(ShouldFixSignal, match="value nan"):
        write_rewards(SPEC, dataset, tmp_path / "r.parquet")


def test_ids_that_cannot_be_told_apart_by_fingerprint(tmp_path: Path) -> None:
    """A repeated id has one fingerprint in two rows, so the ids themselves become the keys."""
    dataset = write_dataset(
        tmp_path / "d",
        [Row(0), Row(0), Row(1)],
        [Evidence(0, "engagement", 0.5), Evidence(1, "engagement", 1.0)],
    )
    table = pq.read_table(write_rewards(SPEC, dataset, tmp_path / "r.parquet"))
    assert table.column("reward").to_pylist() == [0.5, 0.5, 1.0]


def large(tmp_path: Path, episodes: int = 30_000) -> tuple[list[Row], list[Evidence]]:
    rows = [Row(i, f"p{i % 500}") for i in range(episodes)]
    names = SPEC.signal_names
    signals = [
        Evidence((i * 7919) % episodes, names[i % 3], (i % 101) / 100, i % 90_000, (i % 11) / 10)
        for i in range(3 * episodes)
    ]
    return rows, signals


def test_same_bytes_twice_in_dataset_order_within_little_memory(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", *large(tmp_path))
    one = write_rewards(SPEC, dataset, tmp_path / "one" / "r.parquet")
    two = write_rewards(SPEC, dataset, tmp_path / "two" / "r.parquet")
    assert sha256_of(one) == sha256_of(two)
    tight = write_rewards(SPEC, dataset, tmp_path / "tight" / "r.parquet", memory_limit_mb=24)
    ids = pq.read_table(dataset.episodes_path, columns=["episode_id"])
    for path in (one, tight):
        assert pq.read_table(path, columns=["episode_id"]).equals(ids)
    wanted, got = pq.read_table(one).to_pandas(), pq.read_table(tight).to_pandas()
    assert ((wanted["reward"] - got["reward"]).abs().fillna(0) < 1e-12).all()
    assert (wanted["outcome"].fillna("") == got["outcome"].fillna("")).all()
    assert [path.name for path in (tmp_path / "tight").iterdir()] == ["r.parquet"]


def test_two_threads_agree(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path / "d", *large(tmp_path, 10_000))
    one = pq.read_table(write_rewards(SPEC, dataset, tmp_path / "1.parquet"))
    two = pq.read_table(write_rewards(SPEC, dataset, tmp_path / "2.parquet", threads=2))
    assert one.column("episode_id").equals(two.column("episode_id"))
    gap = one.to_pandas()["reward"] - two.to_pandas()["reward"]
    assert gap.abs().max() < 1e-12
