"""What every ``DatasetStore`` must do."""

from __future__ import annotations

import dataclasses
import json
import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from everloop.contracts.datasets import DatasetVersion, Exclusions
from everloop.contracts.documents import sha256_of
from everloop.contracts.episodes import Arm, Consent, Dispute
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.ports import Clock, DatasetStore, EventLog
from everloop.settings import Bucket
from everloop.storage.local.datasets import LocalDatasetStore
from everloop.storage.sql.event_log import SqlEventLog
from tests.log_records import (
    ANN,
    BEN,
    CLOSES_AFTER,
    DAY,
    NOON,
    TYPES,
    SetClock,
    dispute,
    episode,
    extraction,
    loop_spec,
    refusal,
    signal,
    uuid_of,
)
from tests.log_reference import Logged, extract
from tests.postgresql_server import OnPostgresql, OnSqlite, SqlSuite

Opener = Callable[[Clock], tuple[EventLog, DatasetStore]]
MIDNIGHT = datetime(2026, 3, 11, tzinfo=UTC)
"""The cut-off of ``DAY``."""


def episode_rows(version: DatasetVersion) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(version.episodes_path).to_pylist()
    return rows


def signal_rows(version: DatasetVersion) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(version.signals_path).to_pylist()
    return rows


def numbers(version: DatasetVersion, most: int = 20) -> list[int]:
    """Which of ``tests.log_records``' episodes a version holds, in its order."""
    known = {uuid_of(n): n for n in range(most)}
    return [known[row["episode_id"]] for row in episode_rows(version)]


def signal_numbers(version: DatasetVersion, most: int = 20) -> set[int]:
    known = {uuid_of(n, "signal"): n for n in range(most)}
    return {known[row["signal_id"]] for row in signal_rows(version)}


