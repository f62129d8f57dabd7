"""Strange episodes teach nothing until a person has released them."""

from __future__ import annotations

import dataclasses
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from everloop.contracts.datasets import REVIEWS_FILE, DatasetVersion, FileEntry
from everloop.contracts.documents import sha256_of
from everloop.contracts.errors import ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.figures import RewardFigures
from everloop.contracts.oversight import ReviewKind, ReviewState
from everloop.loops import load
from everloop.rewards.holding import Holding, holding, reviews_of
from everloop.rewards.runner import aggregate, aggregate_and_flag
from everloop.rewards.suspicion import Suspicion
from everloop.rewards.table import write_rewards
from tests.made_datasets import Evidence, Row, episode_id, write_dataset

SPEC = load("companion")
ANOMALY, OUTLIER = ReviewKind.ANOMALY, ReviewKind.OUTLIER_ACTION
OPEN, RELEASED, REJECTED = ReviewState.OPEN, ReviewState.RELEASED, ReviewState.REJECTED
WATCHED = next(a.id for a in SPEC.actions if a.kind.value == "intervention")
NOON = datetime(2024, 5, 10, 12, tzinfo=UTC)


def suspicion(number: int, kind: ReviewKind = ANOMALY) -> Suspicion:
    return Suspicion(episode_id(number), kind, "strange", 6.0)


def ids(*numbers: int) -> frozenset[str]:
    return frozenset(map(episode_id, numbers))


def test_who_is_held_by_hand() -> None:
    reviews = {
        (episode_id(1), ANOMALY): OPEN,
        (episode_id(2), ANOMALY): RELEASED,
        (episode_id(3), ANOMALY): REJECTED,
        (episode_id(4), ANOMALY): RELEASED,
        (episode_id(4), OUTLIER): REJECTED,
        (episode_id(5), ANOMALY): RELEASED,
        (episode_id(5), OUTLIER): OPEN,
    }
    found = (suspicion(2), suspicion(3), suspicion(6))
    assert holding(found, reviews) == Holding(
        found=found,
        unreviewed=(suspicion(6),),
        held=ids(1, 3, 4, 5, 6),
        rejected=ids(3, 4),
        released=ids(2),
    )


def test_who_was_released_stays_released_when_found_again_but_not_for_another_reason() -> None:
    released = {(episode_id(1), ANOMALY): RELEASED}
    assert holding([suspicion(1)], released).held == frozenset()
    again = holding([suspicion(1), suspicion(1, OUTLIER)], released)
    assert (again.held, again.released) == (ids(1), frozenset())
    assert again.unreviewed == (suspicion(1, OUTLIER),)


def test_nothing_strange_holds_nobody() -> None:
    assert holding((), {}) == Holding()


def reviewed(version: DatasetVersion, said: dict[tuple[int, ReviewKind], Any]) -> DatasetVersion:
    """The version with a list of reviews."""
    rows = [
        {"episode_id": episode_id(number), "kind": str(kind), "state": str(state)}
        for (number, kind), state in said.items()
    ]
    schema = pa.schema([(name, pa.string()) for name in ("episode_id", "kind", "state")])
    path = version.root / REVIEWS_FILE
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    entry = FileEntry(REVIEWS_FILE, sha256_of(path), len(rows), path.stat().st_size)
    files = (*(f for f in version.manifest.files if f.name != REVIEWS_FILE), entry)
    object.__setattr__(version.manifest, "files", files)
    return version


@pytest.fixture
def version(tmp_path: Path) -> DatasetVersion:
    """Forty episodes whose two signals hardly differ, one (7) whose signals contradict each other, and
    one person with twelve interventions (50 to 61)."""
    rows = [Row(n, f"p{n}", NOON + timedelta(seconds=n)) for n in range(40)]
    rows += [Row(50 + n, "bot", NOON + timedelta(seconds=n), WATCHED) for n in range(12)]
    signals = []
    for n in range(40):
        apart = 0.8 if n == 7 else 0.1 + n / 1000
        signals += [Evidence(n, "engagement", 0.8), Evidence(n, "engagement", 0.8 - apart)]
    return write_dataset(tmp_path / "d", rows, signals, window_days=1)


