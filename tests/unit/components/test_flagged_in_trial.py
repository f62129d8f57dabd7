"""What is flagged stays in a trial: a candidate that overdoes it must not lose the proof of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components import _trial
from components._trial import LOOKS, TRIAL, marks_of, measure
from components._watching import measured_rows
from everloop.contracts.datasets import REVIEWS_FILE, DatasetVersion, FileEntry
from everloop.contracts.documents import read, sha256_of, write
from everloop.contracts.encoded_file import load_encoded, save_encoded
from everloop.contracts.oversight import ReviewKind, ReviewState
from everloop.contracts.rollouts import ExperimentFigures, RolloutRecord, Stay
from everloop.contracts.watching import Look
from everloop.loops import load
from everloop.rewards.runner import aggregate_and_flag
from everloop.rollout.assignment import arm_of
from everloop.rollout.experiment.analyse import analyse
from rl.encoders import encode
from tests.made_datasets import Evidence, Row, episode_id, write_dataset

SPEC = load("companion")
WATCHED = next(a.id for a in SPEC.actions if a.kind.value == "intervention")
NOON = datetime(2024, 5, 10, 12, tzinfo=UTC)
BEGUN = NOON - timedelta(hours=6)
PEOPLE, BUSY = 160, 12
"""Everybody has one quiet decision; the candidate's people get an unwelcome dozen on top."""
RECORD = RolloutRecord(
    rollout_id="trial",
    loop=SPEC.name,
    candidate="new",
    active="old",
    state="started",
    traffic_percent=5.0,
    reasons=("It may.",),
    recorded_at=BEGUN,
    history=(Stay("started", 5.0, BEGUN),),
)
ARMS = {n: arm_of(hashlib.sha256(f"p{n}".encode()).hexdigest(), RECORD, 5.0) for n in range(PEOPLE)}
CANDIDATES = [n for n, arm in ARMS.items() if arm == "candidate"]
Measured = Callable[..., tuple[ExperimentFigures, DatasetVersion]]


def decision(number: int, person: int, moment: datetime, action: str = "no_action") -> Row:
    allowed = ["no_action", WATCHED]
    return Row(number, f"p{person}", moment, action, valid_actions=allowed, arm=ARMS[person])


def decided() -> tuple[list[Row], list[Evidence]]:
    rows = [decision(n, n, NOON + timedelta(seconds=n)) for n in range(PEOPLE)]
    signals = [Evidence(n, "engagement", 0.9) for n in range(PEOPLE)]
    for n in CANDIDATES:
        for k in range(BUSY):
            number = 1000 + n * BUSY + k
            moment = NOON + timedelta(seconds=100 + k)
            rows.append(decision(number, n, moment, WATCHED))
            signals.append(Evidence(number, "engagement", 0.1))
    return rows, signals


def dozen(of: int) -> list[int]:
    return [1000 + of * BUSY + k for k in range(BUSY)]


@pytest.fixture
def measured(tmp_path: Path) -> Measured:
    """The watch's steps from a dataset to the figures, with what people had said of its episodes."""

    def run(
        said: dict[int, ReviewState] | None = None, days: int = 0
    ) -> tuple[ExperimentFigures, DatasetVersion]:
        version = write_dataset(tmp_path / "d", *decided(), window_days=1)
        object.__setattr__(version.manifest, "loop", SPEC.name)
        object.__setattr__(version.manifest, "logical_date", NOON.date() + timedelta(days=days))
        if said:
            reviewed(version, said)
        place, table = tmp_path / "rewards", tmp_path / "rewards" / "rewards.parquet"
        place.mkdir(exist_ok=True)
        aggregate_and_flag(SPEC, version, table, measuring=True)
        save_encoded(encode(SPEC, version, table, with_held=True), tmp_path / "episodes")
        write(version.manifest, tmp_path / "manifest.json")
        workspace: Any = SimpleNamespace(
            deployments=SimpleNamespace(head=lambda *_: SimpleNamespace(trial=RECORD)),
            datasets=SimpleNamespace(open=lambda _: version),
        )
        artefacts = tuple(
            SimpleNamespace(path=str(tmp_path / name))
            for name in ("manifest.json", "rewards", "episodes")
        )
        now = NOON + timedelta(days=days, hours=6)
        record, figures = measure(SPEC, workspace, "default", artefacts, now, tmp_path / "out")
        assert record == RECORD
        assert (tmp_path / "out" / TRIAL).exists()
        assert figures is not None
        return figures, version

    return run