class DatasetStoreSuite(ABC):
    @abstractmethod
    def opener(self, folder: Path) -> Opener:
        """A function that opens the same log and store again and again."""

    def damage(self, version: DatasetVersion, file: str, content: bytes | None) -> None:
        """Replace a file of a version behind the store's back; ``None`` removes it."""
        path = version.root / file
        if content is None:
            path.unlink()
        else:
            path.write_bytes(content)

    def tell(self, version: DatasetVersion, told: dict[str, Any]) -> None:
        """Replace what the manifest says behind the store's back."""
        self.damage(version, "manifest.json", json.dumps(told).encode())

    @pytest.fixture
    def clock(self) -> SetClock:
        return SetClock()

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Opener:
        return self.opener(tmp_path)

    @pytest.fixture
    def opened(self, reopen: Opener, clock: SetClock) -> tuple[EventLog, DatasetStore]:
        return reopen(clock)

    @pytest.fixture
    def log(self, opened: tuple[EventLog, DatasetStore]) -> EventLog:
        return opened[0]

    @pytest.fixture
    def datasets(self, opened: tuple[EventLog, DatasetStore]) -> DatasetStore:
        return opened[1]

    def test_an_empty_window_is_a_version_with_no_rows(self, datasets: DatasetStore) -> None:
        version = datasets.extract(extraction())
        assert (version.manifest.episodes, version.manifest.signals) == (0, 0)
        assert dict(version.manifest.episodes_per_day) == {
            "2026-03-08": 0,
            "2026-03-09": 0,
            "2026-03-10": 0,
        }
        assert episode_rows(version) == signal_rows(version) == []
        assert pq.read_schema(version.episodes_path).field("timestamp").type == pa.timestamp(
            "us", "UTC"
        )
        assert datasets.open(version.manifest.dataset_id) == version

    def test_empty_windows_of_two_dates_are_two_versions(self, datasets: DatasetStore) -> None:
        one = datasets.extract(extraction())
        two = datasets.extract(extraction(DAY - timedelta(days=1)))
        assert one.manifest.dataset_id != two.manifest.dataset_id
        assert datasets.open(one.manifest.dataset_id).manifest.logical_date == DAY

    def test_rows_are_what_was_logged(self, log: EventLog, datasets: DatasetStore) -> None:
        one = episode(
            1,
            propensity=0.1 + 0.2,
            context_snapshot={"é": [1, 2.5, None]},
            action_arguments={"user_ids": [BEN]},
            arm=Arm.COMPARISON,
            valid_actions=("left",),
        )
        two = episode(2, at=NOON - timedelta(microseconds=1), propensity=None)
        log.append_batch([one, two], [signal(1, value=-1 / 3, confidence=1.0, latency=0)])
        version = datasets.extract(extraction())
        assert episode_rows(version) == [
            {
                "episode_id": uuid_of(2),
                "person": ANN,
                "timestamp": NOON - timedelta(microseconds=1),
                "action": "left",
                "propensity": None,
                "valid_actions": ["left", "right"],
                "context": '{"hour":12.5,"mood":"calm"}',
                "action_arguments": "{}",
                "model_version": "v1",
                "arm": "active",
                "closed": True,
            },
            {
                "episode_id": uuid_of(1),
                "person": ANN,
                "timestamp": NOON,
                "action": "left",
                "propensity": 0.1 + 0.2,
                "valid_actions": ["left"],
                "context": '{"é":[1,2.5,null]}',
                "action_arguments": f'{{"user_ids":["{BEN}"]}}',
                "model_version": "v1",
                "arm": "comparison",
                "closed": True,
            },
        ]
        assert signal_rows(version) == [
            {
                "signal_id": uuid_of(1, "signal"),
                "episode_id": uuid_of(1),
                "signal_type": "engagement",
                "value": -1 / 3,
                "latency": 0,
                "confidence": 1.0,
            }
        ]

    def test_the_manifest_says_what_was_read(self, log: EventLog, datasets: DatasetStore) -> None:
        log.append_batch([episode(1), episode(2, loop="run")], [signal(1), signal(2), signal(3)])
        log.record_consent(refusal(BEN))
        version = datasets.extract(extraction(window_days=2))
        manifest = version.manifest
        assert (manifest.loop, manifest.tenant, manifest.window_days) == ("walk", "default", 2)
        assert (manifest.episode_watermark, manifest.signal_watermark) == (2, 3)
        assert manifest.consent_revision == 1
        assert manifest.spec_sha256 == loop_spec().checksum
        assert manifest.exclusions == Exclusions()
        assert dict(manifest.episodes_per_day) == {"2026-03-09": 0, "2026-03-10": 1}
        for entry in manifest.files:
            path = version.root / entry.name
            assert (entry.sha256, entry.size) == (sha256_of(path), path.stat().st_size)
        assert (manifest.episodes, manifest.signals) == (1, 3)

    def test_the_window_ends_with_the_logical_date(
        self, log: EventLog, datasets: DatasetStore
    ) -> None:
        instant = timedelta(microseconds=1)
        start = MIDNIGHT - timedelta(days=2)
        moments = {1: start - instant, 2: start, 3: MIDNIGHT - instant, 4: MIDNIGHT}
        log.append_episodes([episode(n, at=at) for n, at in moments.items()])
        version = datasets.extract(extraction(window_days=2, spec=loop_spec(closes_after=0)))
        assert numbers(version) == [2, 3]

    def test_nothing_is_known_before_it_happened(
        self, log: EventLog, datasets: DatasetStore
    ) -> None:
        at = MIDNIGHT - timedelta(minutes=30)
        log.append_batch(
            [episode(1, at=at)],
            [
                signal(1, signal_type=TYPES[0], latency=1800),
                signal(2, signal_type=TYPES[1], latency=1800),
                signal(3, latency=1801),
            ],
        )
        version = datasets.extract(extraction(spec=loop_spec(closes_after=1800)))
        assert signal_numbers(version) == {1, 2}
        assert version.manifest.exclusions.late_signals == 1

    def test_a_signal_after_its_episode_closed_is_late(
        self, log: EventLog, datasets: DatasetStore
    ) -> None:
        log.append_batch(
            [episode(1)], [signal(1, latency=CLOSES_AFTER), signal(2, latency=CLOSES_AFTER + 1)]
        )
        version = datasets.extract(extraction())
        assert signal_numbers(version) == {1}
        assert version.manifest.exclusions.late_signals == 1

    def test_an_open_episode_is_left_out_even_when_every_type_is_present(
        self, log: EventLog, datasets: DatasetStore
    ) -> None:
        at = MIDNIGHT - timedelta(seconds=CLOSES_AFTER)
        later = at + timedelta(microseconds=1)
        log.append_batch(
            [episode(1, at=at), episode(2, at=later), episode(3, at=later)],
            [
                signal(1, of=1),
                signal(2, of=2, signal_type=TYPES[0]),
                signal(3, of=2, signal_type=TYPES[1]),
                signal(4, of=3, signal_type=TYPES[0]),
            ],
        )
        version = datasets.extract(extraction())
        closed = {row["episode_id"]: row["closed"] for row in episode_rows(version)}
        assert closed == {uuid_of(1): True}
        assert signal_numbers(version) == {1}
        assert version.manifest.exclusions == Exclusions(open_episodes=2)
        assert version.manifest.episodes_per_day["2026-03-10"] == 3

    def test_an_undeclared_signal_is_kept_for_validation_to_name(
        self, log: EventLog, datasets: DatasetStore
    ) -> None:
        log.append_batch([episode(1)], [signal(1, signal_type="undeclared")])
        assert signal_numbers(datasets.extract(extraction())) == {1}

    def test_people_who_opted_out_are_left_out_whole(
        self, log: EventLog, datasets: DatasetStore
    ) -> None:
        log.append_batch(
            [
                episode(1),
                episode(2, user_id=BEN),
                episode(3, user_id=BEN, loop="run"),
                episode(4, user_id=BEN),
            ],
            [signal(1, of=1), signal(2, of=2), signal(3, of=2, latency=CLOSES_AFTER + 1)],
        )
        log.record_consent(refusal(BEN))
        log.record_consent(refusal("c" * 64))
        version = datasets.extract(extraction())
        assert (numbers(version), signal_numbers(version)) == ([1], {1})
        assert version.manifest.exclusions == Exclusions(opted_out_people=1, opted_out_episodes=2)
        assert version.manifest.episodes_per_day["2026-03-10"] == 1

    def test_the_newest_consent_to_training_counts(
        self, log: EventLog, datasets: DatasetStore
    ) -> None:
        people = {1: "1" * 64, 2: "2" * 64, 3: "3" * 64, 4: "4" * 64}
        log.append_episodes([episode(n, user_id=person) for n, person in people.items()])
        hour = timedelta(hours=1)
        for consent in (
            refusal(people[1]),
            refusal(people[1], NOON + hour, granted=True),
            refusal(people[2], granted=True),
            refusal(people[2], NOON + hour),
            refusal(people[3], NOON + hour),
            refusal(people[3], NOON, granted=True),
            Consent(people[4], "serve", granted=False, recorded_at=NOON),
        ):
            log.record_consent(consent)
        assert set(numbers(datasets.extract(extraction()))) == {1, 4}

    @pytest.mark.parametrize(
        ("states", "counts"),
        [
            (("open",), False),
            (("upheld",), False),
            (("rejected",), True),
            (("open", "rejected"), True),
            (("rejected", "open"), False),
        ],
    )
    def test_disputed_signals_are_held(
        self, log: EventLog, datasets: DatasetStore, states: tuple[str, ...], counts: bool
    ) -> None:
        log.append_batch([episode(1)], [signal(1), signal(2)])
        for hour, state in enumerate(states):
            log.record_dispute(dispute(1, state, NOON + timedelta(hours=hour)))
        version = datasets.extract(extraction())
        assert signal_numbers(version) == ({1, 2} if counts else {2})
        assert version.manifest.exclusions.disputed_signals == (0 if counts else 1)

    def test_a_date_stays_pinned(self, log: EventLog, datasets: DatasetStore) -> None:
        log.append_batch([episode(1)], [signal(1)])
        first = datasets.extract(extraction())
        log.append_batch([episode(2), episode(3, user_id=BEN)], [signal(2), signal(3, of=2)])
        log.record_consent(refusal(ANN))
        log.record_dispute(dispute(1))
        again = datasets.extract(extraction())
        assert again == first
        shutil.rmtree(first.root)
        assert datasets.extract(extraction()).manifest == first.manifest
        shorter = datasets.extract(extraction(window_days=1))
        assert (shorter.manifest.episodes, shorter.manifest.signals) == (1, 1)

    def test_whole_numbers_are_real_numbers(self, log: EventLog, datasets: DatasetStore) -> None:
        log.append_batch(
            [episode(1, propensity=1)],
            [signal(1, value=1, confidence=1), signal(2, value=0.5, confidence=0.25)],
        )
        version = datasets.extract(extraction())
        assert episode_rows(version)[0]["propensity"] == 1.0
        assert sorted(row["value"] for row in signal_rows(version)) == [0.5, 1.0]
        assert sorted(row["confidence"] for row in signal_rows(version)) == [0.25, 1.0]

    def test_refresh_pins_anew(self, log: EventLog, datasets: DatasetStore) -> None:
        log.append_batch([episode(1)], [signal(1)])
        first = datasets.extract(extraction())
        log.append_batch([episode(2)], [signal(2)])
        fresh = datasets.extract(extraction(refresh=True))
        assert (sorted(numbers(fresh)), signal_numbers(fresh)) == ([1, 2], {1, 2})
        assert datasets.extract(extraction()) == fresh
        assert datasets.open(first.manifest.dataset_id) == first

    def test_what_nobody_needs_is_discarded_once_and_for_all(
        self, log: EventLog, datasets: DatasetStore
    ) -> None:
        log.append_batch([episode(1)], [])
        night = datasets.extract(extraction())
        look = datasets.extract(extraction(window_days=9, pinned=False))
        assert datasets.discard(look.manifest.dataset_id)
        assert datasets.discard(look.manifest.dataset_id)
        assert not look.root.exists()
        with pytest.raises(ShouldRestoreArtefact, match="There is no dataset"):
            datasets.open(look.manifest.dataset_id)
        assert datasets.open(night.manifest.dataset_id).manifest == night.manifest
        again = datasets.extract(extraction(window_days=9, pinned=False))
        assert again.manifest == look.manifest
        with pytest.raises(ShouldRestoreArtefact, match="is no dataset id"):
            datasets.discard("../" + "a" * 61)

    def test_the_version_of_a_pinned_date_is_not_discarded(
        self, log: EventLog, datasets: DatasetStore
    ) -> None:
        log.append_batch([episode(1)], [])
        night = datasets.extract(extraction())
        assert not datasets.discard(night.manifest.dataset_id)
        assert datasets.open(night.manifest.dataset_id).manifest == night.manifest

    def test_dates_are_pinned_apart(self, log: EventLog, datasets: DatasetStore) -> None:
        datasets.extract(extraction())
        log.append_episodes([episode(1)])
        assert numbers(datasets.extract(extraction(DAY + timedelta(days=1)))) == [1]
        assert numbers(datasets.extract(extraction(tenant="other"))) == []
        assert numbers(datasets.extract(extraction(spec=loop_spec(name="run")))) == []
        assert numbers(datasets.extract(extraction())) == []

    def test_equal_inputs_give_an_equal_id(self, tmp_path: Path, clock: SetClock) -> None:
        episodes = [episode(n, at=NOON + timedelta(minutes=n % 3)) for n in range(9)]
        signals = [signal(n, of=n % 9) for n in range(18)]
        ids = set()
        for number, (some, heard) in enumerate(
            [(episodes, signals), (episodes[::-1], signals[::-1])]
        ):
            log, datasets = self.opener(tmp_path / str(number))(clock)
            for one in some:
                log.append_episodes([one, one])
            log.append_signals(heard)
            ids.add(datasets.extract(extraction()).manifest.dataset_id)
        assert len(ids) == 1

    def test_tenants_never_mix(self, log: EventLog, datasets: DatasetStore) -> None:
        log.append_batch([episode(1)], [signal(1)])
        log.append_batch(
            [episode(1, tenant="other"), episode(2, tenant="other", user_id=BEN)],
            [signal(1, tenant="other", value=0.25), signal(2, of=2, tenant="other")],
        )
        log.record_consent(dataclasses.replace(refusal(ANN), tenant="other"))
        log.record_dispute(dataclasses.replace(dispute(2), tenant="other"))
        ours = datasets.extract(extraction())
        theirs = datasets.extract(extraction(tenant="other"))
        assert [row["value"] for row in signal_rows(ours)] == [0.5]
        assert (numbers(theirs), signal_numbers(theirs)) == ([2], set())
        assert ours.manifest.consent_revision == 0

    @pytest.mark.parametrize("file", ["episodes.parquet", "signals.parquet", "manifest.json"])
    @pytest.mark.parametrize("lost", [True, False], ids=["lost", "changed"])
    def test_a_damaged_version_is_refused_and_made_again(
        self, log: EventLog, datasets: DatasetStore, file: str, lost: bool
    ) -> None:
        log.append_batch([episode(1)], [signal(1)])
        version = datasets.extract(extraction())
        path = version.root / file
        content = path.read_bytes()
        middle = len(content) // 2
        changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        self.damage(version, file, None if lost else changed)
        with pytest.raises(ShouldRestoreArtefact, match=file):
            datasets.open(version.manifest.dataset_id)
        assert datasets.extract(extraction()) == version
        assert path.read_bytes() == content

    @pytest.mark.parametrize(
        "change",
        [
            {"logical_date": "2026-03-09"},
            {"tenant": "other"},
            {"exclusions": {"open_episodes": 1}},
            {"dataset_id": "0" * 64},
            {"files": []},
            {"files": [{"name": "episodes.parquet", "rows": 2}]},
        ],
        ids=str,
    )
    def test_a_manifest_of_another_story_is_refused(
        self, log: EventLog, datasets: DatasetStore, change: dict[str, Any]
    ) -> None:
        log.append_episodes([episode(1)])
        version = datasets.extract(extraction())
        told = json.loads((version.root / "manifest.json").read_text())
        if change.get("files"):
            change = {"files": [told["files"][0] | change["files"][0], told["files"][1]]}
        self.tell(version, told | change)
        with pytest.raises(ShouldRestoreArtefact, match=r"manifest\.json"):
            datasets.open(version.manifest.dataset_id)

    @pytest.mark.parametrize("dataset_id", ["", "../..", "0" * 64, "G" * 64])
    def test_an_unknown_version_is_named(self, datasets: DatasetStore, dataset_id: str) -> None:
        with pytest.raises(ShouldRestoreArtefact):
            datasets.open(dataset_id)

    def test_a_day_that_has_not_begun_is_refused(
        self, datasets: DatasetStore, clock: SetClock
    ) -> None:
        clock.moment = MIDNIGHT - timedelta(days=1, seconds=1)
        with pytest.raises(ShouldFixArgument, match="2026-03-10") as refused:
            datasets.extract(extraction())
        assert "23:59:59" in refused.value.message
        clock.moment += timedelta(seconds=1)
        assert datasets.extract(extraction()).manifest.episodes == 0

    def test_a_day_that_is_not_over_is_cut_off_when_it_is_pinned(
        self, log: EventLog, datasets: DatasetStore, clock: SetClock
    ) -> None:
        instant = timedelta(microseconds=1)
        clock.moment = now = NOON + timedelta(hours=1, microseconds=250)
        passed = now - timedelta(seconds=1800)
        log.append_batch(
            [
                episode(1, at=passed),
                episode(2, at=passed + instant),
                episode(3, at=now - instant),
                episode(4, at=now),
                episode(5, at=NOON - timedelta(days=2)),
                episode(6, at=NOON - timedelta(days=3)),
            ],
            [signal(1, of=1, latency=1800), signal(2, of=1, latency=1801)],
        )
        wanted = extraction(spec=loop_spec(closes_after=1800))
        early = datasets.extract(wanted)
        assert numbers(early) == [5, 1]
        assert signal_numbers(early) == {1}
        assert early.manifest.exclusions == Exclusions(late_signals=1, open_episodes=2)
        assert early.manifest.episodes_per_day == {
            "2026-03-08": 1,
            "2026-03-09": 0,
            "2026-03-10": 3,
        }
        assert early.manifest.cutoff == early.manifest.known_until == now
        clock.moment = MIDNIGHT
        assert datasets.extract(wanted) == early
        late = datasets.extract(dataclasses.replace(wanted, refresh=True))
        assert numbers(late) == [5, 1, 2, 3, 4]
        assert (late.manifest.cutoff, late.manifest.known_until) == (None, MIDNIGHT)
        assert datasets.extract(wanted) == late
        assert datasets.open(early.manifest.dataset_id) == early

    def test_the_same_rows_cut_off_at_another_moment_are_another_version(
        self, log: EventLog, datasets: DatasetStore, clock: SetClock
    ) -> None:
        clock.moment = NOON
        one = datasets.extract(extraction(refresh=True)).manifest
        clock.moment = NOON + timedelta(microseconds=1)
        two = datasets.extract(extraction(refresh=True)).manifest
        assert one.dataset_id != two.dataset_id
        assert datasets.extract(extraction()).manifest == two

    def test_a_window_of_no_days_is_refused(self, datasets: DatasetStore) -> None:
        with pytest.raises(ShouldFixArgument, match="window_days=0"):
            datasets.extract(extraction(window_days=0))

    def test_a_propensity_that_is_logged_late_in_the_log_is_not_lost(
        self, log: EventLog, datasets: DatasetStore
    ) -> None:
        """A column's type must not be taken from its first rows."""
        count = 20_000
        log.append_episodes(
            [
                episode(n, at=NOON + timedelta(seconds=n // 10), propensity=None)
                for n in range(count)
            ]
            + [episode(count, at=NOON + timedelta(hours=2), propensity=0.125)]
        )
        propensity = pq.read_table(datasets.extract(extraction()).episodes_path)["propensity"]
        assert propensity.null_count == count
        assert propensity[-1].as_py() == 0.125

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,
        ],
    )
    @given(st.data())
    def test_extraction_equals_the_rules_applied_one_by_one(
        self, log: EventLog, datasets: DatasetStore, clock: SetClock, data: st.DataObject
    ) -> None:
        clock.moment = SetClock().moment
        tenant = uuid.uuid4().hex
        logged = data.draw(logs(tenant))
        half = len(logged.signals) // 2
        log.append_batch(logged.episodes, logged.signals[:half])
        log.append_signals(logged.signals[half:])
        for consent in logged.consents:
            log.record_consent(consent)
        for one in logged.disputes:
            log.record_dispute(one)
        wanted = extraction(
            window_days=data.draw(st.integers(1, 3)),
            spec=loop_spec(data.draw(st.sampled_from([0, 3600, 40 * 3600]))),
            tenant=tenant,
        )
        hours = st.sampled_from([720, 0, -0.5, -1, -24])
        clock.moment = MIDNIGHT + timedelta(hours=data.draw(hours), microseconds=250)
        expected = extract(logged, wanted, clock.moment)
        version = datasets.extract(wanted)
        assert [
            (row["episode_id"], row["person"], row["timestamp"], row["propensity"], row["closed"])
            for row in episode_rows(version)
        ] == [
            (e.episode_id, e.user_id, e.timestamp, e.propensity, expected.closed[e.episode_id])
            for e in expected.episodes
        ]
        assert [
            (row["signal_id"], row["episode_id"], row["signal_type"], row["value"], row["latency"])
            for row in signal_rows(version)
        ] == [
            (s.signal_id, s.episode_id, s.signal_type, s.value, s.latency) for s in expected.signals
        ]
        assert version.manifest.exclusions == expected.exclusions
        assert dict(version.manifest.episodes_per_day) == expected.per_day


