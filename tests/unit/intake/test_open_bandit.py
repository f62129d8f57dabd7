"""The Open Bandit Dataset against figures read off the files themselves."""

from __future__ import annotations

import zipfile
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from everloop.contracts.episodes import Arm
from everloop.contracts.errors import ShouldFixArgument, ShouldFixEpisode, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.intake.open_bandit import import_open_bandit, read_open_bandit, zozotown_prior

CLICKS = {
    ("random", "all"): 38,
    ("random", "men"): 46,
    ("random", "women"): 46,
    ("bts", "all"): 42,
    ("bts", "men"): 69,
    ("bts", "women"): 46,
}


@pytest.mark.parametrize(("policy", "campaign"), CLICKS)
def test_each_log_holds_what_its_file_says(wheel: Path, policy: Any, campaign: Any) -> None:
    log = read_open_bandit(wheel, policy, campaign)
    assert len(log) == 10_000
    assert log.click.sum() == CLICKS[policy, campaign]
    assert set(log.position.tolist()) == {1, 2, 3}
    assert log.index.tolist() == list(range(10_000))
    assert (np.diff(log.timestamp) >= np.timedelta64(0)).all()
    assert ((log.propensity > 0) & (log.propensity <= 1)).all()
    if policy == "random":
        items = {"all": 80, "men": 34, "women": 46}[campaign]
        assert np.unique(log.item).tolist() == list(range(items))
        assert np.allclose(log.propensity, 1 / items, rtol=1e-12)


def test_arrays_cannot_be_changed(wheel: Path) -> None:
    log = read_open_bandit(wheel, "random", "all")
    for array in (log.item, log.click, log.propensity, log.timestamp, log.features):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[1]


def test_the_prior_of_the_production_policy(wheel: Path) -> None:
    alpha, beta = zozotown_prior(wheel, "all")
    assert alpha.shape == beta.shape == (80,)
    assert alpha[:4].tolist() == [47.0, 8.0, 62.0, 142.0]


def test_unknown_names_are_refused(wheel: Path) -> None:
    with pytest.raises(ShouldFixArgument, match=r"policy='ucb'.*random, bts"):
        read_open_bandit(wheel, "ucb", "all")  # type: ignore[arg-type]
    with pytest.raises(ShouldFixArgument, match=r"campaign='kids'.*all, men, women"):
        zozotown_prior(wheel, "kids")  # type: ignore[arg-type]


def test_a_wheel_without_the_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("other.txt", "")
    with pytest.raises(ShouldRestoreArtefact, match=r"random/all/all\.csv"):
        read_open_bandit(path, "random", "all")
    path.write_bytes(b"no archive")
    with pytest.raises(ShouldRestoreArtefact, match="not a zip file"):
        read_open_bandit(path, "random", "all")


def test_rows_become_episodes_and_click_signals(
    log: Any, open_bandit: LoopSpec, pseudonym: Callable[[str], str], wheel: Path, tmp_path: Path
) -> None:
    rows: list[int] = []
    summary = import_open_bandit(
        log, open_bandit, pseudonym, tmp_path, progress=rows.append, wheel=wheel
    )
    assert (summary.episodes_new, summary.signals_new, summary.rejected) == (20_000, 20_000, 0)
    assert (summary.loop, summary.tenant, summary.positives) == ("open_bandit", "default", 80)
    assert summary.first_timestamp == datetime(2019, 11, 24, 0, 0, 17, 4101, tzinfo=UTC)
    assert summary.last_timestamp == datetime(2019, 11, 30, 23, 59, 47, 22892, tzinfo=UTC)
    assert "CC BY 4.0" in summary.note
    assert "no person ids" in summary.note
    assert rows[-1] == 20_000
    assert log.batches == 1

    episodes = list(log.episodes.values())
    assert Counter(e.arm for e in episodes) == {Arm.ACTIVE: 10_000, Arm.COMPARISON: 10_000}
    assert len({e.user_id for e in episodes}) == 20_000

    # The first line of random/all/all.csv, by hand.
    first = min((e for e in episodes if e.arm is Arm.ACTIVE), key=lambda e: e.timestamp)
    source = read_open_bandit(wheel, "random", "all")
    assert first.user_id == pseudonym("open-bandit/random/all/0")
    assert first.timestamp == datetime(2019, 11, 24, 0, 0, 34, 762830, tzinfo=UTC)
    assert first.action_taken == f"item-{source.item[0]}"
    assert first.propensity == 0.0125
    assert len(first.valid_actions) == 80
    assert first.model_version == "open-bandit-random"
    assert first.context_snapshot["position"] == str(source.position[0])

    clicked = {s.episode_id for s in log.signals.values() if s.value == 1.0}
    assert len(clicked) == 80
    assert {s.latency for s in log.signals.values()} == {0}
    assert sum(log.episodes[i].arm is Arm.ACTIVE for i in clicked) == 38


def test_again_it_is_a_replay(
    log: Any, open_bandit: LoopSpec, pseudonym: Callable[[str], str], wheel: Path, tmp_path: Path
) -> None:
    def bring() -> Any:
        return import_open_bandit(
            log, open_bandit, pseudonym, tmp_path, policies=("random",), wheel=wheel
        )

    assert bring().episodes_new == 10_000
    again = bring()
    assert (again.episodes_new, again.episodes_replayed) == (0, 10_000)
    assert (again.signals_new, again.signals_replayed) == (0, 10_000)


def test_a_campaign_of_its_own_items_is_a_tenant_of_its_own(
    log: Any, open_bandit: LoopSpec, pseudonym: Callable[[str], str], wheel: Path, tmp_path: Path
) -> None:
    summary = import_open_bandit(
        log, open_bandit, pseudonym, tmp_path, "men", ("random",), wheel=wheel
    )
    assert summary.tenant == "men"
    episode = next(iter(log.episodes.values()))
    assert (episode.tenant, len(episode.valid_actions)) == ("men", 34)
    named = import_open_bandit(
        log, open_bandit, pseudonym, tmp_path, "men", ("random",), tenant="shop", wheel=wheel
    )
    assert (named.tenant, named.episodes_new) == ("shop", 10_000)


def test_a_loop_that_does_not_fit_imports_nothing(
    log: Any, shop: LoopSpec, pseudonym: Callable[[str], str], wheel: Path, tmp_path: Path
) -> None:
    with pytest.raises(ShouldFixEpisode, match="not in the loop's catalogue"):
        import_open_bandit(log, shop, pseudonym, tmp_path, wheel=wheel)
    assert (log.episodes, log.signals) == ({}, {})


@pytest.mark.parametrize(
    "wrong", [{"policies": ()}, {"policies": ("ucb",)}, {"campaign": "kids"}], ids=str
)
def test_wrong_arguments_are_refused_before_anything_is_fetched(
    log: Any, open_bandit: LoopSpec, pseudonym: Callable[[str], str], tmp_path: Path, wrong: Any
) -> None:
    with pytest.raises(ShouldFixArgument, match="Choose"):
        import_open_bandit(log, open_bandit, pseudonym, tmp_path / "cache", **wrong)
    assert not (tmp_path / "cache").exists()
