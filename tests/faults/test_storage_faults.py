"""Processes that die, disks that fill up and processes that meet: nothing is half-written."""

from __future__ import annotations

import os
import resource
import shutil
import signal as signals
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from everloop.contracts.errors import ShouldFreeDisk, ShouldRestoreArtefact
from everloop.contracts.models import ModelType, Provenance
from everloop.registry.registration import REQUIRED_LINEAGE, Candidate, register
from everloop.storage.local import extraction_sqlite
from everloop.storage.local.blobs import LocalBlobStore
from everloop.storage.local.datasets import LocalDatasetStore
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.event_log import SqlEventLog
from everloop.storage.sql.registry import SqlRegistry
from tests.log_records import NOON, SetClock, episode, extraction, signal

ROOT = Path(__file__).parents[2]
IMPORTS = """
import operator, os, signal as signals, sys
from pathlib import Path
from everloop.storage import local
from everloop.storage.local import datasets
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.event_log import SqlEventLog
from tests.log_records import SetClock, episode, extraction, signal
folder = Path(sys.argv[1])
engine = open_workspace_database(folder / "state.db")

def killed():
    os.kill(os.getpid(), signals.SIGKILL)
"""


def start(script: str, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", IMPORTS + script, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    )


def run(script: str, *arguments: object) -> tuple[int, str]:
    process = start(script, *arguments)
    output = process.communicate(timeout=120)[0]
    return process.returncode, output.strip()


@contextmanager
def no_file_larger_than(size: int) -> Iterator[None]:
    """Writes beyond ``size`` bytes of a file fail, as they do at the end of a disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of four megabytes and fifty files."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=50", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small disk takes root")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def log(tmp_path: Path) -> SqlEventLog:
    return SqlEventLog(open_workspace_database(tmp_path / "state.db"), SetClock())


def fill(folder: Path) -> Path:
    """Take what is left of a disk."""
    path = folder / "filler"
    with path.open("wb", buffering=0) as filler:
        try:
            while True:
                filler.write(b"\0" * 4096)
        except OSError:
            return path


KILLED_APPEND = """
def until_killed(records, at):
    for number, record in enumerate(records):
        if number == at:
            killed()
        yield record

SqlEventLog(engine, SetClock()).append_batch(
    (episode(n) for n in range(3000)),
    until_killed((signal(n, of=n) for n in range(3000)), int(sys.argv[2])),
)
"""


@pytest.mark.parametrize("at", [0, 1, 2500])
def test_a_killed_append_leaves_nothing(log: SqlEventLog, tmp_path: Path, at: int) -> None:
    log.append_episodes([episode(9999)])
    assert run(KILLED_APPEND, tmp_path, at)[0] == -signals.SIGKILL
    assert log.counts("walk") == (1, 0)
    new, heard = log.append_batch(
        (episode(n) for n in range(3000)), (signal(n, of=n) for n in range(3000))
    )
    assert (new.new, heard.new) == (3000, 3000)


def test_what_was_acknowledged_survives_a_kill(log: SqlEventLog, tmp_path: Path) -> None:
    script = """
log = SqlEventLog(engine, SetClock())
for number in range(5):
    log.append_episodes([episode(number)])
    print(number, flush=True)
killed()
"""
    code, output = run(script, tmp_path)
    assert code == -signals.SIGKILL
    assert output.split() == ["0", "1", "2", "3", "4"]
    assert log.counts("walk") == (5, 0)


@pytest.mark.parametrize(
    "step",
    ["dataset_making.entry_of", "dataset_making.documents.write", "dataset_folder.verified"],
)
def test_a_killed_extraction_leaves_no_version_or_a_whole_one(
    log: SqlEventLog, tmp_path: Path, step: str
) -> None:
    log.append_batch([episode(1)], [signal(1)])
    script = """
place, _, name = sys.argv[2].rpartition(".")
setattr(operator.attrgetter(place)(local), name, lambda *a, **k: killed())
datasets.LocalDatasetStore(engine, folder / "datasets", SetClock()).extract(extraction())
"""
    assert run(script, tmp_path, step)[0] == -signals.SIGKILL
    log.append_episodes([episode(2)])
    store = LocalDatasetStore(
        open_workspace_database(tmp_path / "state.db"), tmp_path / "datasets", SetClock()
    )
    left = [path.name for path in (tmp_path / "datasets").glob("[!.]*")]
    assert len(left) == (1 if step == "dataset_folder.verified" else 0)
    version = store.extract(extraction())
    assert version.manifest.episodes == 1
    assert left in ([], [version.manifest.dataset_id])


def test_what_killed_extractions_left_is_swept_up(log: SqlEventLog, tmp_path: Path) -> None:
    root = tmp_path / "datasets"
    for name, age in (("old", 2 * 86_400), ("new", 60)):
        partial = root / f".partial-{name}"
        partial.mkdir(parents=True)
        (partial / "signals.parquet").touch()
        moment = partial.stat().st_mtime - age
        os.utime(partial, (moment, moment))
    engine = open_workspace_database(tmp_path / "state.db")
    LocalDatasetStore(engine, root, SetClock()).extract(extraction())
    assert [path.name for path in root.glob(".*")] == [".partial-new"]


def test_an_append_that_does_not_fit_is_refused_whole(log: SqlEventLog) -> None:
    log.append_episodes([episode(9999)])
    batch = [episode(n, context_snapshot={"text": "x" * 2000}) for n in range(2000)]
    with no_file_larger_than(1 << 20), pytest.raises(ShouldFreeDisk, match=r"state\.db"):
        log.append_batch(batch, ())
    assert log.counts("walk") == (1, 0)
    assert log.append_batch(batch, ())[0].new == 2000


def test_a_dataset_that_does_not_fit_is_refused_whole(log: SqlEventLog, tmp_path: Path) -> None:
    log.append_batch([episode(n) for n in range(500)], [signal(n, of=n % 500) for n in range(3000)])
    engine = open_workspace_database(tmp_path / "state.db")
    store = LocalDatasetStore(engine, tmp_path / "datasets", SetClock())
    pinned = store.extract(extraction(window_days=1))
    with no_file_larger_than(34 << 10), pytest.raises(ShouldFreeDisk, match="for a dataset"):
        store.extract(extraction())
    assert [path.name for path in (tmp_path / "datasets").iterdir()] == [pinned.root.name]
    assert store.extract(extraction()).manifest.episodes == 500


def test_a_sort_that_does_not_fit_is_named(
    log: SqlEventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append_batch([episode(1)], (signal(n) for n in range(20_000)))
    engine = open_workspace_database(tmp_path / "state.db")
    store = LocalDatasetStore(engine, tmp_path / "datasets", SetClock())
    store.extract(extraction(window_days=1))
    monkeypatch.setattr(extraction_sqlite, "_CACHE_KIB", 1)
    with no_file_larger_than(1 << 20), pytest.raises(ShouldFreeDisk, match="temporary") as full:
        store.extract(extraction())
    assert isinstance(full.value.__cause__, sqlite3.Error)


def test_an_extraction_from_a_damaged_database_is_named(log: SqlEventLog, tmp_path: Path) -> None:
    log.append_batch([episode(1)], [signal(1)])
    path = tmp_path / "state.db"
    with sqlite3.connect(path) as raw:
        raw.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = raw.execute("PRAGMA page_size").fetchone()
        (page,) = raw.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'reward_signals'"
        ).fetchone()
    raw.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    store = LocalDatasetStore(open_workspace_database(path), tmp_path / "datasets", SetClock())
    with pytest.raises(ShouldRestoreArtefact, match=r"state\.db is damaged") as damaged:
        store.extract(extraction())
    assert isinstance(damaged.value.__cause__, sqlite3.Error)
    assert list((tmp_path / "datasets").iterdir()) == []


def test_a_blob_that_does_not_fit_is_refused_whole(tmp_path: Path) -> None:
    source = tmp_path / "weights"
    source.write_bytes(b"x" * 100_000)
    blobs = LocalBlobStore(tmp_path / "blobs")
    with no_file_larger_than(1 << 14), pytest.raises(ShouldFreeDisk, match="weights"):
        blobs.put(source)
    assert list((tmp_path / "blobs").iterdir()) == []
    assert blobs.fetch(*blobs.put(source)).stat().st_size == 100_000


@pytest.mark.usefixtures("real_migrations")
def test_a_full_disk_is_named_everywhere(small_disk: Path, tmp_path: Path) -> None:
    engine = open_workspace_database(small_disk / "state.db")
    log = SqlEventLog(engine, SetClock())
    log.append_batch([episode(1)], [signal(1)])
    store = LocalDatasetStore(engine, small_disk / "datasets", SetClock())
    blobs = LocalBlobStore(small_disk / "blobs")
    weights = tmp_path / "policy.onnx"
    weights.write_bytes(b"x" * 50_000)
    candidate = Candidate(
        loop="walk",
        model_type=ModelType.INTERVENTION,
        files={"policy.onnx": weights},
        served="policy.onnx",
        performance_metrics={},
        lineage=dict.fromkeys(REQUIRED_LINEAGE, "x"),
        provenance=Provenance.PRIVATE_RELEASE,
        verdict="continue",
        training_date=NOON,
    )
    filler = fill(small_disk)
    many = [episode(n, context_snapshot={"text": "x" * 2000}) for n in range(2, 2000)]
    with pytest.raises(ShouldFreeDisk):
        log.append_batch(many, ())
    with pytest.raises(ShouldFreeDisk):
        store.extract(extraction())
    with pytest.raises(ShouldFreeDisk):
        register(candidate, SqlRegistry(engine), blobs)
    with pytest.raises(ShouldFreeDisk):
        open_workspace_database(small_disk / "another.db")
    filler.unlink()
    assert log.counts("walk") == (1, 1)
    assert SqlRegistry(engine).checkpoints("walk") == ()
    assert store.extract(extraction()).manifest.episodes == 1
    register(candidate, SqlRegistry(engine), blobs)


def test_a_disk_without_room_for_another_file_is_named(small_disk: Path) -> None:
    with suppress(OSError):
        for number in range(100):
            (small_disk / str(number)).touch()
    with pytest.raises(ShouldFreeDisk, match="lock"):
        open_workspace_database(small_disk / "state.db")


def test_a_version_that_another_process_published_meanwhile_is_kept(
    log: SqlEventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log.append_batch([episode(1)], [signal(1)])
    engine = open_workspace_database(tmp_path / "state.db")
    store = LocalDatasetStore(engine, tmp_path / "datasets", SetClock())
    rename = Path.rename

    def beaten(partial: Path, folder: Path) -> Path:
        shutil.copytree(partial, folder)
        return rename(partial, folder)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", beaten)
        version = store.extract(extraction())
    assert [path.name for path in (tmp_path / "datasets").iterdir()] == [version.root.name]
    assert store.open(version.manifest.dataset_id) == version


def test_a_version_that_cannot_be_published_is_an_error(
    log: SqlEventLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(partial: Path, folder: Path) -> Path:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "rename", refused)
    engine = open_workspace_database(tmp_path / "state.db")
    with pytest.raises(PermissionError):
        LocalDatasetStore(engine, tmp_path / "datasets", SetClock()).extract(extraction())
    assert list((tmp_path / "datasets").iterdir()) == []


def test_processes_that_start_at_once_share_one_workspace(tmp_path: Path) -> None:
    script = """
SqlEventLog(engine, SetClock()).append_episodes(
    [episode(100 * int(sys.argv[2]) + n) for n in range(20)] + [episode(n) for n in range(5)]
)
"""
    processes = [start(script, tmp_path, number) for number in range(1, 5)]
    assert [process.wait(timeout=120) for process in processes] == [0] * 4
    for process in processes:
        process.communicate()
    log = SqlEventLog(open_workspace_database(tmp_path / "state.db"), SetClock())
    assert log.counts("walk") == (85, 0)


def test_processes_that_extract_at_once_make_one_version(log: SqlEventLog, tmp_path: Path) -> None:
    log.append_batch([episode(n) for n in range(50)], [signal(n, of=n) for n in range(50)])
    script = """
store = datasets.LocalDatasetStore(engine, folder / "datasets", SetClock())
print(store.extract(extraction()).manifest.dataset_id)
"""
    processes = [start(script, tmp_path) for _ in range(3)]
    ids = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0] * 3
    assert {path.name for path in (tmp_path / "datasets").iterdir()} == ids
    assert len(ids) == 1


def test_of_two_processes_one_wins_each_generation(tmp_path: Path) -> None:
    script = """
from everloop.contracts.errors import ShouldResolveConflict
from everloop.storage.sql.registry import SqlRegistry
registry = SqlRegistry(engine)
won = 0
while (generation := registry.alias("walk", "active")[1]) < 40:
    try:
        registry.set_alias("walk", "active", None, generation, sys.argv[2])
        won += 1
    except ShouldResolveConflict:
        pass
print(won)
"""
    processes = [start(script, tmp_path, name) for name in ("first", "second")]
    won = [int(process.communicate(timeout=120)[0]) for process in processes]
    history = SqlRegistry(open_workspace_database(tmp_path / "state.db")).deployment_log("walk")
    assert sum(won) == len(history)
    assert [row["generation"] for row in history] == list(range(1, len(history) + 1))
    assert sorted(won) == sorted(
        sum(row["reason"] == name for row in history) for name in ("first", "second")
    )