@st.composite
def logs(draw: st.DrawFn, tenant: str) -> Logged:
    """Small logs around the cut-off, with ties at every boundary that a rule has."""
    people = ["a" * 64, "b" * 64, "c" * 64]
    offsets = st.sampled_from([-96, -72, -48, -47, -25, -24, -2, -1, -0.5, 0, 1])
    moments = st.sampled_from([NOON - timedelta(days=1), NOON, NOON + timedelta(days=1)])
    logged = Logged()
    for number in range(draw(st.integers(0, 6))):
        logged.episodes.append(
            episode(
                number,
                at=MIDNIGHT + timedelta(hours=draw(offsets), microseconds=draw(st.integers(-1, 1))),
                user_id=draw(st.sampled_from(people)),
                loop=draw(st.sampled_from(["walk", "walk", "walk", "run"])),
                propensity=draw(st.sampled_from([None, 0.5, 1.0])),
                tenant=tenant,
            )
        )
    latencies = st.sampled_from([0, 1799, 1800, 1801, 3600, 3601, 86400, 40 * 3600 + 1])
    for number in range(draw(st.integers(0, 12)) if logged.episodes else 0):
        logged.signals.append(
            signal(
                number,
                of=draw(st.integers(0, len(logged.episodes) - 1)),
                signal_type=draw(st.sampled_from([*TYPES, *TYPES, "undeclared"])),
                value=draw(st.sampled_from([-1.0, 0.0, 1 / 3])),
                latency=draw(latencies),
                tenant=tenant,
            )
        )
    for _ in range(draw(st.integers(0, 4))):
        consent = Consent(
            draw(st.sampled_from(people)),
            draw(st.sampled_from(["train", "train", "serve"])),
            draw(st.booleans()),
            draw(moments),
            tenant,
        )
        if consent not in logged.consents:
            logged.consents.append(consent)
    for _ in range(draw(st.integers(0, 4)) if logged.signals else 0):
        one = Dispute(
            draw(st.sampled_from(logged.signals)).signal_id,
            "not me",
            draw(moments),
            draw(st.sampled_from(["open", "upheld", "rejected"])),
            tenant,
        )
        if one not in logged.disputes:
            logged.disputes.append(one)
    return logged


