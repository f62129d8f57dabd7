"""People who are erased leave a bucket, every workspace that read from it, and whatever died half-way."""

from __future__ import annotations

import io
import os
import signal as signals
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from sqlalchemy import Engine

from everloop.contracts.errors import ShouldRestoreArtefact, ShouldRetryLater
from everloop.contracts.ports import DatasetStore
from everloop.settings import Bucket
from everloop.storage.gcp.dataset_key import keep_bucket_datasets_of
from everloop.storage.gcp.datasets import GcsDatasetStore
from everloop.storage.gcp.erased_artefacts import GcsErasedArtefacts
from everloop.storage.gcp.objects import Objects
from everloop.storage.gcp.versions import BucketVersions
from everloop.storage.local.erased_artefacts import CACHED
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.event_log import SqlEventLog
from everloop.storage.sql.people import SqlPersonStore
from tests.log_records import ANN, BEN, NOON, SetClock, episode, extraction, signal, uuid_of

ROOT = Path(__file__).parents[2]
LATER = NOON + timedelta(days=20)


class Place:
    """A workspace folder on the database and the bucket that all share."""

    def __init__(self, home: Path, engine: Engine, objects: Objects) -> None:
        self.home = home
        home.mkdir(exist_ok=True)
        self.versions = BucketVersions(objects)
        self.datasets: DatasetStore = GcsDatasetStore(
            engine, self.versions, home / CACHED, SetClock()
        )
        files = GcsErasedArtefacts(engine, home, objects)
        self.people = SqlPersonStore(engine, home, files=files)

    def erase(self, person: str = ANN) -> Any:
        return self.people.erase(person, "key:admin", LATER)

    def holds(self, person: str) -> list[str]:
        """Files of the folder that say the pseudonym or name an episode of the person's."""
        found = [p for p in self.home.rglob("*") if p.is_file() and _says(p.read_bytes(), person)]
        return [str(p.relative_to(self.home)) for p in found]


def _says(data: bytes, person: str) -> bool:
    if data[:4] == b"PAR1":
        data = repr(pq.read_table(io.BytesIO(data)).to_pydict()).encode()
    return person.encode() in data or (person == ANN and uuid_of(1).encode() in data)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    found = open_workspace_database(tmp_path / "state.db")
    log = SqlEventLog(found, SetClock())
    log.append_batch([episode(1), episode(2, user_id=BEN)], [signal(1), signal(2, of=2)])
    return found


@pytest.fixture
def objects(bucket: Bucket, gcs_client: Any) -> Objects:
    return Objects(bucket, gcs_client)


@pytest.fixture
def here(tmp_path: Path, engine: Engine, objects: Objects) -> Place:
    return Place(tmp_path / "here", engine, objects)


@pytest.fixture
def there(tmp_path: Path, engine: Engine, objects: Objects) -> Place:
    return Place(tmp_path / "there", engine, objects)


def in_bucket(objects: Objects, person: str) -> list[str]:
    """Objects, older generations included, that say the pseudonym or name an episode of the person's."""
    found = []
    for one in objects.list(every_generation=True):
        read = objects.read(one.name)
        if read is not None and _says(read[0], person):
            found.append(one.name)
    return found


def test_an_erasure_reaches_the_bucket_and_every_workspace(
    here: Place, there: Place, objects: Objects
) -> None:
    made = here.datasets.extract(extraction()).manifest.dataset_id
    copy = there.datasets.open(made)
    run = there.home / "runs" / "walk" / "default" / "2026-03-10"
    (run / "artifacts").mkdir(parents=True)
    (run / "artifacts" / "dataset").write_text(made)
    (run / "artifacts" / "rows").write_text(ANN)
    (there.home / "reports").mkdir()
    (there.home / "reports" / "made.html").write_text(f"<p>{made}</p><p>{uuid_of(1)}</p>")
    (there.home / "reports" / "other.html").write_text("<p>of something else</p>")
    (here.home / "reports").mkdir()
    (here.home / "reports" / "aggregates.html").write_text(f"<p>{made}</p><p>{uuid_of(2)}</p>")
    (here.home / "reports" / "shows.html").write_text(f"<p>{made}</p><p>{uuid_of(1)}</p>")
    assert in_bucket(objects, ANN)
    assert len(there.holds(ANN)) == 4
    record = here.erase()
    # Who erases knows whom a page shows; others can only ask what it was made from.
    assert [p.name for p in (here.home / "reports").iterdir()] == ["aggregates.html"]
    assert record.datasets == (made,)
    assert (in_bucket(objects, ANN), here.holds(ANN)) == ([], [])
    with pytest.raises(ShouldRestoreArtefact, match="erased on a person's request"):
        there.datasets.open(made)
    there.people.finish()
    assert there.holds(ANN) == []
    assert not copy.root.exists()
    assert [p.name for p in (there.home / "reports").iterdir()] == ["other.html"]
    again = there.datasets.extract(extraction())
    assert again.manifest.episodes == 1
    assert not in_bucket(objects, ANN)
    assert list(objects.list("erasing/")) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from everloop.settings import Bucket
