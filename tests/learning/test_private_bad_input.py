"""Bad input at every private release, on a real ledger: a named refusal or the stored answer, and no
spend; or, where the input is merely odd, exactly one."""

from __future__ import annotations

import dataclasses
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from bench.audit_releases import KnownModel
from everloop.contracts.datasets import EncodedEpisodes
from everloop.contracts.errors import (
    ShouldCollectMoreData,
    ShouldFixArgument,
    ShouldFixInput,
    ShouldRepairLedger,
    ShouldWaitForBudget,
)
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.privacy import LedgerRow, ReleaseNote, ReleaseStatus
from everloop.contracts.simulation import ProfileBatch
from everloop.privacy.ledger import Ledger
from everloop.storage.local.blobs import LocalBlobStore
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.ledger_store import SqlLedgerStore
from synthetic.profiles import release_profiles
from synthetic.quality.published import release_quality
from synthetic.user_model import release_user_model
from synthetic.user_model.weights import Weights
from tests.unit.synthetic.world import LAYOUT, SPEC, make

DAY = date(2026, 3, 1)
MODEL = KnownModel(LAYOUT.width, len(SPEC.actions))
SHOWN = ProfileBatch(
    context=make(30, seed=5).context,
    mask=np.ones((120, len(SPEC.actions)), dtype=np.bool_),
    weight=np.ones(120),
    encoder=LAYOUT.encoder,
    release_id="known",
)
"""What quality is asked about: a model and people that everybody knows."""


@dataclass
class MovingClock:
    """Tells what it is set to."""

    time: datetime = datetime(2026, 3, 1, 2, tzinfo=UTC)

    def now(self) -> datetime:
        return self.time


class Nights:
    """A ledger and blobs on disk, and nights of one stage on them."""

    def __init__(self, folder: Path, stage: str) -> None:
        self.folder, self.stage, self.clock = folder, stage, MovingClock()
        self.database = folder / "state.db"
        self.store = SqlLedgerStore(open_workspace_database(self.database))
        self.ledger = Ledger(self.store, bytes(32), self.clock)

    def run(
        self,
        episodes: EncodedEpisodes,
        days: int = 0,
        spec: LoopSpec = SPEC,
        dataset: str = "d" * 64,
        out: str = "out",
    ) -> tuple[Path, ReleaseNote]:
        where = (
            self.ledger,
            LocalBlobStore(self.folder / "blobs"),
            DAY + timedelta(days=days),
            dataset,
            "small/default",
            self.folder / out,
        )
        if self.stage == "user_model":
            return release_user_model(spec, episodes, *where)
        if self.stage == "quality":
            held_out = dataclasses.replace(episodes, holdout=np.ones_like(episodes.holdout))
            return release_quality(spec, LAYOUT, MODEL, SHOWN, held_out, *where)
        path, note = release_profiles(spec, LAYOUT, episodes, *where)
        return path.parent / "profiles.safetensors", note

    def rows(self) -> tuple[LedgerRow, ...]:
        return self.ledger.history()

    def spent(self) -> dict[str, float]:
        with self.store.transaction() as ledger:
            return dict(ledger.spent(ledger.people(), date.min, date.max)[1])

    def paid_once(self) -> None:
        """One release, reserved and spent, charged alike to each of its people; and it all verifies."""
        reserved, done = self.rows()
        assert (reserved.status, done.status) == (ReleaseStatus.RESERVED, ReleaseStatus.SPENT)
        assert self.ledger.verify() == 2
        assert self.spent() == dict.fromkeys(self.spent(), pytest.approx(done.mu_squared))
        assert len(self.spent()) == done.people


@pytest.fixture(params=["user_model", "profiles", "quality"])
def nights(request: pytest.FixtureRequest, tmp_path: Path) -> Nights:
    return Nights(tmp_path, str(request.param))


def with_privacy(**privacy: object) -> LoopSpec:
    changed = SPEC.model_dump()
    changed["privacy"] |= privacy
    return LoopSpec.model_validate(changed)


def finite(path: Path) -> bool:
    return all(np.isfinite(tensor).all() for tensor in load_file(path).values())


def crowd_and_one(rows_of_one: int) -> EncodedEpisodes:
    """60 people, of whom the first has so many episodes, all within a day."""
    crowd = make(60)
    copies = np.concatenate([np.zeros(rows_of_one - 4, dtype=np.int64), np.arange(len(crowd))])
    many = {
        field.name: getattr(crowd, field.name)[copies]
        for field in dataclasses.fields(crowd)
        if field.name not in ("people", "interacting", "encoder", "slate")
    }
    many["timestamp"] = 86_400.0 * np.arange(len(copies)) / len(copies)
    return dataclasses.replace(crowd, **many)


def test_ten_thousand_episodes_in_a_day_cost_and_count_as_one_person(nights: Nights) -> None:
    path, note = nights.run(crowd_and_one(10_000))
    assert note.people == 60
    assert finite(path)
    nights.paid_once()


def test_what_the_busiest_person_moves_is_what_anybody_may(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("everloop.privacy.ledger.secrets.token_bytes", bytes)
    spec, found = with_privacy(steps=1), []
    crowd = crowd_and_one(10_000)
    for index, episodes in enumerate((crowd, crowd.where(crowd.person != 0))):
        nights = Nights(tmp_path / str(index), "user_model")
        found.append(load_file(nights.run(episodes, spec=spec)[0]))
    names = [field.name for field in dataclasses.fields(Weights)]
    moved = np.sqrt(sum(float(((found[0][n] - found[1][n]) ** 2).sum()) for n in names))
    privacy = spec.privacy
    assert moved <= privacy.learning_rate * privacy.clip / privacy.people_expected * (1 + 1e-9)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1.5])