def reviewed(version: DatasetVersion, said: dict[int, ReviewState]) -> None:
    kind = ReviewKind.OUTLIER_ACTION.value
    rows = [
        {"episode_id": episode_id(number), "kind": kind, "state": state.value}
        for number, state in said.items()
    ]
    path = version.root / REVIEWS_FILE
    schema = pa.schema([(name, pa.string()) for name in ("episode_id", "kind", "state")])
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    entry = FileEntry(REVIEWS_FILE, sha256_of(path), len(rows), path.stat().st_size)
    object.__setattr__(version.manifest, "files", (*version.manifest.files, entry))


def test_a_candidate_s_excess_counts_against_it_though_it_is_flagged(measured: Measured) -> None:
    figures, _ = measured()
    flagged, rejected = figures.flagged, figures.rejected
    assert flagged is not None
    assert rejected is not None
    assert flagged.decisions == {"control": 0, "candidate": BUSY * len(CANDIDATES)}
    assert flagged.of == {
        "control": PEOPLE - len(CANDIDATES),
        "candidate": (1 + BUSY) * len(CANDIDATES),
    }
    assert flagged.people.observed == {"control": 0, "candidate": len(CANDIDATES)}
    assert flagged.people.mismatch
    assert rejected.decisions == {"control": 0, "candidate": 0}
    assert figures.candidate.n == (1 + BUSY) * len(CANDIDATES)
    assert figures.primary.value < -0.1, "without the flagged ones it would be 0"


def test_only_what_a_person_rejected_is_left_out_and_its_people_were_still_met(
    measured: Measured,
) -> None:
    first, second = CANDIDATES[:2]
    said = dict.fromkeys(dozen(first), ReviewState.REJECTED)
    said |= dict.fromkeys(dozen(second), ReviewState.RELEASED)
    before, _ = measured()
    figures, version = measured(said | {first: ReviewState.REJECTED})
    flagged, rejected = figures.flagged, figures.rejected
    assert flagged is not None
    assert rejected is not None
    assert rejected.decisions == {"control": 0, "candidate": BUSY + 1}
    assert flagged.decisions["candidate"] == BUSY * len(CANDIDATES) + 1, "released ones were too"
    assert figures.candidate.n == (1 + BUSY) * (len(CANDIDATES) - 1)
    assert figures.exposed == before.exposed
    assert figures.ratio == before.ratio, "whoever was met was met"
    assert version.reviews_path is not None


def test_marks_are_what_was_ever_flagged_and_what_was_rejected(
    measured: Measured, tmp_path: Path
) -> None:
    released, rejected = dozen(CANDIDATES[0])[0], dozen(CANDIDATES[0])[1]
    quiet = next(n for n in range(PEOPLE) if n not in CANDIDATES)
    said = {
        released: ReviewState.RELEASED,
        rejected: ReviewState.REJECTED,
        quiet: ReviewState.OPEN,
    }
    _, version = measured(said)
    encoded = load_encoded(str(tmp_path / "episodes"))
    table = pq.read_table(tmp_path / "rewards" / "rewards.parquet")
    held = np.array(table["held"].to_pylist())
    marked = {
        ident: (flag, reject)
        for ident, flag, reject in zip(
            encoded.episode_id.tolist(), *marks_of(encoded, held, version), strict=True
        )
    }
    assert not held[encoded.episode_id.tolist().index(episode_id(released))]
    assert marked[episode_id(released)] == (True, False)
    assert marked[episode_id(rejected)] == (True, True)
    assert marked[episode_id(quiet)] == (True, False)
    assert Counter(marked.values())[True, True] == 1


def test_the_page_says_how_many_of_each_arm(measured: Measured) -> None:
    figures, _ = measured({dozen(CANDIDATES[0])[0]: ReviewState.REJECTED})
    rows = dict(measured_rows(RECORD, figures)[1])
    n, controls = len(CANDIDATES), PEOPLE - len(CANDIDATES)
    share = f"{BUSY / (BUSY + 1):.1%}".replace("%", " %")
    assert rows["flagged, candidate"].startswith(f"{BUSY * n} of {(BUSY + 1) * n} decisions (")
    assert share[:4] in rows["flagged, candidate"]
    assert rows["flagged, control"].startswith(f"0 of {controls} decisions")
    assert rows["rejected by a person, candidate"].startswith("1 of ")


def test_the_chart_over_days_asks_for_the_primary_alone(
    measured: Measured, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[datetime] = []

    def once(spec: Any, record: Any, found: Any, until: datetime) -> ExperimentFigures:
        asked.append(until)
        return analyse(spec, record, found, until)

    monkeypatch.setattr(_trial, "analyse", once)
    figures, _ = measured(days=2)
    assert asked == [figures.until]
    looks = read(tuple[Look, ...], tmp_path / "out" / LOOKS)
    midnight = datetime(2024, 5, 11, tzinfo=UTC)
    assert [look.at for look in looks] == [midnight, midnight + timedelta(days=1), figures.until]
    assert {look.effect.value for look in looks} == {figures.primary.value}