from everloop.storage.gcp import datasets, erased_artefacts, versions
from everloop.storage.gcp.objects import Objects
from everloop.storage.sql.engine import open_workspace_database
from tests.faults.test_erasure_in_bucket import Place
from tests.log_records import extraction
home, database, bucket, prefix, step = sys.argv[1:]
name, _, attribute = step.partition(".")
setattr(getattr(versions, name), attribute, lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL))
place = Place(Path(home), open_workspace_database(Path(database)), Objects(Bucket(bucket, prefix)))
if attribute == "publish":
    place.datasets.extract(extraction())
else:
    place.erase()
"""


def killed(at: str, home: Path, bucket: Bucket) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-c", KILLED, str(home), str(home.parent / "state.db")),
            *(bucket.name, bucket.prefix, at),
        ],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        check=False,
    )
    assert done.returncode == -signals.SIGKILL


@pytest.mark.gcp
def test_an_erasure_that_was_killed_is_finished_by_another_workspace(
    here: Place, there: Place, objects: Objects, bucket: Bucket
) -> None:
    made = here.datasets.extract(extraction()).manifest.dataset_id
    killed("BucketVersions.remove", here.home, bucket)
    assert in_bucket(objects, ANN)
    with pytest.raises(ShouldRestoreArtefact, match="erased on a person's request"):
        there.datasets.open(made)
    there.people.finish()
    assert in_bucket(objects, ANN) == []
    assert list(objects.list("erasing/")) == []
    here.people.finish()
    assert here.holds(ANN) == []


@pytest.mark.gcp
def test_what_a_killed_extraction_uploaded_leaves_with_the_erased(
    here: Place,
    there: Place,
    objects: Objects,
    bucket: Bucket,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    killed("BucketVersions.publish", here.home, bucket)
    assert in_bucket(objects, ANN)
    assert there.versions.ids() == ()
    there.erase()
    # It might be another process's that still uploads: the note remembers that it is in doubt.
    assert len(list(objects.list("erasing/"))) == 1
    monkeypatch.setattr("everloop.storage.gcp.versions._ABANDONED", timedelta(0))
    there.people.finish()
    assert in_bucket(objects, ANN) == []
    assert list(objects.list("erasing/")) == []


def test_who_is_erased_while_files_are_uploaded_is_not_published(
    here: Place, there: Place, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    upload, tries = BucketVersions.upload, []

    def slowly(self: BucketVersions, *rest: Any) -> str:
        attempt = upload(self, *rest)
        tries.append(attempt)
        if len(tries) == 1:
            there.erase()
        return attempt

    monkeypatch.setattr(BucketVersions, "upload", slowly)
    version = here.datasets.extract(extraction())
    assert len(tries) == 2
    assert set(pq.read_table(version.episodes_path)["person"].to_pylist()) == {BEN}
    assert (in_bucket(objects, ANN), here.holds(ANN)) == ([], [])


def test_who_is_erased_while_a_copy_arrives_is_not_in_it(
    here: Place, there: Place, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = here.datasets.extract(extraction()).manifest.dataset_id
    fetch = BucketVersions.fetch

    def slowly(self: BucketVersions, *rest: Any) -> None:
        fetch(self, *rest)
        here.erase()

    monkeypatch.setattr(BucketVersions, "fetch", slowly)
    with pytest.raises(ShouldRestoreArtefact, match="erased on a person's request"):
        there.datasets.open(made)
    assert there.holds(ANN) == []


def test_a_bucket_that_does_not_answer_holds_up_the_erasure(
    here: Place, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that cannot be reached is no file that cannot be read: nothing is deleted on a guess."""
    made = here.datasets.extract(extraction()).manifest.dataset_id
    for path in sorted((here.home / CACHED / made).iterdir()):
        path.unlink()
    (here.home / CACHED / made).rmdir()

    def away(*_: object) -> None:
        raise ConnectionError("away")

    with monkeypatch.context() as patched:
        patched.setattr(BucketVersions, "reader", away)
        with pytest.raises(ShouldRetryLater, match="could not be reached"):
            here.erase()
    assert here.versions.ids() == (made,)
    assert here.erase().datasets == (made,)
    assert in_bucket(objects, ANN) == []


