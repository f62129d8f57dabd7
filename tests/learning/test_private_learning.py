"""What privacy leaves of the shipped example: a first night, and the nights after it."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from everloop.contracts.datasets import Bool, EncodedEpisodes, Float
from everloop.contracts.evaluation import CheckStatus
from everloop.contracts.simulation import UserModel
from everloop.intake import example_truth as truth
from everloop.intake.example import _context
from everloop.intake.example_journeys import HALF_LIFE, ExampleLog, generate
from everloop.loops import load
from everloop.privacy.ledger import Ledger
from everloop.storage.local.blobs import LocalBlobStore
from everloop.storage.sql.engine import open_workspace_database
from everloop.storage.sql.ledger_store import SqlLedgerStore
from rl.encoders import encode_context, layout
from rl.encoders.context import encoder_of
from synthetic.profiles import load_profiles, release_profiles
from synthetic.quality import check_quality
from synthetic.user_model import load_user_model, release_user_model

SPEC = load("companion")
DAY = date(2026, 3, 28)


class Clock:
    def now(self) -> datetime:
        return datetime(2026, 3, 28, tzinfo=UTC)


@dataclass(frozen=True)
class World:
    episodes: EncodedEpisodes
    expected: Float
    """(n, A) true expected reward."""

    def gain_share(self, model: UserModel) -> float:
        """Gain of the model's best actions over uniform ones on held-out states, as a share of what
        the best policy gains."""
        rows: Bool = self.episodes.holdout
        true, mask = self.expected[rows], self.episodes.mask[rows]
        context, n = self.episodes.context[rows], int(rows.sum())
        believed = np.stack(
            [model.expected_reward(context, np.full(n, a)) for a in range(mask.shape[1])], axis=1
        )
        chosen = np.where(mask, believed, -np.inf).argmax(axis=1)
        uniform = (np.where(mask, true, 0.0).sum(axis=1) / mask.sum(axis=1)).mean()
        best = np.where(mask, true, -np.inf).max(axis=1).mean()
        return float((true[np.arange(n), chosen].mean() - uniform) / (best - uniform))


def signal_means(log: ExampleLog) -> Float:
    """(n, 3) means of each type by the loop's formula; engagement's silence is 0."""
    evidence = log.signals
    timely = evidence.latency <= truth.CLOSES_AFTER
    rows, kinds = evidence.episode[timely], evidence.kind[timely]
    weight = evidence.confidence[timely] * np.exp2(-evidence.latency[timely] / HALF_LIFE)
    value = np.where(kinds == 0, evidence.value[timely], 2 * evidence.value[timely] - 1)
    total, mass = np.zeros((2, len(log), 3))
    np.add.at(total, (rows, kinds), weight * value)
    np.add.at(mass, (rows, kinds), weight)
    means = np.divide(total, mass, out=np.full_like(total, np.nan), where=mass > 0)
    means[:, 0] = np.nan_to_num(means[:, 0])
    return means


@pytest.fixture(scope="module")
def world() -> World:
    log = generate(6_000)
    names = np.array([hashlib.sha256(f"{i}".encode()).hexdigest() for i in range(6_000)])
    order = np.argsort(names)
    place = np.argsort(order)
    n = len(log)
    episodes = EncodedEpisodes(
        episode_id=np.array([f"e{i}" for i in range(n)], dtype=np.str_),
        person=place[log.person],
        people=names[order],
        context=encode_context(SPEC, [_context(log, row) for row in range(n)]),
        interacting=encoder_of(SPEC).interacting,
        action=log.action,
        mask=log.valid,
        propensity=log.propensities[np.arange(n), log.action],
        reward=log.reward,
        signals=signal_means(log),
        holdout=log.person % 2 == 1,
        comparison=np.zeros(n, dtype=np.bool_),
        timestamp=log.timestamp.astype(np.float64),
        encoder=layout(SPEC).encoder,
    )
    return World(episodes, log.expected)


def test_a_first_night_ranks_actions_and_later_nights_do_not_undo_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = itertools.count()
    monkeypatch.setattr(
        "everloop.privacy.ledger.secrets.token_bytes",
        lambda _: hashlib.sha256(f"night {next(drawn)}".encode()).digest(),
    )
    store = SqlLedgerStore(open_workspace_database(tmp_path / "state.db"))
    ledger = Ledger(store, bytes(32), Clock())
    blobs = LocalBlobStore(tmp_path / "blobs")
    shares = []
    for night in range(6):
        path, note = release_user_model(
            SPEC,
            world.episodes,
            ledger,
            blobs,
            DAY + timedelta(days=night),
            "d" * 64,
            "companion/default",
            tmp_path / "out",
        )
        model = load_user_model(path, SPEC)
        shares.append(world.gain_share(model))
        assert note.released
    assert note.budget.epsilon_period < 0.5
    assert note.people == 3_000
    # Measured .88; always doing nothing, the best constant action, earns .35.
    assert shares[0] > 0.75
    assert min(shares) > shares[0] - 0.03

    people_path, _ = release_profiles(
        SPEC,
        layout(SPEC),
        world.episodes,
        ledger,
        blobs,
        DAY,
        "d" * 64,
        "companion/default",
        tmp_path / "out",
    )
    figures = check_quality(SPEC, layout(SPEC), load_profiles(people_path), model, world.episodes)
    assert {check.status for check in figures.checks} == {CheckStatus.PASSED}
    assert ledger.verify() == 14
