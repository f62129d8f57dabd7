"""Go or no-go, with reasons: what a candidate did in the sandbox, against the voice that serves.

A strict suite lets no scenario fail. Elsewhere the active voice is the measure: what it passes, the
candidate passes in a share of at least ``min_scenarios_passed``, and where they differ no more often for
the worse than chance makes it (McNemar's exact test: of n scenarios on which they differ, each is lost
with probability 1/2 where both are as good). No data is no go.

A person may let a candidate go on where it is a matter of degree: lost scenarios, forgetting, length.
Their word is an ``Oversight`` of kind ``approval`` on the deployment, by name and with a reason, which the
gate's verdict takes up (``Verdict.decided_by``). What is not left to a person stays a hold: isolation,
drift, safety, bias, attacks, no effect over the placebo, and less than the active voice does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from statistics import fmean

from scipy.stats import binom, norm, t

from everloop.contracts.evaluation import Check, CheckStatus, Estimate
from everloop.contracts.intervals import wilson
from everloop.contracts.sandboxes import (
    STRICT,
    ConfigurationDrift,
    CriterionKind,
    Isolation,
    RunStatus,
    SandboxReport,
    Suite,
    TestRunLog,
    is_lesson,
)
from everloop.contracts.voice_spec import VoiceThresholds
from everloop.contracts.voices import VoiceComparison
from everloop.sandbox.effect import effect_check, over_active_check

MIN_GOLDEN = 3
"""Reference answers from which on their perplexities say something."""
_SHOWN = 3


def checks_of(
    runs: Sequence[TestRunLog],
    active_runs: Sequence[TestRunLog],
    isolation: Isolation,
    drift: ConfigurationDrift,
    thresholds: VoiceThresholds,
    comparison: VoiceComparison | None,
    *,
    trained: bool = True,
) -> tuple[Check, ...]:
    """Every check of a candidate.

    Args:
        runs, active_runs: the same scenarios with the same seed.
        comparison: on held-out people; None where it was not measured.
        trained: whether there is an adapter, whose effect has to stand above its placebo's and must not be
            below what serves, the base alone included. A candidate whose prompt alone is new has none.
    """
    strict = tuple(_strict(suite, runs) for suite in sorted(STRICT))
    found = (
        isolation_check(isolation),
        _drift(drift),
        *strict,
        _passed_as_active(runs, active_runs, thresholds),
        _regressions(runs, active_runs, thresholds),
        _forgetting(runs, active_runs, thresholds, comparison),
        _length(runs, active_runs, thresholds, comparison),
    )
    if not trained:
        return found
    return (*found, effect_check(thresholds, comparison), over_active_check(comparison))


def report_of(
    model_id: str,
    active_id: str,
    started_at: datetime,
    seconds: float,
    runs: Sequence[TestRunLog],
    active_runs: Sequence[TestRunLog],
    isolation: Isolation,
    drift: ConfigurationDrift,
    thresholds: VoiceThresholds,
    comparison: VoiceComparison | None = None,
    *,
    trained: bool = True,
    failures: Sequence[str] = (),
) -> SandboxReport:
    """The report with its checks; see ``checks_of``."""
    checks = checks_of(runs, active_runs, isolation, drift, thresholds, comparison, trained=trained)
    return SandboxReport(
        model_id=model_id,
        active_id=active_id,
        started_at=started_at,
        seconds=seconds,
        runs=tuple(runs),
        active_runs=tuple(active_runs),
        checks=checks,
        isolation=isolation,
        drift=drift,
        comparison=comparison,
        failures=tuple(failures),
    )


def refused(
    model_id: str, active_id: str, started_at: datetime, isolation: Isolation, reason: str
) -> SandboxReport:
    """The report of a sandbox that was not closed, or could not open the voice: nothing was run."""
    check = isolation_check(isolation)
    if check.passed:
        check = Check("opening", CheckStatus.FAILED, reason)
    elif reason:
        check = Check(check.name, CheckStatus.FAILED, f"{check.reason} {reason}")
    return SandboxReport(
        model_id, active_id, started_at, 0.0, (), (), (check,), isolation, ConfigurationDrift({})
    )


def isolation_check(isolation: Isolation) -> Check:
    """Whether the process was denied all that it tried."""
    parts = {
        "the network": isolation.network_denied,
        "writing outside its scratch folder": isolation.writes_denied,
        "the workspace's state and secrets": isolation.state_read_only,
    }
    open_ = [name for name, denied in parts.items() if not denied]
    if open_ or not isolation.mechanisms or not isolation.tried:
        told = ", ".join(open_) or "anything"
        return Check(
            "isolation", CheckStatus.FAILED, f"The sandbox was not shown to be denied {told}."
        )
    how = ", ".join(isolation.mechanisms)
    return Check(
        "isolation",
        CheckStatus.PASSED,
        f"All {len(isolation.tried)} attempts to get out were denied ({how}).",
        float(len(isolation.tried)),
    )


def _drift(drift: ConfigurationDrift) -> Check:
    if drift.differing:
        told = "; ".join(
            f"{name}: {ours[:40]} in the sandbox, {theirs[:40]} in the service"
            for name, (ours, theirs) in list(drift.differing.items())[:_SHOWN]
        )
        return Check(
            "configuration_drift",
            CheckStatus.FAILED,
            f"{len(drift.differing)} settings differ from the service's: {told}. {_running(drift)}",
            float(len(drift.differing)),
            0.0,
        )
    return Check(
        "configuration_drift",
        CheckStatus.PASSED,
        f"The sandbox spoke with what the service would speak with. {_running(drift)}",
        0.0,
        0.0,
    )


def _running(drift: ConfigurationDrift) -> str:
    if drift.running:
        return f"It was compared with what {drift.running} spoke with, too."
    return "No running service is known that it could be compared with."


def _strict(suite: Suite, runs: Sequence[TestRunLog]) -> Check:
    own = [run for run in runs if run.suite is suite]
    name = suite.value
    if not own:
        return Check(name, CheckStatus.INSUFFICIENT, f"No scenario of {suite} was run.")
    bad = [run for run in own if run.status in (RunStatus.FAILED, RunStatus.ERROR)]
    if bad:
        return Check(
            name,
            CheckStatus.FAILED,
            f"{len(bad)} of {len(own)} scenarios of {suite} failed: {_told(bad)}.",
            float(len(bad)),
            0.0,
        )
    unjudged = [run for run in own if run.status is RunStatus.SKIPPED]
    if unjudged:
        told = _told(unjudged)
        return Check(
            name,
            CheckStatus.INSUFFICIENT,
            f"{len(unjudged)} of {len(own)} scenarios of {suite} were not judged: {told}.",
        )
    return Check(name, CheckStatus.PASSED, f"All {len(own)} scenarios of {suite} passed.", 0.0, 0.0)


def _passed_as_active(
    runs: Sequence[TestRunLog], active_runs: Sequence[TestRunLog], thresholds: VoiceThresholds
) -> Check:
    name, limit = "scenarios", thresholds.min_scenarios_passed
    pairs = _pairs(runs, active_runs)
    base = [mine for mine, theirs in pairs if theirs is None or theirs.status is RunStatus.PASSED]
    if not base:
        return Check(
            name,
            CheckStatus.INSUFFICIENT,
            "No scenario outside safety ran that the active voice passes.",
        )
    good = sum(run.status is RunStatus.PASSED for run in base)
    every = sum(mine.status is RunStatus.PASSED for mine, _ in pairs)
    share = good / len(base)
    z = float(norm.ppf(0.5 + thresholds.confidence / 2))
    low, high = wilson(share, len(base), z)
    skipped = sum(run.status is RunStatus.SKIPPED for run in runs)
    lessons = [run for run in runs if is_lesson(run.scenario_id, run.suite)]
    learned = sum(run.status is RunStatus.PASSED for run in lessons)
    lost = [run for run in base if run.status is not RunStatus.PASSED]
    reason = (
        f"Of {len(base)} scenarios that the active voice passes it passes {good} ({share:.0%} "
        f"[{low:.0%}, {high:.0%}]), at least {limit:.0%}; of all {len(pairs)} it passes {every}."
        + (f" It fails {_told(lost)}." if lost else "")
        + (f" {skipped} were skipped." if skipped else "")
        + (
            f" Of {len(lessons)} whose failures teach, and which do not judge, it passes {learned}."
            if lessons
            else ""
        )
    )
    status = CheckStatus.PASSED if share >= limit else CheckStatus.FAILED
    return Check(name, status, reason, share, limit, person_decides=True)


def _regressions(
    runs: Sequence[TestRunLog], active_runs: Sequence[TestRunLog], thresholds: VoiceThresholds
) -> Check:
    """Lost scenarios above what chance explains: b - q, q the quantile of Binomial(b + c, 1/2)."""
    name = "regressions"
    both = [(mine, theirs) for mine, theirs in _pairs(runs, active_runs) if theirs is not None]
    if not both:
        return Check(name, CheckStatus.INSUFFICIENT, "No scenario was run with both voices.")
    lost = [m for m, a in both if a.status is RunStatus.PASSED and m.status is not RunStatus.PASSED]
    won = [m for m, a in both if m.status is RunStatus.PASSED and a.status is not RunStatus.PASSED]
    n = len(lost) + len(won)
    by_chance = int(binom.ppf(thresholds.confidence, n, 0.5)) if n else 0
    p = float(binom.sf(len(lost) - 1, n, 0.5)) if n else 1.0
    excess = max(0, len(lost) - by_chance)
    reason = (
        f"It loses {len(lost)} scenarios that the active voice passes and wins {len(won)}; chance alone "
        f"loses up to {by_chance} of {n} (McNemar, p = {p:.3f})."
        + (f" Lost: {_told(lost)}." if lost else "")
    )
    good = excess <= thresholds.max_regressions
    return Check(
        name,
        CheckStatus.PASSED if good else CheckStatus.FAILED,
        reason,
        float(excess),
        float(thresholds.max_regressions),
        person_decides=True,
    )


def _forgetting(
    runs: Sequence[TestRunLog],
    active_runs: Sequence[TestRunLog],
    thresholds: VoiceThresholds,
    comparison: VoiceComparison | None,
) -> Check:
    """The golden set's loss, candidate - active: measured, and on the suite's reference answers."""
    name, limit = "forgetting", thresholds.max_forgetting
    own = golden_loss(runs, active_runs, thresholds.confidence)
    if own is not None and own.low > limit:
        return Check(
            name,
            CheckStatus.FAILED,
            f"Reference answers of the golden suite are {own.value:+.3f} [{own.low:+.3f}, {own.high:+.3f}] "
            f"nats a token less likely than with the active voice, at most {limit:g}.",
            own.low,
            limit,
            person_decides=True,
        )
    found = own if comparison is None else comparison.golden
    if found is None or not math.isfinite(found.high):
        return Check(
            name, CheckStatus.INSUFFICIENT, "The golden set was not measured.", person_decides=True
        )
    told = (
        f"The golden set's loss is {found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}] nats a token "
        f"above the active voice's, over {found.n}; at most {limit:g}."
    )
    status = (
        CheckStatus.PASSED
        if found.high <= limit
        else CheckStatus.FAILED
        if found.low > limit
        else CheckStatus.INSUFFICIENT
    )
    return Check(name, status, told, found.high, limit, person_decides=True)


def golden_loss(
    runs: Sequence[TestRunLog], active_runs: Sequence[TestRunLog], confidence: float
) -> Estimate | None:
    """Mean of ln perplexity, candidate - active, over reference answers, with Student's interval.

    None below ``MIN_GOLDEN`` of them.
    """
    mine, theirs = _perplexities(runs), _perplexities(active_runs)
    differences = [math.log(mine[key] / theirs[key]) for key in mine if key in theirs]
    n = len(differences)
    if n < MIN_GOLDEN:
        return None
    mean = fmean(differences)
    variance = sum((each - mean) ** 2 for each in differences) / (n - 1)
    half = float(t.ppf(0.5 + confidence / 2, n - 1)) * math.sqrt(variance / n)
    return Estimate(
        "golden suite", mean, mean - half, mean + half, confidence, n, n, "Student's interval"
    )


def _perplexities(runs: Sequence[TestRunLog]) -> Mapping[tuple[str, int], float]:
    return {
        (run.scenario_id, number): result.value
        for run in runs
        if run.suite is Suite.GOLDEN
        for number, result in enumerate(run.criteria)
        if result.kind is CriterionKind.PERPLEXITY and result.value is not None and result.value > 0
    }


def _length(
    runs: Sequence[TestRunLog],
    active_runs: Sequence[TestRunLog],
    thresholds: VoiceThresholds,
    comparison: VoiceComparison | None,
) -> Check:
    name, limit = "length", thresholds.max_length_ratio
    if comparison is not None:
        ratio, told = comparison.length_ratio.value, "on held-out prompts"
    else:
        theirs = {run.scenario_id: run for run in active_runs}
        words = [
            (run.metric_scores["words"], theirs[run.scenario_id].metric_scores["words"])
            for run in runs
            if "words" in run.metric_scores
            and run.scenario_id in theirs
            and "words" in theirs[run.scenario_id].metric_scores
        ]
        active = sum(other for _, other in words)
        ratio = sum(own for own, _ in words) / active if active else math.nan
        told = f"over {len(words)} scenarios"
    if not math.isfinite(ratio):
        return Check(
            name, CheckStatus.INSUFFICIENT, "Lengths were not measured.", person_decides=True
        )
    good = 1 / limit <= ratio <= limit
    return Check(
        name,
        CheckStatus.PASSED if good else CheckStatus.FAILED,
        f"Answers are {ratio:.2f} times as long as the active voice's {told}; from {1 / limit:.2f} to "
        f"{limit:.2f} is allowed.",
        ratio,
        limit,
        person_decides=True,
    )


def _pairs(
    runs: Sequence[TestRunLog], active_runs: Sequence[TestRunLog]
) -> list[tuple[TestRunLog, TestRunLog | None]]:
    """Scenarios outside of safety with the active voice's run of the same one.

    What was not judged of the active voice measures nobody. What was of the active voice and not of the
    candidate stays, and is none that the candidate passes. Those whose failures teach do not judge: a voice
    may know their answers by heart.
    """
    theirs = {run.scenario_id: run for run in active_runs}
    found = [
        (run, theirs.get(run.scenario_id))
        for run in runs
        if run.suite not in STRICT and not is_lesson(run.scenario_id, run.suite)
    ]
    return [
        (mine, other)
        for mine, other in found
        if (mine if other is None else other).status is not RunStatus.SKIPPED
    ]


def _told(runs: Sequence[TestRunLog]) -> str:
    """The first few by name, each with its first reason."""
    parts = []
    for run in runs[:_SHOWN]:
        bad = next(
            (each.reason for each in run.criteria if each.status is not RunStatus.PASSED), ""
        )
        reason = run.errors[0] if run.errors else bad
        parts.append(f"{run.scenario_id} ({reason})" if reason else run.scenario_id)
    more = len(runs) - _SHOWN
    return "; ".join(parts) + (f" and {more} more" if more > 0 else "")