def test_a_rotated_key_empties_the_bucket_once(here: Place, objects: Objects) -> None:
    assert keep_bucket_datasets_of(objects, "first") == 0
    here.datasets.extract(extraction())
    assert keep_bucket_datasets_of(objects, "first") == 0
    assert keep_bucket_datasets_of(objects, "second") == 1
    assert in_bucket(objects, ANN) == []
    made = here.datasets.extract(extraction()).manifest.dataset_id
    assert keep_bucket_datasets_of(objects, "second") == 0
    assert here.versions.ids() == (made,)


@pytest.mark.gcp
def test_old_notes_of_erasures_that_failed_leave(
    here: Place, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = here.datasets.extract(extraction()).manifest.dataset_id
    with monkeypatch.context() as patched:
        patched.setattr("everloop.storage.sql.erasing.append_audit", _fails)
        with pytest.raises(RuntimeError):
            here.erase()
    here.people.finish()
    assert len(list(objects.list("erasing/"))) == 1
    monkeypatch.setattr("everloop.storage.gcp.erased_artefacts._ABANDONED", timedelta(0))
    here.people.finish()
    assert list(objects.list("erasing/")) == []
    assert here.datasets.open(made).manifest.dataset_id == made


def test_a_workspace_of_another_database_drops_nobody_s_note(
    here: Place, tmp_path: Path, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has another database, or none of the erasures in it, cannot tell which took place."""
    made = here.datasets.extract(extraction()).manifest.dataset_id
    with monkeypatch.context() as patched:
        patched.setattr(BucketVersions, "remove", _fails)
        with pytest.raises(RuntimeError):
            here.erase()
    monkeypatch.setattr("everloop.storage.gcp.erased_artefacts._ABANDONED", timedelta(0))
    other = open_workspace_database(tmp_path / "other.db")
    Place(tmp_path / "elsewhere", other, objects).people.finish()
    Place(here.home, other, objects).people.finish()
    assert len(list(objects.list("erasing/"))) == 1
    assert here.versions.ids() == (made,)
    here.people.finish()
    assert in_bucket(objects, ANN) == []
    assert list((here.home / "erasing").iterdir()) == []


def _fails(*_: object) -> None:
    raise RuntimeError("power cut")


@pytest.mark.gcp
def test_workspaces_that_extract_at_once_publish_one_version(
    tmp_path: Path, engine: Engine, objects: Objects
) -> None:
    places = [Place(tmp_path / str(number), engine, objects) for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda place: place.datasets.extract(extraction()), places))
    assert len({version.manifest.dataset_id for version in made}) == 1
    names = [one.name.split("/") for one in objects.list("datasets/")]
    assert len({name[2] for name in names if len(name) == 4}) == 1
    assert len(names) == 3


@pytest.mark.gcp
def test_erasures_and_extractions_at_once_leave_nobody_behind(
    tmp_path: Path, engine: Engine, objects: Objects
) -> None:
    places = [Place(tmp_path / str(number), engine, objects) for number in range(3)]

    def work(number: int) -> None:
        for turn in range(4):
            if number == 0 and turn == 1:
                places[0].erase()
            with suppress(ShouldRestoreArtefact):
                days = 1 + (number + turn) % 3
                wanted = extraction(window_days=days, pinned=False)
                places[number].datasets.extract(wanted)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(work, range(3)))
    for place in places:
        place.people.finish()
    assert in_bucket(objects, ANN) == []
    assert [place.holds(ANN) for place in places] == [[], [], []]
    assert in_bucket(objects, BEN)
