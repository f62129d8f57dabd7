"""The page of a trial says what was found, and escapes what people typed."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from everloop.contracts.rollouts import DayEffect, Noticed, RolloutEvent, Stay, TrialTally
from everloop.contracts.watching import Look, WatchOutcome
from everloop.reporting.trial import render_trial
from everloop.rollout.decide import decide_trial
from tests.unit.rollout.trials import ASKS, BEGUN, SPEC, estimate, evidence, figures, trial

AT = BEGUN + timedelta(hours=30)


def outcome(**changes: object) -> WatchOutcome:
    known = figures(
        days=(
            DayEffect("2026-03-01", 25.0, 0.04, 0.01, 90, 200),
            DayEffect("2026-03-02", 25.0, 0.06, 0.02, 100, 300),
        ),
        segments=figures().guardrails[:1],
    )
    record = trial(history=(Stay("shadow", 0.0, BEGUN), Stay("started", 25.0, BEGUN)))
    verdict = decide_trial(ASKS, record, evidence(experiment=known))
    made = WatchOutcome(
        loop=SPEC.name,
        at=AT,
        verdict=verdict,
        trial=record,
        events=(RolloutEvent(SPEC.name, "hold", AT, "<b>ann</b>", "a & b"),),
        tallies=(TrialTally("trial", "shadow", "w1", asked=10, agreed=4, actions={"walk": 10}),),
        looks=(Look(BEGUN, estimate(-0.1, 0.2)), Look(AT, estimate(0.01, 0.09))),
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_it_shows_the_verdict_every_check_and_every_plot() -> None:
    page = render_trial(SPEC, outcome())
    assert "hold (started at 25 % of people)" in page
    assert "waits for a named person" in page
    for plot in ("plot-known", "plot-days", "plot-traffic", "plot-people"):
        assert f'id="{plot}' in page or plot in page
    for shown in ("Guardrails", "Segments", "40", "everloop rollout approve"):
        assert shown in page
    verdict = outcome().verdict
    assert verdict is not None
    assert all(check.reason.split("[")[0][:30] in page for check in verdict.checks)
    assert page == render_trial(SPEC, outcome())


def test_what_people_typed_is_escaped() -> None:
    page = render_trial(SPEC, outcome())
    assert "<b>ann</b>" not in page
    assert "&lt;b&gt;ann&lt;/b&gt;" in page
    assert "a &amp; b" in page


def test_nothing_on_trial_and_nothing_measured_are_said() -> None:
    page = render_trial(SPEC, WatchOutcome(SPEC.name, AT))
    assert "nothing is on trial" in page
    assert "begins in shadow" in page
    shadow = trial("shadow", 0.0, 0)
    verdict = decide_trial(SPEC, shadow, evidence(experiment=None))
    page = render_trial(SPEC, WatchOutcome(SPEC.name, AT, verdict, shadow))
    assert "in shadow: decides unseen" in page
    assert "Guardrails" not in page
    nan = float("nan")
    unknown = figures(primary=estimate(nan, nan), guardrails=(), control=estimate(nan, nan))
    held = decide_trial(SPEC, trial(), evidence(experiment=unknown))
    assert "nothing can be compared" in render_trial(SPEC, outcome(verdict=held, looks=()))


def test_a_new_look_at_who_waited_is_told() -> None:
    looked = trial("refused", 0.0, 0)
    page = render_trial(SPEC, WatchOutcome(SPEC.name, AT, None, looked, looked))
    assert "was judged anew: refused" in page


def test_strange_decisions_are_shown_by_arm() -> None:
    assert "Strange decisions" not in render_trial(SPEC, outcome())
    ratio = figures().ratio
    found = Noticed({"control": 3, "candidate": 41}, {"control": 300, "candidate": 100}, ratio)
    known = figures(
        flagged=found, rejected=replace(found, decisions={"control": 0, "candidate": 7})
    )
    verdict = decide_trial(SPEC, trial(), evidence(experiment=known))
    page = render_trial(SPEC, outcome(verdict=verdict))
    for row in ("flagged, candidate", "41 of 100 decisions (41", "3 of 300 decisions", "7 of 100"):
        assert row in page
    assert "everloop review list --loop companion" in page
