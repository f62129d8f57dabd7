"""A new pseudonym key: everybody's rows, budgets and refusals move along, or nothing does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import inspect, select
from typer.testing import CliRunner

from everloop import settings
from everloop.cli.app import app
from everloop.contracts.episodes import Consent
from everloop.contracts.errors import (
    ShouldFixArgument,
    ShouldProvideKey,
    ShouldRestoreArtefact,
    ShouldRetryLater,
    ShouldWaitForBudget,
    ShouldWaitForWorker,
)
from everloop.contracts.models import ProfileSource, SyntheticProfile, inside_profile_id
from everloop.contracts.oversight import ReviewState
from everloop.contracts.serving import question_sha256
from everloop.contracts.synthetic_jobs import AugmentParameters
from everloop.privacy.pseudonyms import Pseudonyms
from everloop.serving.access.pseudonym_rotation import (
    RotatedPseudonyms,
    check_rotation,
    listed_people,
    rotate_pseudonyms,
)
from everloop.storage.schema import metadata
from everloop.storage.sql.engine import reading, writing
from everloop.storage.sql.ingest_batch import store
from everloop.storage.sql.ingest_records import prepare
from everloop.wiring import Workspace, open_ingest, open_workspace
from tests.conformance.test_person_store import put_exposure
from tests.conformance.test_review_store import item as flagged_episode
from tests.conformance.test_synthetic_job_store import job as synthetic_job
from tests.feedback_records import decision, feedback, interaction, put, review, submission
from tests.log_records import DAY, NOON, episode, extraction, uuid_of
from tests.unit.privacy.test_ledger import SPEC
from tests.unit.privacy.test_ledger import request as asked_release

NOW = NOON + timedelta(days=30)
OTHER = "acme"
LISTED = (
    *(("default", name) for name in ("ann", "ben", "carl", "session:s1")),
    *((OTHER, name) for name in ("ann", "session:s1")),
)


@pytest.fixture(params=["sqlite", "postgresql"])
def home(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    if request.param == "postgresql":
        monkeypatch.setenv(settings.DATABASE_URL, request.getfixturevalue("postgresql_url"))
    settings.initialise(tmp_path / "home")
    live(open_workspace(tmp_path / "home"))
    return tmp_path / "home"


def records(names: Pseudonyms, tenant: str = "default") -> list[Any]:
    """What the product sends, under the key of ``names``."""
    ann = names.of("ann", tenant)
    ben = names.of("ben", tenant)
    about = {"participants": [ben, "erased"], "place": "a" * 64, "n": 1.5}
    asked = decision(
        1, user_id=ann, tenant=tenant, action_arguments=about if tenant == "default" else {}
    )
    said = (ann, "walk", asked.context_snapshot, None, asked.action_arguments)
    session = names.of("session:s1", tenant)
    return [
        replace(asked, request_sha256=question_sha256(*said)),
        episode(1, user_id=ann, tenant=tenant, action_arguments=asked.action_arguments),
        interaction(1, user_id=ann, session_id=session, tenant=tenant),
        feedback(1, user_id=ann, session_id=session, tenant=tenant),
    ]


def live(place: Workspace) -> None:
    """Two tenants with events; a refusal; spending; an erased person; profiles; a dataset."""
    names = place.pseudonyms
    ann, ben, carl = (names.of(name) for name in ("ann", "ben", "carl"))
    put(place.engine, *records(names), *records(names, OTHER))
    put(place.engine, episode(2, user_id=ben), episode(3, user_id=carl))
    place.log.record_consent(Consent(ben, "train", False, NOON), "test")
    place.log.record_consent(Consent(carl, "train", False, NOON), "test")
    place.feedback.review(review(1), [], "test")
    place.reviews.flag([flagged_episode(1), flagged_episode(2)])
    place.reviews.decide(flagged_episode(1).review_id, ReviewState.REJECTED, "a bot", "test", NOON)
    put_exposure(place.engine, ann, "default")
    done = place.ledger.reserve(asked_release(share=0.6), [ann, ben], SPEC, 1)
    place.ledger.complete(done.release_id, "blob:1", "e" * 64)
    place.ledger.reserve(asked_release(1, share=0.3), [ann, carl], SPEC, 1)
    place.people.erase(carl, "test", NOON)
    asked = AugmentParameters(per_person=1, seed=0, logical_date=DAY)
    place.synthetic_jobs.request(synthetic_job(parameters=asked, releases=()))
    rows = [
        SyntheticProfile(inside_profile_id(ann), (0.5,), {}, (), ProfileSource.REAL, "inside"),
        SyntheticProfile(uuid_of(9), (0.5,), {}, (), ProfileSource.GENERATED, "r"),
    ]
    place.profiles.append(rows, "walk")
    place.datasets.extract(extraction())


def rotate(home: Path, retire: bool = False, listed: Any = LISTED) -> RotatedPseudonyms:
    return rotate_pseudonyms(str(home), listed, retire, "cli:test", NOW)


def everything(place: Workspace) -> dict[str, list[Any]]:
    """Every row of every table."""
    with reading(place.engine) as connection:
        return {
            table.name: sorted(map(repr, connection.execute(select(table)).all()))
            for table in metadata.sorted_tables
        }


def receive(place: Workspace, *sent: Any) -> list[Any]:
    tenants = dict.fromkeys(record.tenant for record in sent)
    batch = [prepare(submission([r for r in sent if r.tenant == t])) for t in tenants]
    with writing(place.engine) as connection:
        return list(store(connection, batch, NOW))


def test_no_old_pseudonym_is_left_anywhere(home: Path) -> None:
    old = open_workspace(home).pseudonyms
    hidden = [old.of(name, tenant) for tenant, name in LISTED]
    done = rotate(home)
    assert (done.charged, done.unrecognised, done.environment) == (3, 0, False)
    assert done.rows == {
        "synthetic_profiles": 1,
        "training_episodes": 3,
        "decisions": 2,
        "interactions": 2,
        "feedback": 2,
        "consents": 2,
        "erasures": 1,
        "exposures": 1,
    }
    place = open_workspace(home)
    for table, rows in everything(place).items():
        if table == "privacy_people":  # what people were first known by is in the commitments
            continue
        assert not any(name in row for row in rows for name in hidden), table
    with reading(place.engine) as connection:
        known = set(inspect(connection).get_table_names())
    assert {table.name for table in metadata.sorted_tables} <= known
    entry = place.audit.entries("default")[-1]
    assert (entry.action, entry.resource, entry.rows) == ("keys.rotate", done.fingerprint, 4)
    assert place.audit.entries(OTHER)[-1].rows == 2


def test_what_was_spent_goes_on_counting(home: Path) -> None:
    before = open_workspace(home)
    spent = {
        name: before.ledger.statement(before.pseudonyms.of(name), asked_release(1).logical_date)
        for name in ("ann", "ben", "carl")
    }
    rotate(home)
    after = open_workspace(home)
    assert after.ledger.verify() == 3
    for name, said in spent.items():
        person = after.pseudonyms.of(name)
        assert person != before.pseudonyms.of(name)
        assert after.ledger.statement(person, asked_release(1).logical_date) == said
        assert said is not None
    everyone = [after.pseudonyms.of(name) for name in ("ann", "ben", "carl", "dora")]
    with pytest.raises(ShouldWaitForBudget, match="1 of 4 people"):
        after.ledger.reserve(asked_release(2, share=0.8), everyone, SPEC, 2)
    held = after.ledger.reserve(asked_release(2, share=0.35), everyone, SPEC, 2)
    assert set(held.admitted) == {after.pseudonyms.of(n) for n in ("ben", "carl", "dora")}
    resumed = after.ledger.reserve(asked_release(1, share=0.3), everyone, SPEC, 2)
    assert set(resumed.admitted) == {after.pseudonyms.of(n) for n in ("ann", "carl")}


def test_an_event_that_comes_again_is_known(home: Path) -> None:
    rotate(home)
    place = open_workspace(home)
    sent = [*records(place.pseudonyms), *records(place.pseudonyms, OTHER)]
    for outcome in receive(place, *sent):
        assert (outcome.new, outcome.replayed) == (0, 4), outcome
    other = replace(sent[1], action_taken="right")
    assert "another" in str(receive(place, other)[0])
    profile = SyntheticProfile(
        inside_profile_id(place.pseudonyms.of("ann")),
        *((0.5,), {}, (), ProfileSource.REAL, "inside"),
    )
    assert place.profiles.append([profile], "walk").replayed == 1


def test_refusals_and_erasures_hold(home: Path) -> None:
    first = open_workspace(home).people.erase(
        open_workspace(home).pseudonyms.of("carl"), "test", NOON
    )
    rotate(home)
    place = open_workspace(home)
    for name in ("ben", "carl"):
        (said,) = place.log.consents(place.pseudonyms.of(name))
        assert (said.granted, said.purpose) == (False, "train")
    again = place.people.erase(place.pseudonyms.of("carl"), "test", NOON)
    assert again.erasure_id == first.erasure_id
    version = place.datasets.extract(extraction())
    assert version.manifest.exclusions.opted_out_people == 1
    gone = place.people.erase(place.pseudonyms.of("ann"), "test", NOON)
    assert {n: rows for n, rows in gone.deleted.items() if rows} == {
        "training_episodes": 1,
        "decisions": 1,
        "interactions": 1,
        "feedback": 1,
        "feedback_reviews": 1,
        "synthetic_profiles": 1,
        "reviews": 1,
        "review_decisions": 2,
        "exposures": 1,
    }
    assert gone.datasets == (version.manifest.dataset_id,)
    with reading(place.engine) as connection:
        assert connection.scalar(select(metadata.tables["decisions"].c.tenant)) == OTHER


def test_old_datasets_are_gone_and_made_anew(home: Path) -> None:
    before = open_workspace(home)
    old = before.datasets.extract(extraction())
    copied = home.parent / "copied"
    shutil.copytree(home, copied)
    rotate(home)
    place = open_workspace(home)
    with pytest.raises(ShouldRestoreArtefact, match="Extract its date again"):
        place.datasets.open(old.manifest.dataset_id)
    new = place.datasets.extract(extraction())
    assert new.manifest.dataset_id != old.manifest.dataset_id
    assert new.manifest.episode_watermark == old.manifest.episode_watermark
    assert place.datasets.open(new.manifest.dataset_id) == new
    if os.environ.get(settings.DATABASE_URL):  # another folder that worked on the same database
        with pytest.raises(ShouldProvideKey, match="is not the key"):
            open_workspace(copied)
        for name in (settings.SECRETS_FILE, settings.FINGERPRINT_FILE):
            shutil.copy(home / name, copied / name)
        with pytest.raises(ShouldRestoreArtefact):
            open_workspace(copied).datasets.open(old.manifest.dataset_id)


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        (("default", "ben"), r"1 people whom decisions were about, .*1 people of consents"),
        (("default", "carl"), "1 people of consents, 1 people who were erased"),
        ((OTHER, "ann"), "Not in the list: 1 people of training_episodes, 1 people of decisions"),
        (("default", "session:s1"), "Not in the list: 1 sessions"),
    ],
)
def test_someone_who_is_not_listed_stops_it(
    home: Path, left_out: tuple[str, str], said: str
) -> None:
    before, keys = everything(open_workspace(home)), settings.read(home)
    listed = [one for one in LISTED if one != left_out]
    said = said.replace("1 people whom decisions were about, .*1 people of consents", "people of")
    with pytest.raises(ShouldFixArgument, match=said):
        check_rotation(str(home), listed, retire_sessions=False)
    with pytest.raises(ShouldFixArgument, match=said):
        rotate(home, listed=listed)
    place = open_workspace(home)
    assert everything(place) == before
    assert settings.read(home).fingerprints == keys.fingerprints
    assert check_rotation(str(home), LISTED, retire_sessions=False) == len(LISTED)
    assert everything(place) == before


def test_a_session_whose_id_is_lost_stays_one_session(home: Path) -> None:
    place = open_workspace(home)
    ann = place.pseudonyms.of("ann")
    put(place.engine, interaction(2, user_id=ann, session_id=place.pseudonyms.of("session:s1")))
    listed = [one for one in LISTED if one != ("default", "session:s1")]
    rotate(home, retire=True, listed=listed)
    after = open_workspace(home)
    with reading(after.engine) as connection:
        table = metadata.tables["interactions"]
        query = select(table.c.session_id).where(table.c.tenant == "default")
        (told,) = set(connection.scalars(query))
    assert told not in {names.of("session:s1") for names in (place.pseudonyms, after.pseudonyms)}
    assert "another" in str(receive(after, records(after.pseudonyms)[2])[0])


def test_a_process_with_the_old_key_writes_nothing_more(home: Path) -> None:
    before = open_workspace(home)
    queue = open_ingest(before)
    try:
        rotate(home)
        stranger = episode(7, user_id=before.pseudonyms.of("eve"))
        for write in (
            lambda: before.log.append_episodes([stranger]),
            lambda: before.ledger.reserve(asked_release(3), [stranger.user_id], SPEC, 1),
            lambda: queue.submit(submission([stranger])).result(10),
            lambda: before.datasets.extract(extraction()),
        ):
            with pytest.raises(ShouldRetryLater, match="replaced while this process ran"):
                write()
    finally:
        queue.close()
    with pytest.raises(ShouldRetryLater):
        before.audit.append("default", "test", "person.show", "x")
    assert open_workspace(home).log.counts("walk") == (2, 0)


def test_jobs_at_work_are_waited_for(home: Path) -> None:
    place = open_workspace(home)
    assert place.synthetic_jobs.claim("worker", NOW - timedelta(seconds=5), 60.0) is not None
    with pytest.raises(ShouldWaitForWorker, match="1 jobs are at work"):
        rotate(home)
    assert open_workspace(home).ledger.verify() == 3


def test_it_can_be_done_again_and_again(home: Path) -> None:
    for _ in range(3):
        rotate(home)
    place = open_workspace(home)
    assert place.ledger.verify() == 3
    assert (
        place.ledger.statement(place.pseudonyms.of("ben"), asked_release(1).logical_date)
        is not None
    )
    (outcome,) = receive(place, *records(place.pseudonyms))
    assert outcome.replayed == 4


KILLED = """
import os, signal, sys
from datetime import UTC, datetime
from everloop import settings, wiring
from everloop.contracts import documents
from everloop.serving.access import pseudonym_rotation as rotation
home, step, at = sys.argv[1], sys.argv[2], int(sys.argv[3])
where = {
    "staged": (rotation, "_opened"),
    "moving": (rotation, "forget_datasets"),
    "noting": (rotation, "note_key"),
    "committed": (settings, "replace_pseudonym_key"),
    "marked": (settings.workspace, "_change_secrets"),
    "replaced": (wiring, "keep_datasets"),
}[step]
real, calls = getattr(*where), []
def dying(*given, **named):
    calls.append(1)
    if len(calls) == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*given, **named)
