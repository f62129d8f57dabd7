"""What the evaluation step knows of exploration, and what its page says of it and of journeys."""

from __future__ import annotations

import dataclasses
from datetime import date
from types import SimpleNamespace
from typing import Any

import pytest

from components._evaluation import logged_so_far
from components._pages import evaluation_rows
from everloop.contracts.datasets import DatasetManifest, FileEntry
from everloop.contracts.evaluation import Estimate, OverlapDiagnostics, PolicyEvaluation
from everloop.loops import load

SPEC = load("companion")
MANIFEST = DatasetManifest(
    dataset_id="d" * 64,
    loop="companion",
    tenant="acme",
    logical_date=date(2026, 3, 28),
    window_days=28,
    episode_watermark=5_000,
    signal_watermark=1,
    consent_revision=1,
    spec_sha256="s" * 64,
    files=(FileEntry("episodes.parquet", "e" * 64, 700, 1),),
    exclusions=None,  # type: ignore[arg-type]
)


def estimate(name: str, method: str = "t interval over people") -> Estimate:
    return Estimate(name, 0.3, 0.25, 0.35, 0.95, 500, 200, method)


EVALUATION = PolicyEvaluation(
    policy="new",
    baseline_name="old",
    estimates=(estimate("dr"),),
    baseline=estimate("baseline"),
    difference=estimate("difference"),
    overlap=OverlapDiagnostics(500, 400.0, 1.0, 0.9, 1.1, 3.0, 0.01, 0.0, ()),
)


@pytest.mark.parametrize(("counted", "wanted"), [(4_200, 4_200), (12, 700)])
def test_the_whole_log_is_counted_up_to_the_datasets_watermark(counted: int, wanted: int) -> None:
    """Never fewer than the window itself holds: erased rows still were logged."""
    asked: dict[str, Any] = {}

    def new_episodes(loop: str, after: int, at_most: int, tenant: str, until: int) -> int:
        asked.update(loop=loop, after=after, at_most=at_most, tenant=tenant, until=until)
        return counted

    place: Any = SimpleNamespace(jobs=SimpleNamespace(new_episodes=new_episodes))
    assert logged_so_far(place, SPEC, MANIFEST) == wanted
    assert (asked["loop"], asked["tenant"]) == ("companion", "acme")
    assert (asked["after"], asked["until"]) == (0, 5_000)
    excess = SPEC.serving_epsilon(asked["at_most"]) - SPEC.serving_epsilon(10**12)
    assert excess < 1e-6


def rows(**changes: Any) -> dict[str, str]:
    return dict(evaluation_rows(dataclasses.replace(EVALUATION, **changes))[1])


def test_the_page_says_at_which_exploration_policies_were_judged() -> None:
    assert "judged while exploring" not in rows()
    said = rows(epsilon=0.2)["judged while exploring"]
    assert said == "20.0% of decisions, as the service would explore now"


def test_the_page_shows_every_interval_with_its_kind() -> None:
    found = rows(intervals=(estimate("dr", "BCa bootstrap"), estimate("dr", "bounds by betting")))
    assert {"dr", "dr: BCa bootstrap", "dr: bounds by betting"} <= set(found)


def test_the_page_gives_the_value_of_journeys_or_the_reason_why_not() -> None:
    refused = rows(journeys_refused="Journeys of more than 3 decisions cannot be judged.")
    assert refused["reward of a journey"].startswith("Journeys of more than 3")
    known = rows(journeys=estimate("journeys", "300 journeys"), baseline_journeys=estimate("b"))
    assert known["reward of a journey"].endswith("300 journeys")
    assert "reward of a journey, old" in known
    assert "reward of a journey" not in rows()
