"""The report's pages on privacy and synthetic quality: what left, what is left, what the noise cost."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date, timedelta

import pytest

from everloop.contracts.evaluation import Check, CheckStatus, Estimate, GroupValue
from everloop.contracts.figures import QualityFigures, SpendingDay
from everloop.contracts.group_patterns import GroupPattern
from everloop.contracts.models import Provenance
from everloop.reporting import RunEvidence, render
from everloop.reporting.private import noise_forest, spending_curve, threshold_forest
from tests.unit.reporting.conftest import DATE, estimate, note
from tests.unit.reporting.test_report import HOSTILE, Page, plain

PUBLISHED = Estimate("acceptance_accuracy", 0.7434, 0.7121, 0.7747, 0.95, 0, 0, "private release")


@pytest.fixture
def run(full: RunEvidence) -> RunEvidence:
    """A run whose quality was measured, published and compared with a model without noise."""
    days = tuple(
        SpendingDay(DATE - timedelta(days=29 - i), 0.386 + 0.005 * i, 1.0 + 0.25 * i)
        for i in range(30)
    )
    quality = QualityFigures(
        (
            estimate("distribution_distance", 0.0471, 0.0015, 12_976, 2_978),
            estimate("two_sample_auc", 0.9613, 0.011, 2_000, 1_000, "DeLong"),
            estimate("nearer_training", 0.492, 0.031, 1_000, 1_000, "Wilson"),
            estimate("auc_private", 0.8074, 0.0067),
            estimate("auc_without_noise", 0.8594, 0.0072),
            estimate("auc_lost_to_noise", 0.052, 0.004),
            estimate("auc_share_of_noiseless", 0.9395, 0.007),
        ),
        (
            Check("distribution_distance", CheckStatus.PASSED, "Near.", 0.0471, 0.5),
            Check("two_sample_auc", CheckStatus.FAILED, "Told apart.", 0.9613, 0.95),
            Check("remembered_people", CheckStatus.PASSED, "Nobody.", 0.492, 0.55),
            Check("tstr_share", CheckStatus.INSUFFICIENT, "Nothing taught.", None, 0.8),
        ),
        groups=(
            GroupValue(
                "age_group",
                "over_64",
                729,
                estimate("distribution_distance", 0.0492, 0.0025, 2_900, 729),
            ),
        ),
        published=(PUBLISHED, replace(PUBLISHED, name="acceptance_auc", value=math.nan)),
        release=replace(note("quality"), mu_squared=0.00179, epsilon=0.135, people=2978),
    )
    return replace(full, quality=quality, spending=days)


def section(run: RunEvidence, name: str) -> str:
    return plain(Page(render(run)).sections[name])


def test_privacy_says_what_left_and_who_may_see_what(run: RunEvidence) -> None:
    shown = section(run, "privacy")
    for piece in (
        "2 private releases left the trust boundary tonight: user model, quality figures.",
        "change by a factor of at most e ε , 2.72 for the whole budget",
        "quality figures ✓ new",
        "0.00179",
        "14 October 2026",
        "quality figures by the people who were held out",
        "simulated journeys may leave computed from releases alone",
        "user model without noise inside the boundary: never published",
        "ε = 0.135 at δ = 10⁻⁵ per person",
    ):
        assert piece in shown, piece


def test_a_plan_that_covers_the_period_says_so(run: RunEvidence) -> None:
    assert run.profiles is not None
    assert run.quality is not None
    assert run.user_model is not None
    forever = replace(run.user_model.budget, nights_left=365)
    told = replace(run, user_model=replace(run.user_model, budget=forever))
    told = replace(told, profiles=None, quality=None)
    assert told.plan_lasts_until is None
    assert "spent budget comes back after a period" in section(told, "privacy")
    assert run.plan_lasts_until == date(2026, 10, 14) == DATE + timedelta(days=327)


def test_quality_of_held_out_people_is_not_charged_to_those_learned_from(run: RunEvidence) -> None:
    """The gauge's 0.206 % is the user model's alone, though the quality release cost more."""
    assert run.user_model is not None
    dear = replace(run.user_model, mu_squared=0.01)
    shown = section(replace(run, user_model=dear), "privacy")
    assert "13.9 % by this run" in shown


def test_a_night_that_released_quality_alone_spent_something(run: RunEvidence) -> None:
    """The other notes were written before, when nothing had been spent that night."""
    assert run.user_model is not None
    assert run.quality is not None
    assert run.quality.release is not None
    before = replace(run.user_model.budget, epsilon_tonight=0.0)
    after = replace(before, epsilon_tonight=0.134)
    model = replace(run.user_model, released=False, reused="Not due.", budget=before)
    quality = replace(run.quality, release=replace(run.quality.release, budget=after))
    told = replace(run, user_model=model, profiles=None, quality=quality)
    assert "ε tonight, the most of any one person 0.134" in section(told, "privacy")


def test_words_of_a_release_are_explained(run: RunEvidence) -> None:
    assert run.user_model is not None
    metrics = {
        "noise_deviation_per_weight": 0.456,
        "noise_share_of_acceptance": 0.056,
        "joint_pairs": 0.0,
    }
    told = replace(run, user_model=replace(run.user_model, metrics=metrics))
    shown = section(told, "synthetic")
    assert "a weight's noise, root mean square deviation 0.456" in shown
    assert "acceptance apart is noise 5.6" in shown
    assert "none: so few people pay for each trait by itself" in shown
    assert "sigma the standard deviation of the Gaussian noise" in section(told, "privacy")
    assert "TSTR: learned from synthetic decisions" in shown


def test_a_gap_below_its_noise_is_no_zero(run: RunEvidence) -> None:
    assert run.quality is not None
    gap = replace(PUBLISHED, name="marginal_gap", value=0.0, low=0.0, high=0.045)
    shown = section(replace(run, quality=replace(run.quality, published=(gap,))), "synthetic")
    assert "marginal gap none above its noise: at most 0.045" in shown


def test_privacy_says_what_the_noise_cost(run: RunEvidence) -> None:
    shown = section(run, "privacy")
    assert "accepted from refused decisions 94.0" in shown
    assert "is 0.0520 [0.0480, 0.0560] lower" in shown
    assert "without noise: 0.859 [0.852, 0.867]" in shown
    assert run.quality is not None
    assert noise_forest(replace(run.quality, estimates=())) is None
    unsure = tuple(
        estimate(e.name, -0.01, 0.05) if e.name == "auc_lost_to_noise" else e
        for e in run.quality.estimates
    )
    shown = section(replace(run, quality=replace(run.quality, estimates=unsure)), "privacy")
    assert "no cost can be told from none" in shown
    assert "as well as the same model" not in shown
    silent = replace(run, quality=replace(run.quality, estimates=()))
    assert "recorded no comparison with a model without noise" in section(silent, "privacy")


def test_spending_is_drawn_beside_a_budget_every_night(run: RunEvidence) -> None:
    shown = section(run, "privacy")
    assert "ε = 0.531 of 1 after 30 days" in shown
    assert "every night would stand at 8.25" in shown
    assert spending_curve(run.spending[:1], 1.0) == ""
    assert "plot-spending" not in render(replace(run, spending=()))


def test_thresholds_are_drawn_with_their_figures(run: RunEvidence) -> None:
    assert run.quality is not None
    drawn = threshold_forest(run.quality)
    assert [row.name for row in drawn.rows] == [
        "distance from real people, nats",
        "how well a classifier tells them apart",
        "nearer to people who were learned from",
    ]
    assert [row.tone for row in drawn.rows] == ["main", "third", "main"]
    assert all('class="rule"' in row.plot for row in drawn.rows)
    shown = section(run, "synthetic")
    assert "threshold 0.95; n = 2,000 from 1,000 people" in shown
    assert "age group: over 64 distribution distance 0.0492 [0.0467, 0.0517] 729" in shown


def test_published_figures_stand_apart(run: RunEvidence) -> None:
    shown = section(run, "synthetic")
    assert "acceptance accuracy 0.743 [0.712, 0.775]" in shown
    assert "acceptance auc not measured: private release" in shown
    assert run.quality is not None
    refused = replace(run.quality, published=(), release=None, refusal="12 people are too few.")
    told = replace(run, quality=refused)
    assert "12 people are too few." in section(told, "synthetic")
    assert "No quality figures were published. 12 people are too few." in section(told, "privacy")


def test_groups_are_told_largest_first_and_only_some(run: RunEvidence) -> None:
    groups = tuple(
        GroupPattern(("age_group", "hour"), ("over_64", HOSTILE), 40.0 + i, 12.3, 0.01 * i)
        for i in range(20)
    )
    page = Page(render(replace(run, patterns=groups)))
    shown = plain(page.sections["synthetic"])
    assert "20 groups of at most two traits" in shown
    assert "the 12 largest" in shown
    assert "59 people 12 19 %" in shown
    assert "48 people" in shown
    assert "47 people" not in shown
    assert "script" not in {tag for tag, _ in page.tags}
    assert "Groups that may be told" not in section(run, "synthetic")


def test_a_raw_log_policy_is_never_published(run: RunEvidence) -> None:
    assert run.checkpoint is not None
    raw = replace(run.checkpoint, provenance=Provenance.RAW_LOG)
    shown = section(replace(run, checkpoint=raw), "privacy")
    assert "policy inside the boundary: never published learned from the raw log" in shown


def test_hostile_texts_stay_text(run: RunEvidence) -> None:
    assert run.quality is not None
    group = run.quality.groups[0]
    hostile = replace(
        run.quality,
        checks=(Check(HOSTILE, CheckStatus.FAILED, HOSTILE, 1.0, 2.0),),
        estimates=(estimate(HOSTILE, 1.0, 0.1, method=HOSTILE),),
        groups=(replace(group, attribute=HOSTILE, group=HOSTILE),),
        published=(replace(PUBLISHED, name=HOSTILE, method=HOSTILE),),
        refusal=HOSTILE,
    )
    page = Page(render(replace(run, quality=hostile)))
    tags = {tag for tag, _ in page.tags}
    assert not {"script", "img"} & tags
    assert page.sections["synthetic"].count(HOSTILE) >= 5