setattr(*where, dying)
listed = [tuple(each.split("/")) for each in sys.argv[4:]]
rotation.rotate_pseudonyms(home, listed, False, "cli:test", datetime(2026, 4, 9, tzinfo=UTC))
"""


@pytest.mark.parametrize(
    ("home", "step", "at", "opens"),
    [
        ("sqlite", "staged", 1, True),
        ("sqlite", "moving", 1, True),
        ("sqlite", "noting", 1, True),
        ("postgresql", "noting", 1, True),
        ("sqlite", "committed", 1, False),
        ("postgresql", "committed", 1, False),
        ("sqlite", "marked", 2, False),
        ("sqlite", "replaced", 2, True),
    ],
    indirect=["home"],
)
def test_killed_anywhere_the_command_again_ends_it(
    home: Path, step: str, at: int, opens: bool
) -> None:
    old = open_workspace(home)
    dataset = old.datasets.extract(extraction())
    before = everything(old)
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(home), step, str(at), *map("/".join, LISTED)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    if opens:
        opened = open_workspace(home)
        moved = opened.pseudonyms.of("ann") != old.pseudonyms.of("ann")
        assert moved == (step == "replaced")
        assert moved or everything(opened) == before
        if moved:
            with pytest.raises(ShouldRestoreArtefact):
                opened.datasets.open(dataset.manifest.dataset_id)
    else:
        with pytest.raises(ShouldProvideKey, match=r"rotation of the pseudonym key .* cut short"):
            open_workspace(home)
    if step != "replaced":
        rotate(home)
    place = open_workspace(home)
    assert place.ledger.verify() == 3
    (outcome,) = receive(place, *records(place.pseudonyms))
    assert outcome.replayed == 4
    assert settings.PSEUDONYM_KEY_NEXT not in (home / settings.SECRETS_FILE).read_text()
    with pytest.raises(ShouldRestoreArtefact):
        place.datasets.open(dataset.manifest.dataset_id)


def test_a_key_of_the_environment_is_replaced_there(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = settings.read(home).pseudonym_key.hex(), "ab" * 32
    monkeypatch.setenv(settings.PSEUDONYM_KEY, old)
    with pytest.raises(ShouldFixArgument, match=settings.PSEUDONYM_KEY_NEXT):
        rotate(home)
    monkeypatch.setenv(settings.PSEUDONYM_KEY_NEXT, new)
    assert rotate(home).environment
    with pytest.raises(ShouldProvideKey, match="cut short"):
        open_workspace(home)
    monkeypatch.setenv(settings.PSEUDONYM_KEY, new)
    monkeypatch.delenv(settings.PSEUDONYM_KEY_NEXT)
    place = open_workspace(home)
    assert place.pseudonyms.of("ann") == Pseudonyms(bytes.fromhex(new)).of("ann")
    assert receive(place, *records(place.pseudonyms))[0].replayed == 4


def test_the_command(tmp_path: Path) -> None:
    place = tmp_path / "home"
    settings.initialise(place)
    live(open_workspace(place))
    people = tmp_path / "people.txt"
    people.write_text("ann\nben\r\ncarl\n\nsession:s1\nacme\tann\nacme\tsession:s1\n")
    words = ["keys", "rotate-pseudonyms", "--people", str(people), "--home", str(place)]
    refused = CliRunner().invoke(app, words)
    assert isinstance(refused.exception, ShouldFixArgument)
    assert "6 people and sessions" in refused.exception.message
    done = CliRunner().invoke(app, [*words, "--yes"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "spending of 3 people moved" in done.stdout
    assert "3 rows verify" in done.stdout
    again = CliRunner().invoke(app, [*words, "--yes", "--json"], catch_exceptions=False)
    assert json.loads(again.stdout)["rows"]["decisions"] == 2
    for shown in (done.output, again.output):
        assert settings.read(place).pseudonym_key.hex() not in shown


@pytest.mark.parametrize("line", ["\tann", "acme\t"])
def test_a_line_without_tenant_or_id_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "people.txt"
    path.write_text(f"ann\n{line}\n")
    with pytest.raises(ShouldFixArgument, match=r"people\.txt:2"):
        list(listed_people(path, "default"))
    with pytest.raises(ShouldFixArgument, match="cannot be read"):
        list(listed_people(tmp_path / "none", "default"))