def test_features_that_are_no_numbers_are_refused_by_name(nights: Nights, wrong: float) -> None:
    episodes = make(60)
    episodes.context[7, 2] = wrong
    with pytest.raises((ShouldFixInput, ShouldFixArgument), match=r"NaN"):
        nights.run(episodes)
    assert nights.rows() == ()
    assert nights.spent() == {}


def test_a_signal_that_is_infinite_is_refused_by_name(nights: Nights) -> None:
    episodes = make(60)
    episodes.signals[7, 0] = np.inf
    with pytest.raises(ShouldFixInput, match="Episode e7"):
        nights.run(episodes)
    assert nights.rows() == ()


def test_a_population_of_three_is_told_to_grow(nights: Nights) -> None:
    with pytest.raises(ShouldCollectMoreData, match="3 people have episodes"):
        nights.run(make(3))
    assert nights.rows() == ()
    assert nights.spent() == {}


def test_a_population_that_shrank_to_three_keeps_its_last_release(nights: Nights) -> None:
    before, _ = nights.run(make(60), out="before")
    after, note = nights.run(make(3), days=100, out="after")
    assert "3 people" in note.reused
    assert after.read_bytes() == before.read_bytes()
    nights.paid_once()


def test_identical_people_are_a_release_like_any_other(nights: Nights) -> None:
    crowd = make(60)
    first = np.zeros(len(crowd), dtype=np.int64)
    same = {
        field.name: getattr(crowd, field.name)[first]
        for field in dataclasses.fields(crowd)
        if field.name not in ("people", "person", "interacting", "encoder", "episode_id", "slate")
    }
    path, note = nights.run(dataclasses.replace(crowd, **same))
    assert note.people == 60
    assert finite(path)
    nights.paid_once()


def test_a_clock_that_goes_backwards_gets_the_stored_answer(nights: Nights) -> None:
    """The date comes again with an earlier time: the same bytes, and nobody pays twice."""
    episodes = make(60)
    first, _ = nights.run(episodes, out="first")
    nights.clock.time -= timedelta(days=400)
    again, note = nights.run(episodes, out="again")
    assert note.released
    assert again.read_bytes() == first.read_bytes()
    nights.paid_once()


def test_going_back_to_an_earlier_date_is_charged_to_every_period_it_lies_in(
    nights: Nights,
) -> None:
    """A date before the first release is a release of its own, within the same budget."""
    spec = with_privacy(first_fit_share=0.9, user_model_share=0.5, profiles_share=0.4)
    nights.run(make(60), spec=spec)
    nights.clock.time -= timedelta(days=30)
    budget = nights.ledger.status(spec, DAY).mu_squared_budget
    for days in (-20, -10, -5):
        try:
            nights.run(make(60), days=days, spec=spec)
        except ShouldWaitForBudget as refused:
            assert "people can afford" in str(refused)  # noqa: PT017
    assert max(nights.spent().values()) <= budget
    nights.ledger.verify()


def test_a_changed_clip_gets_the_stored_release_and_the_reason(nights: Nights) -> None:
    episodes = make(60)
    first, _ = nights.run(episodes, out="first")
    again, note = nights.run(episodes, spec=with_privacy(clip=0.1), out="again")
    assert "was paid for with configuration" in note.reused
    assert again.read_bytes() == first.read_bytes()
    nights.paid_once()


def test_other_data_under_the_same_date_gets_the_stored_release(nights: Nights) -> None:
    first, _ = nights.run(make(60), out="first")
    again, note = nights.run(make(60, seed=2), dataset="e" * 64, out="again")
    assert note.reused
    assert again.read_bytes() == first.read_bytes()
    nights.paid_once()


@pytest.mark.parametrize(
    "edit",
    [
        "UPDATE privacy_ledger SET mu_squared = mu_squared / 100",
        "UPDATE privacy_ledger SET people = people - 1 WHERE sequence = 2",
        "UPDATE privacy_ledger SET logical_date = '2020-01-01' WHERE sequence = 1",
        "DELETE FROM privacy_ledger WHERE sequence = 2",
    ],
)
def test_a_hand_edited_row_stops_every_release(nights: Nights, edit: str) -> None:
    nights.run(make(60))
    with sqlite3.connect(nights.database) as database:
        kept_out = database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")
        for (trigger,) in kept_out.fetchall():
            database.execute(f"DROP TRIGGER {trigger}")
        database.execute(edit)
    before = nights.spent()
    with pytest.raises(ShouldRepairLedger):
        nights.run(make(60), days=100)
    with pytest.raises(ShouldRepairLedger):
        nights.ledger.verify()
    assert nights.spent() == before


def test_two_runs_of_the_same_night_at_once_are_one_release(nights: Nights) -> None:
    episodes = make(60)
    outcomes = [_forked(lambda name=name: _run_apart(nights, episodes, name)) for name in "ab"]
    assert [_end(pid) for pid in outcomes] == [0, 0]
    files = [nights.folder / name / f"{nights.stage}.safetensors" for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()
    nights.paid_once()


def _run_apart(nights: Nights, episodes: EncodedEpisodes, out: str) -> None:
    Nights(nights.folder, nights.stage).run(episodes, out=out)


def _forked(work: Callable[[], None]) -> int:
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return pid


def _end(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
