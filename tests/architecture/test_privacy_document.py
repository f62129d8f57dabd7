"""Every figure of docs/privacy.md, computed again from the accounting that ships."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from scipy.special import ndtr, ndtri

from everloop.contracts.loop_spec import PrivacySpec
from everloop.loops import load
from everloop.privacy import accounting, plan, renyi
from synthetic.audit.bound import epsilon_lower_bound

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "privacy.md").read_text()
PRIVACY = PrivacySpec()
DELTA = PRIVACY.delta
BUDGET = accounting.mu(PRIVACY.epsilon, DELTA) ** 2
SPEC = load("companion").model_copy(update={"privacy": PRIVACY})


def epsilon(mu_squared: float) -> float:
    return accounting.epsilon_of(mu_squared, DELTA)


def caught(mu_squared: float) -> float:
    """Power of the best test at 5 % false accusations: Phi(Phi^-1(.05) + mu), in percent."""
    return 100.0 * float(ndtr(ndtri(0.05) + mu_squared**0.5))


def of_a_year(each: float) -> float:
    return epsilon(365 * accounting.mu(each, DELTA) ** 2)


NIGHT = epsilon(BUDGET / 365)
JUDGED = renyi.ORDERS[renyi.judging_index(PRIVACY.epsilon, DELTA)]
SUBSAMPLED = 2.0 * renyi.allowed(PRIVACY.epsilon, DELTA) / JUDGED
SENTENCES = [
    f"**ε = {PRIVACY.epsilon:g} and δ = 1e-5**",
    f"any {PRIVACY.period_days} days",
    f"ε = {epsilon(4 * BUDGET):.2f} at the same δ",
    f"catch {caught(BUDGET):.1f} % of the guilty (at μ = {BUDGET**0.5:.3f}",
    f"**μ² = {BUDGET:.5f}**",
    f"is ε = {of_a_year(1.0):.1f} a year",
    f"a night costs ε = {NIGHT:.4f} on average",
    f"1 / δ = {1 / DELTA:,.0f} people",
    f"fixed in advance: {JUDGED} for",
    f"μ² = {SUBSAMPLED:.4f} a year in place of {BUDGET:.4f}",
    f"prove ε > {epsilon_lower_bound(1_000, 500, 500, DELTA):.2f}",
    f"released every {PRIVACY.profiles_refit_days} days",
]


def rows() -> list[str]:
    """Every row of every table that holds figures."""
    found = [f"| {each:g} | {of_a_year(each):.3g} |" for each in (1, 0.3)]
    found[1] = f"| 0.3 | {of_a_year(0.3):.2f} |"
    found += [f"| {each:g} | {of_a_year(each):.2f} |" for each in (0.1, 0.05)]
    found.append(f"| {NIGHT:.4f} | {epsilon(BUDGET):.2f} |")
    found += [f"| {years} | {epsilon(years * BUDGET):.2f} |" for years in (1, 2, 3, 5, 10)]
    found += [f"| {people} | {epsilon(people**2 * BUDGET):.2f} |" for people in (1, 2, 3, 5)]
    for stage, often in (
        (plan.USER_MODEL, "every day"),
        (plan.PROFILES, f"every {PRIVACY.profiles_refit_days} days"),
        (plan.QUALITY, "every day"),
    ):
        first, later = (
            epsilon(plan.night_mu_squared(SPEC, stage, first=first)) for first in (True, False)
        )
        share = plan.share_of(PRIVACY, stage)
        name = stage.replace("_", " ")
        found.append(
            f"| {name} | {share:.0%} | {first:.3g} | {later:.3g} | {often} |".replace("%", " %")
        )
    for budget in (0.5, 1, 2, 4, 8):
        mu_squared = accounting.mu(budget, DELTA) ** 2
        found.append(f"| {budget:g} | {mu_squared:.3g} | {caught(mu_squared):.1f} % |")
    return found


@pytest.mark.parametrize("figure", [*SENTENCES, *rows()])
def test_a_figure_is_what_the_accounting_gives(figure: str) -> None:
    assert figure in TEXT


def test_no_figure_is_left_unchecked() -> None:
    computed = set(re.findall(r"\d+\.\d+", " ".join([*SENTENCES, *rows()])))
    prose = re.sub(r"`[^`]*`", "", TEXT)
    assert set(re.findall(r"\d+\.\d+", prose)) <= computed


def test_everything_due_in_a_period_stays_within_the_promise() -> None:
    """The plan's releases within any 365 days, whether or not the first fit is among them."""
    for stages in ((plan.USER_MODEL, plan.PROFILES), (plan.QUALITY,)):
        for with_first in (True, False):
            spent = 0.0
            for stage in stages:
                count = -(-PRIVACY.period_days // plan.every_days(PRIVACY, stage))
                later = plan.night_mu_squared(SPEC, stage, first=False)
                first = plan.night_mu_squared(SPEC, stage, first=True) if with_first else later
                spent += first + (count - 1) * later
            assert epsilon(spent) <= PRIVACY.epsilon


def test_the_items_that_are_not_covered_are_counted_right() -> None:
    items = re.findall(r"^(\d+)\. \*\*", TEXT, re.MULTILINE)
    assert [int(item) for item in items] == list(range(1, 16))
    assert "items 1 to 15" in TEXT
    assert "fifteen items" in TEXT
