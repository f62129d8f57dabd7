"""Synthetic people made in this process: file, table, going on after a stop, and refusals."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from everloop import sdk
from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldResolveConflict,
    ShouldRestoreArtefact,
    ShouldWaitForWorker,
)
from everloop.contracts.models import ProfileSource
from everloop.contracts.serving import JobState
from everloop.sdk.synthetic.asking import ask_generate
from everloop.sdk.synthetic.people import GeneratedProfiles, generated, work_on
from everloop.sdk.synthetic.work import carry_out, working_on
from synthetic.generation import chunks as generation
from synthetic.generation.chunks import ExportedProfile, Generation
from tests.log_records import DAY, uuid_of
from tests.unit.sdk.synthetic.conftest import Place

CHUNK = 20
N = 50


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "CHUNK", CHUNK)


def make(place: Place, **changes: Any) -> GeneratedProfiles:
    arguments: dict[str, Any] = {"seed": 7, "days": 10, "home": place.home} | changes
    return sdk.generate_profiles(place.loop, arguments.pop("n", N), **arguments)


def test_the_file_has_typed_columns_and_whole_people(place: Place, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    made = make(place, output=tmp_path / "a" / "p.parquet", progress=lambda *at: told.append(at))
    assert told == [(20, 50), (40, 50), (50, 50)]
    assert made.path == tmp_path / "a" / "p.parquet"
    table = pq.read_table(made.path)
    assert {f.name: f.type for f in table.schema} == {
        "profile_id": pa.string(),
        "persona_vector": pa.list_(pa.float32()),
        "traits": pa.string(),
        "interaction_history": pa.string(),
        "source": pa.string(),
        "release_id": pa.string(),
        "edge": pa.bool_(),
    }
    assert pq.ParquetFile(made.path).metadata.row_group(0).column(0).compression == "ZSTD"
    rows = table.to_pylist()
    assert len(rows) == made.rows == N
    assert len({row["profile_id"] for row in rows}) == N
    assert {row["source"] for row in rows} == {"generated"}
    assert {row["release_id"] for row in rows} == {place.made.profiles}
    assert sum(row["edge"] for row in rows) == 2  # 5 % of each chunk of 20, of 10 none
    for row in rows:
        assert len(row["persona_vector"]) == 512
        assert isinstance(json.loads(row["traits"]), dict)
        history = json.loads(row["interaction_history"])
        assert history
        assert history[0]["at"].startswith(DAY.isoformat())
        assert {one["action"] for one in history} <= {"wait", "walk", "music", "meet"}


def test_json_lines_hold_the_same_people(place: Place, tmp_path: Path) -> None:
    parquet = pq.read_table(make(place).path).to_pylist()
    made = make(place, format="json", output=tmp_path / "p.jsonl")
    lines = [json.loads(line) for line in made.path.read_text().splitlines()]
    assert len(lines) == N
    for line, row in zip(lines, parquet, strict=True):
        assert line["traits"] == json.loads(row["traits"])
        assert line["interaction_history"] == json.loads(row["interaction_history"])
        assert line["persona_vector"] == pytest.approx(row["persona_vector"], abs=1e-6)
        for name in ("profile_id", "source", "release_id", "edge"):
            assert line[name] == row[name]


def test_the_same_call_gives_the_same_bytes_and_others_other_people(place: Place) -> None:
    first = make(place)
    again = make(place)
    assert again.sha256 == first.sha256
    assert again.job.job_id != first.job.job_id
    rows = pq.read_table(first.path).to_pylist()
    for changes in (
        {"seed": 8},
        {"days": 11},
        {"variance": 1.5},
        {"edge_share": 0.5},
        {"start": date(2026, 1, 1)},
    ):
        other = {
            row["profile_id"]: row for row in pq.read_table(make(place, **changes).path).to_pylist()
        }
        same = [row for row in rows if row["profile_id"] in other]
        assert len(same) < N, changes
        assert all(row == other[row["profile_id"]] for row in same), "an id is of one row"
    assert sum(pq.read_table(make(place, edge_share=0.5).path)["edge"].to_pylist()) == 25


def test_rows_go_into_the_table_once(place: Place) -> None:
    made = make(place)
    make(place)
    rows = pq.read_table(made.path).to_pylist()
    stored = {p.profile_id: p for p in place.workspace.profiles.profiles("coach")}
    assert stored.keys() == {row["profile_id"] for row in rows}
    for row in rows:
        kept = stored[row["profile_id"]]
        assert list(kept.interaction_history) == json.loads(row["interaction_history"])
        assert kept.source is ProfileSource.GENERATED
    assert not list((place.home / "synthetic").iterdir())


class Stops:
    """``Generation.make``, but for a chunk at which something happens; counts what was made."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int, problem: BaseException) -> None:
        self.made: list[int] = []
        self.at: int | None = at
        real = Generation.make

        def make(of: Generation, chunk: int) -> Iterator[ExportedProfile]:
            if chunk == self.at:
                raise problem
            self.made.append(chunk)
            return real(of, chunk)

        monkeypatch.setattr(Generation, "make", make)


