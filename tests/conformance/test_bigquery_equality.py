"""A hundred thousand episodes with ten signals each: BigQuery's dataset and rewards are this machine's."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.episodes import Consent, Dispute, Episode, RewardSignal
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.ports import Extraction
from everloop.loops import load
from everloop.rewards.table import write_rewards
from everloop.rewards.warehouse import WarehouseRewards
from everloop.storage.local.datasets import LocalDatasetStore
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.event_log import SqlEventLog
from tests.bigquery_emulator import Emulator, new_dataset
from tests.log_records import SetClock, uuid_of

if TYPE_CHECKING:
    from everloop.storage.gcp.bigquery.jobs import Jobs

pytestmark = [pytest.mark.gcp, pytest.mark.timeout(1500)]
EPISODES, SIGNALS_EACH, PEOPLE = 107_000, 10, 4_000
START = datetime(2026, 3, 1, tzinfo=UTC)
DAYS = 20
SEED = 20260320


@dataclass(frozen=True)
class Both:
    """One log, extracted on this machine and from its mirror."""

    spec: LoopSpec
    here: DatasetVersion
    there: DatasetVersion
    jobs: Jobs


def episodes(spec: LoopSpec, rng: np.random.Generator) -> Iterator[Episode]:
    actions = tuple(action.id for action in spec.actions)
    seconds = rng.integers(0, DAYS * 86_400, EPISODES)
    for n in range(EPISODES):
        yield Episode(
            episode_id=uuid_of(n),
            user_id=f"{n % PEOPLE:064x}",
            loop=spec.name,
            context_snapshot={"n": n, "x": float(rng.standard_normal())},
            action_taken=actions[n % len(actions)],
            timestamp=START + timedelta(seconds=int(seconds[n]), microseconds=n % 7),
            model_version="v1",
            propensity=None if n % 97 == 0 else 1 / len(actions),
            valid_actions=actions,
        )


def signals(spec: LoopSpec, rng: np.random.Generator) -> Iterator[RewardSignal]:
    closes = spec.reward.closes_after_seconds
    drawn = rng.random((EPISODES * SIGNALS_EACH, 3))
    for n, (value, confidence, late) in enumerate(drawn.tolist()):
        of = spec.signals[(n * 7) % len(spec.signals)]
        yield RewardSignal(
            signal_id=uuid_of(n, "signal"),
            episode_id=uuid_of(n // SIGNALS_EACH),
            signal_type=of.name,
            value=of.low + value * (of.high - of.low),
            latency=int(late * closes * 1.05),
            confidence=0.0 if n % 211 == 0 else confidence,
        )


@pytest.fixture(scope="module")
def both(bigquery_emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    from everloop.storage.gcp.bigquery.jobs import Jobs
    from everloop.storage.gcp.bigquery.mirror import Mirror
    from everloop.storage.gcp.bigquery.reader import bigquery_readers

    folder = tmp_path_factory.mktemp("equality")
    spec, rng, clock = load("companion"), np.random.default_rng(SEED), SetClock()
    engine = open_workspace_database(folder / "state.db")
    log = SqlEventLog(engine, clock)
    log.append_batch(episodes(spec, rng), signals(spec, rng))
    for n in range(0, PEOPLE, 50):
        log.record_consent(Consent(f"{n:064x}", "train", n % 100 == 0, START))
    for n in range(0, 5_000, 25):
        log.record_dispute(Dispute(uuid_of(n, "signal"), "no", START, ("open", "rejected")[n % 2]))
    asked = Extraction(spec, date(2026, 3, 20), 20)
    jobs = Jobs(new_dataset(bigquery_emulator))
    here = LocalDatasetStore(engine, folder / "here", clock).extract(asked)
    readers = bigquery_readers(Mirror(engine, jobs, "EVERLOOP_PSEUDONYM_KEY", folder), jobs)
    there = LocalDatasetStore(engine, folder / "there", clock, readers).extract(asked)
    yield Both(spec, here, there, jobs)
    jobs.close()


def test_the_dataset_is_the_same(both: Both) -> None:
    manifest = both.here.manifest
    assert both.there.manifest == manifest
    assert manifest.episodes >= 100_000
    assert manifest.signals > 900_000
    assert manifest.exclusions.opted_out_people == PEOPLE // 100
    left_out = manifest.exclusions
    assert min(left_out.late_signals, left_out.disputed_signals, left_out.open_episodes) > 0


def test_rewards_are_the_same(both: Both, tmp_path: Path) -> None:
    from everloop.storage.gcp.bigquery.warehouse import BigQueryWarehouse

    here = pq.read_table(write_rewards(both.spec, both.here, tmp_path / "here.parquet"))
    writer = WarehouseRewards(BigQueryWarehouse(both.jobs))
    there = pq.read_table(writer(both.spec, both.there, tmp_path / "there.parquet"))
    apart = largest_difference(here, there)
    print(json.dumps({"episodes": here.num_rows, "seed": SEED, "largest_difference": apart}))
    assert apart <= 1e-12
    assert here["reward"].null_count < here.num_rows / 10
    assert both.jobs.stages("stage_") == ()


def largest_difference(here: pa.Table, there: pa.Table) -> float:
    """Between the numbers of two reward tables, all else being equal."""
    assert there.schema == here.schema
    assert there.num_rows == here.num_rows
    apart = 0.0
    for field in here.schema:
        one, two = here[field.name], there[field.name]
        assert one.is_null().equals(two.is_null()), field.name
        if field.type == pa.float64():
            gaps = pc.abs(pc.subtract(one, two))
            apart = max(apart, pc.max(gaps).as_py() or 0.0)
        else:
            assert one.equals(two), field.name
    return apart