class LocalDatasetStoreSuite(DatasetStoreSuite, SqlSuite):
    def opener(self, folder: Path) -> Opener:
        engines = self.engines(folder)

        def open_both(clock: Clock) -> tuple[EventLog, DatasetStore]:
            engine = engines()
            return SqlEventLog(engine, clock), LocalDatasetStore(engine, folder / "datasets", clock)

        return open_both


class TestLocalDatasetStore(OnSqlite, LocalDatasetStoreSuite):
    pass


class TestLocalDatasetStoreOnPostgresql(OnPostgresql, LocalDatasetStoreSuite):
    pass


class GcsDatasetStoreSuite(DatasetStoreSuite, SqlSuite):
    """Copies of the workspace are taken away wherever the bucket is damaged: a whole copy serves on."""

    @pytest.fixture(autouse=True)
    def take_bucket(self, bucket: Bucket, gcs_client: Any) -> None:
        self.place, self.client = bucket, gcs_client

    def opener(self, folder: Path) -> Opener:
        from everloop.storage.gcp.datasets import GcsDatasetStore
        from everloop.storage.gcp.objects import Objects
        from everloop.storage.gcp.versions import BucketVersions

        engines = self.engines(folder)
        objects = Objects(self.place, self.client)

        def open_both(clock: Clock) -> tuple[EventLog, DatasetStore]:
            engine = engines()
            store = GcsDatasetStore(engine, BucketVersions(objects), folder / "cache", clock)
            return SqlEventLog(engine, clock), store

        return open_both

    def damage(self, version: DatasetVersion, file: str, content: bytes | None) -> None:
        shutil.rmtree(version.root)
        blob = self.blob(version, file)
        if content is None:
            blob.delete()
        elif file == "manifest.json":
            told = json.loads(blob.download_as_bytes())
            whole = json.dumps(told | {"manifest": "?"}).encode()
            blob.upload_from_string(whole.replace(b'"?"', content))
        else:
            blob.upload_from_string(content)

    def blob(self, version: DatasetVersion, file: str) -> Any:
        bucket = self.client.bucket(self.place.name)
        prefix = f"{self.place.prefix}/datasets/{version.manifest.dataset_id}/"
        (found,) = (b for b in bucket.list_blobs(prefix=prefix) if b.name.endswith(f"/{file}"))
        return bucket.blob(found.name)

    def test_another_workspace_reads_what_one_made(
        self, log: EventLog, datasets: DatasetStore, tmp_path: Path, clock: SetClock
    ) -> None:
        log.append_batch([episode(1)], [signal(1)])
        made = datasets.extract(extraction())
        shutil.rmtree(tmp_path / "cache")
        read = datasets.open(made.manifest.dataset_id)
        assert read == made
        assert [sha256_of(read.root / file.name) for file in read.manifest.files] == [
            file.sha256 for file in made.manifest.files
        ]

    def test_a_damaged_copy_is_read_anew(self, log: EventLog, datasets: DatasetStore) -> None:
        log.append_batch([episode(1)], [signal(1)])
        made = datasets.extract(extraction())
        made.episodes_path.write_bytes(b"torn")
        assert datasets.open(made.manifest.dataset_id) == made
        assert sha256_of(made.episodes_path) in {file.sha256 for file in made.manifest.files}


@pytest.mark.gcp
class TestGcsDatasetStore(OnSqlite, GcsDatasetStoreSuite):
    pass


@pytest.mark.gcp
class TestGcsDatasetStoreOnPostgresql(OnPostgresql, GcsDatasetStoreSuite):
    pass