def test_an_interrupted_call_goes_on_where_it_was(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = make(place).sha256
    stops = Stops(monkeypatch, 2, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        make(place)
    (job, _) = place.workspace.synthetic_jobs.jobs()
    assert (job.state, job.done, job.attempts) == (JobState.QUEUED, 40, 0)
    stops.at = None
    made = make(place)
    assert made.job.job_id == job.job_id
    assert stops.made == [0, 1, 2]
    assert made.sha256 == whole


def test_a_damaged_part_is_made_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = make(place).sha256
    stops = Stops(monkeypatch, 2, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        make(place)
    (part,) = place.home.glob("synthetic/*/part-00001.parquet")
    part.write_bytes(part.read_bytes()[:-1] + b"x")
    stops.at = None
    assert make(place).sha256 == whole
    assert stops.made == [0, 1, 1, 2]


def test_a_failure_is_told_and_kept(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    Stops(monkeypatch, 1, ShouldRestoreArtefact("the disk is on fire", "Put it out."))
    with pytest.raises(ShouldRestoreArtefact, match="on fire"):
        make(place)
    (job,) = place.workspace.synthetic_jobs.jobs()
    assert (job.state, job.done) == (JobState.FAILED, 20)
    assert "on fire" in job.error
    with pytest.raises(ShouldFixArgument, match="has no file"):
        generated(place.workspace, job)


def test_a_loop_that_changed_ends_the_job(place: Place) -> None:
    workspace, spec = place.workspace, place.spec
    job = ask_generate(workspace, spec, "default", "cli:test", N)
    changed = type(spec).model_validate(spec.model_dump() | {"description": "another"})
    with pytest.raises(ShouldResolveConflict, match="has changed"):
        work_on(workspace, changed, job)
    assert workspace.synthetic_jobs.job(job.job_id).state is JobState.FAILED


def test_one_process_works_on_a_job(place: Place) -> None:
    workspace, spec = place.workspace, place.spec
    job = ask_generate(workspace, spec, "default", "cli:test", N)
    with (
        working_on(workspace, job.job_id),
        pytest.raises(ShouldWaitForWorker, match="Another process"),
    ):
        work_on(workspace, spec, job)
    ended = work_on(workspace, spec, job)
    assert ended.state is JobState.SUCCEEDED
    assert work_on(workspace, spec, job) == ended


def test_a_worker_that_lost_the_job_stores_nothing_more(place: Place) -> None:
    workspace, spec = place.workspace, place.spec
    job = ask_generate(workspace, spec, "default", "cli:test", N)
    now = datetime.now(UTC)
    lost = workspace.synthetic_jobs.claim("one", now, 60.0)
    assert lost is not None
    held = workspace.synthetic_jobs.claim("two", datetime.now(UTC), 0.0)
    assert held is not None
    with pytest.raises(ShouldWaitForWorker, match="taken over"):
        carry_out(workspace, spec, lost, "one")
    assert workspace.synthetic_jobs.job(job.job_id) == held
    assert carry_out(workspace, spec, held, "two").state is JobState.SUCCEEDED


def test_a_call_waits_for_the_process_that_has_its_job(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other process ends the job while this one sleeps."""
    workspace, spec = place.workspace, place.spec
    start = place.workspace.ledger.latest_release("coach/default", "profiles", date.max)
    assert start is not None
    job = ask_generate(workspace, spec, "default", "sdk:local", N, seed=7, days=10)
    held = working_on(workspace, job.job_id)
    held.__enter__()
    claimed = workspace.synthetic_jobs.claim("other", datetime.now(UTC), 60.0)
    assert claimed is not None

    def sleep(_: float) -> None:
        assert claimed is not None
        carry_out(workspace, spec, claimed, "other")
        held.__exit__(None, None, None)

    monkeypatch.setattr("everloop.sdk.synthetic.people.time.sleep", sleep)
    assert make(place).job.job_id == job.job_id


def test_without_releases_nothing_is_asked_for(place: Place) -> None:
    with pytest.raises(ShouldCollectMoreData, match="no release of stage profiles"):
        make(place, tenant="other")
    with pytest.raises(ShouldCollectMoreData, match="learned for no day"):
        sdk.augment_people(place.loop, home=place.home, tenant="other")
    assert place.workspace.synthetic_jobs.jobs(tenant="other") == ()


@pytest.mark.parametrize(
    "changes",
    [{"n": 0}, {"n": 1_000_001}, {"days": 400}, {"variance": 0}, {"format": "csv"}, {"seed": -1}],
)
def test_what_is_out_of_range_is_refused(place: Place, changes: dict[str, Any]) -> None:
    with pytest.raises(ShouldFixArgument, match=next(iter(changes))):
        make(place, **changes)


def test_an_id_asked_for_again_is_the_same_job(place: Place) -> None:
    workspace, spec = place.workspace, place.spec
    name = uuid_of(1, "asked")
    job = ask_generate(workspace, spec, "default", "cli:test", N, job_id=name)
    done = work_on(workspace, spec, job)
    assert ask_generate(workspace, spec, "default", "key:abc", N, job_id=name) == done
    with pytest.raises(ShouldResolveConflict, match="other parameters"):
        ask_generate(workspace, spec, "default", "cli:test", N + 1, job_id=name)


def test_a_file_that_is_gone_is_named(place: Place) -> None:
    made = make(place)
    made.path.chmod(0o644)
    made.path.write_bytes(b"x")
    with pytest.raises(ShouldRestoreArtefact, match="damaged"):
        generated(place.workspace, made.job)
    elsewhere = replace(made.job, outputs=())
    with pytest.raises(ShouldFixArgument, match="no file"):
        generated(place.workspace, elsewhere)


def test_a_call_that_breaks_leaves_its_job_failed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    Stops(monkeypatch, 1, OverflowError("date value out of range"))
    with pytest.raises(OverflowError):
        make(place)
    (job,) = place.workspace.synthetic_jobs.jobs("coach")
    assert job.state is JobState.FAILED
    assert job.finished_at is not None
    assert "failed unexpectedly" in job.error
    assert "date value" not in job.error
