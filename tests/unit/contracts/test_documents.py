"""Documents: what is written is read back, and damage is named."""

from __future__ import annotations

import dataclasses
import errno
import math
import os
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.documents import (
    atomically,
    from_json,
    is_full_disk,
    read,
    sha256_of,
    to_json,
    write,
)
from everloop.contracts.encoded_file import load_encoded, save_encoded
from everloop.contracts.errors import (
    EverloopError,
    ShouldFixArgument,
    ShouldFreeDisk,
    ShouldRestoreArtefact,
)
from everloop.contracts.evaluation import Check, CheckStatus, Decision, Estimate, Verdict

numbers = st.floats(allow_nan=True, allow_infinity=True)


@given(value=numbers, low=numbers)
def test_estimates_round_trip_with_nan_and_infinity(value: float, low: float) -> None:
    before = Estimate("v", value, low, math.nan, 0.95, 3, 2, "t")
    after = from_json(Estimate, to_json(before))
    for one, other in zip(dataclasses.astuple(before), dataclasses.astuple(after), strict=True):
        assert one == other or (math.isnan(one) and math.isnan(other))


def test_a_verdict_round_trips(tmp_path: Path) -> None:
    verdict = Verdict(Decision.HOLD, (Check("a", CheckStatus.FAILED, "no", 1.0, 2.0),), {"x": "y"})
    assert read(Verdict, write(verdict, tmp_path / "deep" / "v.json")) == verdict


def test_a_verdict_cannot_continue_past_a_failing_check_or_without_checks() -> None:
    failing = Check("a", CheckStatus.INSUFFICIENT, "too little")
    for checks in ((), (failing,)):
        with pytest.raises(ShouldFixArgument):
            Verdict(Decision.CONTINUE, checks)
    with pytest.raises(ShouldRestoreArtefact):
        from_json(Verdict, b'{"decision": "continue", "checks": []}')


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"name": 3}', b"\xff"])
def test_a_damaged_document_is_named(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "v.json").write_bytes(data)
    with pytest.raises(ShouldRestoreArtefact, match=r"v\.json"):
        read(Verdict, tmp_path / "v.json")
    with pytest.raises(ShouldRestoreArtefact, match="absent"):
        read(Verdict, tmp_path / "absent.json")


def test_a_full_disk_leaves_the_old_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(Estimate("old", 1, 0, 2, 0.95, 1, 1, "t"), tmp_path / "v.json")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ShouldFreeDisk):
        write(Estimate("new", 1, 0, 2, 0.95, 1, 1, "t"), path)
    assert read(Estimate, path).name == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["v.json"]


@pytest.mark.parametrize(
    ("number", "full"),
    [
        (errno.ENOSPC, True),
        (errno.EDQUOT, True),
        (errno.EFBIG, True),
        (errno.EACCES, False),
        (None, False),
    ],
)
def test_a_full_disk_has_three_names(number: int | None, full: bool) -> None:
    problem = OSError("no number") if number is None else OSError(number, "said")
    assert is_full_disk(problem) is full


def test_a_disk_without_room_for_another_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("tempfile.mkstemp", full)
    with pytest.raises(ShouldFreeDisk, match=r"v\.json"):
        write(Estimate("new", 1, 0, 2, 0.95, 1, 1, "t"), tmp_path / "v.json")