def table(path: Path) -> dict[str, dict[str, Any]]:
    return {row["episode_id"]: row for row in pq.read_table(path).to_pylist()}


def test_what_is_found_is_held_from_the_run_that_finds_it(
    version: DatasetVersion, tmp_path: Path
) -> None:
    raw = table(write_rewards(SPEC, version, tmp_path / "raw.parquet"))
    assert not any(row["held"] for row in raw.values())
    figures, found = aggregate_and_flag(SPEC, version, tmp_path / "r.parquet")
    assert {(one.episode_id, one.kind) for one in found} == {
        (episode_id(7), ANOMALY),
        *((episode_id(50 + n), OUTLIER) for n in range(12)),
    }
    rows = table(tmp_path / "r.parquet")
    assert list(rows) == list(raw)
    held = {ident for ident, row in rows.items() if row["held"]}
    assert held == {one.episode_id for one in found}
    for ident, row in rows.items():
        before = raw[ident]
        if ident not in held:
            assert row == before
            continue
        emptied = {name for name in row if name in {"reward", "outcome"} or name[:5] == "mean_"}
        assert {row[name] for name in emptied} == {None}
        kept = set(row) - emptied - {"held"}
        assert {n: row[n] for n in kept} == {n: before[n] for n in kept}
    assert figures.held == 13
    assert (figures.rejected, figures.released) == (0, 0)
    assert (figures.anomalies, figures.outliers) == (1, 12)
    assert figures.rewarded == sum(row["reward"] is not None for row in rows.values())


def test_the_reason_names_the_numbers(version: DatasetVersion, tmp_path: Path) -> None:
    _, found = aggregate_and_flag(SPEC, version, tmp_path / "r.parquet")
    (one,) = (s for s in found if s.kind is ANOMALY)
    # two values 0.8 apart have variance 0.8^2 / 2 = 0.32; 39 others of (0.1 + n / 1000)^2 / 2
    logs = sorted(math.log((0.1 + n / 1000) ** 2 / 2) for n in range(40) if n != 7)
    logs.append(math.log(0.32))
    middle = (logs[19] + logs[20]) / 2
    mad = sorted(abs(x - middle) for x in logs)
    z = (math.log(0.32) - middle) / (1.4826 * (mad[19] + mad[20]) / 2)
    assert one.score == pytest.approx(z)
    assert one.reason == (
        f"Its 2 signals contradict each other: variance 0.32, where the median of 40 episodes is "
        f"{math.exp(middle):.3g} (robust z {z:.1f} of its logarithm, limit 5)."
    )


def test_figures_leave_held_evidence_out_but_the_share_of_anomalies(
    version: DatasetVersion, tmp_path: Path
) -> None:
    figures = aggregate(SPEC, version, tmp_path / "r.parquet")
    rewards = [row["reward"] for row in table(tmp_path / "r.parquet").values()]
    rewarded = [reward for reward in rewards if reward is not None]
    assert figures.mean.value == pytest.approx(sum(rewarded) / len(rewarded))
    assert figures.mean.n == len(rewarded) == figures.rewarded
    assert figures.anomaly_share == pytest.approx(1 / (len(rewarded) + 13))
    engagement = figures.by_signal[0]
    assert (engagement.observed, engagement.share) == (39, pytest.approx(39 / 39))
    assert sum(figures.histogram_counts) == len(rewarded)


def test_what_people_said_decides(version: DatasetVersion, tmp_path: Path) -> None:
    said: dict[tuple[int, ReviewKind], Any] = {
        (7, ANOMALY): RELEASED,
        (50, OUTLIER): RELEASED,
        (51, OUTLIER): REJECTED,
        (52, OUTLIER): OPEN,
        (3, ANOMALY): OPEN,  # an earlier run found it, this one doesn't
        (4, OUTLIER): REJECTED,
        (5, ANOMALY): RELEASED,
    }
    version = reviewed(version, said)
    figures, found = aggregate_and_flag(SPEC, version, tmp_path / "r.parquet")
    assert {one.episode_id for one in found} == ids(*range(53, 62))
    held = {ident for ident, row in table(tmp_path / "r.parquet").items() if row["held"]}
    assert held == ids(51, 52, 3, 4, *range(53, 62))
    assert (figures.held, figures.rejected, figures.released) == (13, 2, 3)
    assert (figures.anomalies, figures.outliers) == (1, 12)