def test_the_checksum_of_a_folder_sees_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    first = sha256_of(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    second = sha256_of(tmp_path)
    (tmp_path / "b").write_text("2")
    assert len({first, second, sha256_of(tmp_path)}) == 3


def test_errors_survive_processes() -> None:
    error = ShouldFixArgument("x is 3.", "Give 4.")
    kind, arguments = error.__reduce__()
    again = kind(*arguments)
    assert isinstance(again, EverloopError)
    assert (str(again), again.remedy) == ("x is 3. Give 4.", "Give 4.")


def encoded(n: int = 4) -> EncodedEpisodes:
    rng = np.random.default_rng(1)
    return EncodedEpisodes(
        episode_id=np.array([f"id-{i}" for i in range(n)], dtype=np.str_),
        person=np.arange(n) % 2,
        people=np.array(["ann", "bo"]),
        context=rng.uniform(-1, 1, (n, 3)).astype(np.float32),
        interacting=np.array([True, False, True]),
        action=np.zeros(n, dtype=np.int64),
        mask=np.ones((n, 2), dtype=np.bool_),
        propensity=np.array([0.5, np.nan, 1.0, 0.2])[:n],
        reward=np.array([0.1, 0.2, np.nan, -1.0])[:n],
        signals=np.full((n, 1), np.nan),
        holdout=np.arange(n) % 2 == 1,
        comparison=np.zeros(n, dtype=np.bool_),
        timestamp=np.arange(n, dtype=np.float64),
        encoder="test-1",
    )


@pytest.mark.parametrize("n", [0, 1, 4])
def test_encoded_episodes_round_trip(tmp_path: Path, n: int) -> None:
    before = encoded(n)
    after = load_encoded(save_encoded(before, tmp_path / "e.safetensors"))
    for field in dataclasses.fields(before):
        one, other = getattr(before, field.name), getattr(after, field.name)
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_encoded_episodes_are_the_file_that_safetensors_writes_of_whole_arrays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr("everloop.contracts.encoded_file._ROWS", rows)
    made = dataclasses.replace(encoded(), context=encoded().context.T.copy().T)  # not contiguous
    arrays = {
        name: value
        for name, value in vars_of(made).items()
        if isinstance(value, np.ndarray) and name not in ("episode_id", "people")
    }
    for name in ("episode_id", "people"):
        ids = getattr(made, name)
        width = max(len(one) for one in ids)
        arrays[name] = ids.astype(f"S{width}").view(np.uint8).reshape(len(ids), width)
    arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    written = save_encoded(made, tmp_path / "e.safetensors").read_bytes()
    assert written == safetensors.numpy.save(arrays, metadata={"encoder": made.encoder})


def vars_of(value: EncodedEpisodes) -> dict[str, object]:
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}


def _write_half(path: Path, problem: Exception) -> None:
    with atomically(path) as stream:
        stream.write(b"second")
        raise problem


def test_what_is_written_atomically_is_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with atomically(path) as stream:
        stream.write(b"first")
        assert not path.exists()
    assert path.read_bytes() == b"first"
    for problem, told in (
        (KeyError("x"), KeyError),
        (OSError(errno.ENOSPC, "No space left on device"), ShouldFreeDisk),
    ):
        with pytest.raises(told):
            _write_half(path, problem)
        assert path.read_bytes() == b"first"
    assert [one.name for one in path.parent.iterdir()] == ["file"]


def test_training_and_evaluation_are_disjoint_and_rewarded() -> None:
    episodes = encoded()
    assert episodes.training.episode_id.tolist() == ["id-0"]
    assert episodes.evaluation.episode_id.tolist() == ["id-3"]


def test_encoded_episodes_refuse_nan_contexts_and_impossible_actions(tmp_path: Path) -> None:
    good = encoded()
    broken = good.context.copy()
    broken[0, 0] = np.nan
    with pytest.raises(ShouldFixArgument, match="NaN"):
        dataclasses.replace(good, context=broken)
    with pytest.raises(ShouldFixArgument, match="mask"):
        dataclasses.replace(good, mask=np.zeros_like(good.mask))
    with pytest.raises(ShouldFixArgument, match="rows"):
        dataclasses.replace(good, reward=good.reward[:2])
    (tmp_path / "e.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ShouldRestoreArtefact):
        load_encoded(tmp_path / "e.safetensors")


def test_dates_are_written_as_iso() -> None:
    from everloop.contracts.datasets import DatasetManifest, Exclusions, FileEntry

    files = (FileEntry("episodes.parquet", "a", 3, 9), FileEntry("signals.parquet", "b", 4, 9))
    manifest = DatasetManifest(
        "id", "l", "t", date(2026, 3, 1), 7, 1, 2, 0, "s", files, Exclusions()
    )
    assert b'"2026-03-01"' in to_json(manifest)
    assert (manifest.episodes, manifest.signals) == (3, 4)