def test_the_same_version_gives_the_same_bytes(version: DatasetVersion, tmp_path: Path) -> None:
    version = reviewed(version, {(51, OUTLIER): REJECTED})
    first = aggregate_and_flag(SPEC, version, tmp_path / "one.parquet")
    second = aggregate_and_flag(SPEC, version, tmp_path / "two.parquet")
    assert first == second
    assert (tmp_path / "one.parquet").read_bytes() == (tmp_path / "two.parquet").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["d", "one.parquet", "two.parquet"]


def test_more_held_episodes_than_fit_a_batch_keep_the_order(tmp_path: Path) -> None:
    rows = [Row(n, f"p{n}", NOON + timedelta(milliseconds=7 * n)) for n in range(5000)]
    version = write_dataset(tmp_path / "d", rows, window_days=1)
    version = reviewed(version, {(n, ANOMALY): OPEN for n in range(0, 5000, 2)})
    figures = aggregate(SPEC, version, tmp_path / "r.parquet")
    assert figures.held == 2500
    found = pq.read_table(tmp_path / "r.parquet").to_pylist()
    assert [row["episode_id"] for row in found] == [episode_id(n) for n in range(5000)]
    assert [row["held"] for row in found] == [n % 2 == 0 for n in range(5000)]


@pytest.mark.parametrize("wrong", [{"state": "perhaps"}, {"kind": "mood"}])
def test_reviews_that_nobody_can_have_written_are_refused(
    version: DatasetVersion, wrong: dict[str, str]
) -> None:
    version = reviewed(version, {(1, ANOMALY): OPEN})
    path = version.reviews_path
    assert path is not None
    rows = [row | wrong for row in pq.read_table(path).to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows), path)
    with pytest.raises(ShouldRestoreArtefact, match=REVIEWS_FILE):
        reviews_of(version)
    path.write_bytes(b"nothing")
    with pytest.raises(ShouldRestoreArtefact, match=REVIEWS_FILE):
        reviews_of(version)
    path.unlink()
    with pytest.raises(ShouldRestoreArtefact, match=REVIEWS_FILE):
        reviews_of(version)


@pytest.mark.parametrize(
    "wrong", [{"held": -1}, {"held": 2, "rewarded": 9}, {"held": 1, "rejected": 2}]
)
def test_figures_that_contradict_themselves_are_refused(
    version: DatasetVersion, tmp_path: Path, wrong: dict[str, int]
) -> None:
    figures = aggregate(SPEC, version, tmp_path / "r.parquet")
    good = {"episodes": 10, "rewarded": 8, "held": 2, "rejected": 2}
    assert isinstance(dataclasses.replace(figures, **good), RewardFigures)
    with pytest.raises(ShouldFixArgument, match="held"):
        dataclasses.replace(figures, **(good | wrong))


def test_for_a_comparison_only_what_was_rejected_loses_its_evidence(
    version: DatasetVersion, tmp_path: Path
) -> None:
    raw = table(write_rewards(SPEC, version, tmp_path / "raw.parquet"))
    version = reviewed(
        version, {(7, ANOMALY): OPEN, (3, ANOMALY): REJECTED, (4, ANOMALY): RELEASED}
    )
    figures, found = aggregate_and_flag(SPEC, version, tmp_path / "r.parquet", measuring=True)
    assert {one.episode_id for one in found} == ids(*range(50, 62)), "it is put before people too"
    rows = table(tmp_path / "r.parquet")
    assert list(rows) == list(raw)
    assert {ident for ident, row in rows.items() if row["held"]} == ids(3, 7, *range(50, 62))
    kept = {ident: row | {"held": False} for ident, row in rows.items() if ident not in ids(3)}
    assert kept == {ident: raw[ident] for ident in kept}
    assert raw[episode_id(7)]["reward"] is not None
    rejected = rows[episode_id(3)]
    emptied = {name for name in rejected if name in {"reward", "outcome"} or name[:5] == "mean_"}
    assert {rejected[name] for name in emptied} == {None}
    assert (figures.held, figures.rejected, figures.released) == (1, 1, 1)
    assert figures.rewarded == sum(row["reward"] is not None for row in rows.values())
