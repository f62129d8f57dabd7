"""What each step says of its result: (summary, rows of its page, metrics, plots), for ``says``."""

from __future__ import annotations

from collections.abc import Sequence

from everloop.contracts.datasets import DatasetManifest
from everloop.contracts.evaluation import Check, CheckStatus, PolicyEvaluation, Verdict
from everloop.contracts.figures import HeadFigures, QualityFigures, RewardFigures, TrainingFigures
from everloop.contracts.models import ModelCheckpoint
from everloop.contracts.policy_learning import PolicyComparison
from everloop.contracts.rollouts import RolloutRecord
from everloop.reporting.charts import (
    daily_reward,
    divergence_curve,
    entropy_curve,
    episodes_per_day,
    learning_curve,
    reward_histogram,
)
from everloop.reporting.evidence import RunEvidence
from everloop.reporting.wording import interval, plural, words

Told = tuple[str, Sequence[tuple[str, str]], dict[str, float], Sequence[str]]


def dataset_rows(manifest: DatasetManifest) -> Told:
    """A dataset version: how much, from where, and what was left out."""
    out = manifest.exclusions
    left = {
        "people who opted out": out.opted_out_people,
        "their episodes": out.opted_out_episodes,
        "disputed signals": out.disputed_signals,
        "late signals": out.late_signals,
        "open episodes": out.open_episodes,
    }
    rows = [
        ("dataset", manifest.dataset_id),
        ("window", f"{manifest.window_days} days to {manifest.logical_date}"),
        ("episodes", f"{manifest.episodes:,}"),
        ("signals", f"{manifest.signals:,}"),
        *((f"left out: {name}", f"{count:,}") for name, count in left.items()),
    ]
    episodes = out.opted_out_episodes + out.open_episodes
    signals = out.disputed_signals + out.late_signals
    omitted = [
        plural(count, unit) for count, unit in ((episodes, "episode"), (signals, "signal")) if count
    ]
    summary = (
        f"{manifest.episodes:,} episodes, {manifest.signals:,} signals in {manifest.window_days} days"
        + (f"; left out: {', '.join(omitted)}" if omitted else "")
    )
    counts = {
        "episodes": manifest.episodes,
        "signals": manifest.signals,
        "episodes_left_out": episodes,
        "signals_left_out": signals,
    }
    metrics = {name: float(value) for name, value in counts.items()}
    return summary, rows, metrics, (episodes_per_day(manifest),)


def reward_rows(figures: RewardFigures, loop: str, measuring: bool = False) -> Told:
    """Rewards: mean with its interval, outcomes, evidence by type, and what waits for a person.

    Args:
        measuring: whether the rewards are for a comparison of arms, which what waits is part of.
    """
    rows = [
        ("episodes", f"{figures.episodes:,}"),
        ("with a reward", f"{figures.rewarded:,}"),
        ("mean reward", interval(figures.mean)),
        ("positive", f"{figures.positive_share:.2%}"),
        *((f"outcome: {name}", f"{count:,}") for name, count in figures.outcomes.items()),
        *(
            (f"signal: {s.name}", f"mean {s.mean:.4g} on {s.share:.1%} of episodes")
            for s in figures.by_signal
        ),
        ("anomalies", f"{figures.anomalies:,} ({figures.anomaly_share:.2%})"),
        ("outlier actions", f"{figures.outliers:,}"),
        *(left_out_rows(figures) if measuring else held_rows(figures, loop)),
    ]
    if figures.comparison is not None:
        rows.append(("comparison logs", interval(figures.comparison)))
    metrics = {
        "episodes": float(figures.episodes),
        "rewarded": float(figures.rewarded),
        "mean_reward": figures.mean.value,
        "positive_share": figures.positive_share,
        "anomaly_share": figures.anomaly_share,
        "held": float(figures.held),
    }
    summary = f"{figures.rewarded:,} rewards, mean {interval(figures.mean)}"
    if figures.held and not measuring:
        summary += f"; {plural(figures.held, 'episode')} held from training"
    return summary, rows, metrics, (reward_histogram(figures), daily_reward(figures))


def left_out_rows(figures: RewardFigures) -> Sequence[tuple[str, str]]:
    """How many episodes a comparison of arms does without."""
    return [("left out: rejected by a person", f"{figures.held:,}")]


def held_rows(figures: RewardFigures, loop: str) -> Sequence[tuple[str, str]]:
    """How many episodes teach nothing, and how a person decides about them."""
    if not figures.held:
        return [("held from training", "0")]
    waiting = figures.held - figures.rejected
    return [
        (
            "held from training",
            f"{figures.held:,}: {waiting:,} waiting, {figures.rejected:,} rejected",
        ),
        ("look at them", f"everloop review list --loop {loop}"),
    ]


def quality_rows(figures: QualityFigures) -> Told:
    """Synthetic quality: estimates and checks."""
    failed = [check for check in figures.checks if check.status is not CheckStatus.PASSED]
    rows = [
        *((estimate.name, interval(estimate)) for estimate in figures.estimates),
        *(
            (f"{g.attribute} {g.group}: {g.estimate.name}", interval(g.estimate))
            for g in figures.groups
        ),
        *((f"check: {c.name}", f"{c.status}: {c.reason}") for c in figures.checks),
        ("where", "inside the trust boundary" if figures.inside_boundary else "released"),
        *((f"published: {e.name}", interval(e)) for e in figures.published),
        *_paid_for(figures),
    ]
    told = f"; {failed[0].reason}" if failed else ""
    summary = f"{len(figures.checks) - len(failed)} of {len(figures.checks)} checks passed{told}"
    return summary, rows, {estimate.name: estimate.value for estimate in figures.estimates}, ()


def _paid_for(figures: QualityFigures) -> Sequence[tuple[str, str]]:
    if figures.release is None:
        return [("published", figures.refusal)] if figures.refusal else []
    note = figures.release
    told = note.reused or f"ε = {note.epsilon:.4g} at δ = {note.delta:g}, new"
    return [("published under", f"{note.release_id}: {told}")]


def training_rows(figures: TrainingFigures) -> Told:
    """Policy training: from where to where, at what cost."""
    speed = [point.steps_per_second for point in figures.curve]
    mean_speed = sum(speed) / len(speed) if speed else float("nan")
    rows = [
        ("iterations", f"{len(figures.curve)}"),
        ("decisions simulated", f"{figures.steps:,}"),
        ("simulated reward, first iteration", f"{figures.first_reward:.4g}"),
        ("simulated reward, last iteration", f"{figures.last_reward:.4g}"),
        ("decisions a second", f"{mean_speed:,.0f}"),
        ("weights", figures.weights_sha256),
        ("seed", str(figures.seed)),
        ("parameters", f"{figures.parameters:,}"),
    ]
    summary = (
        f"{figures.steps:,} simulated decisions, reward {figures.first_reward:.3f} → "
        f"{figures.last_reward:.3f}"
    )
    metrics = {
        "steps": float(figures.steps),
        "first_reward": figures.first_reward,
        "last_reward": figures.last_reward,
        "steps_per_second": mean_speed,
    }
    plots = (learning_curve(figures), divergence_curve(figures), entropy_curve(figures))
    return summary, rows, metrics, plots


def evaluation_rows(result: PolicyEvaluation) -> Told:
    """Off-policy evaluation: the difference to the baseline first."""
    rows = [
        (f"difference to {result.baseline_name}", interval(result.difference)),
        (result.baseline_name, interval(result.baseline)),
        *((estimate.name, interval(estimate)) for estimate in result.estimates),
        *((f"{e.name}: {e.method}", interval(e)) for e in result.intervals),
        *_journey_rows(result),
        ("effective sample", f"{result.overlap.effective_sample:,.0f} of {result.overlap.n:,}"),
        ("mean weight", f"{result.overlap.mean_weight:.4g}"),
        *(("overlap", problem) for problem in result.overlap.problems),
    ]
    if result.epsilon is not None:
        told = f"{result.epsilon:.1%} of decisions, as the service would explore now"
        rows.append(("judged while exploring", told))
    if result.comparison is not None:
        rows.append(("comparison logs", interval(result.comparison)))
    summary = f"candidate − {result.baseline_name}: {interval(result.difference)}"
    metrics = {
        "baseline": result.baseline.value,
        "difference": result.difference.value,
        "difference_low": result.difference.low,
        "difference_high": result.difference.high,
        "effective_sample": result.overlap.effective_sample,
    }
    return summary, rows, metrics, ()


def _journey_rows(result: PolicyEvaluation) -> Sequence[tuple[str, str]]:
    """What journeys are worth, or the sentence why that is not said."""
    known = (
        ("reward of a journey", result.journeys),
        (f"reward of a journey, {result.baseline_name}", result.baseline_journeys),
    )
    rows = [(name, f"{interval(e)}, {e.method}") for name, e in known if e is not None]
    refused = result.journeys_refused
    return [*rows, ("reward of a journey", refused)] if refused else rows


def comparison_rows(found: PolicyComparison) -> Told:
    """Every learner on the same people, then the chosen policy's evaluation."""
    summary, rows, metrics, _ = evaluation_rows(found.best.evaluation)
    learners = [
        (
            f"{p.learner}{'' if p.deployable else ', report only'}: difference",
            interval(p.evaluation.difference),
        )
        for p in found.policies
    ]
    if found.privacy_cost is not None:
        learners.append(("what privacy costs", interval(found.privacy_cost)))
    rows = [("chosen", found.chosen), ("why", found.reason), *learners, *rows]
    metrics |= {"compared": float(len(found.policies))}
    return f"{found.chosen} of {len(found.policies)}; {summary}", rows, metrics, ()


def verdict_rows(verdict: Verdict) -> Told:
    """The gate: decision and every check."""
    rows = [
        ("decision", f"{verdict.decision}{_waiting(verdict)}"),
        *((f"{c.name}: {c.status}{_waiting(c)}", c.reason) for c in verdict.checks),
        *((f"input: {name}", checksum) for name, checksum in verdict.inputs.items()),
    ]
    passed = sum(check.status is CheckStatus.PASSED for check in verdict.checks)
    metrics = {"checks": float(len(verdict.checks)), "passed": float(passed)}
    return f"{verdict.decision}{_waiting(verdict)}: {verdict.reasons[0]}", rows, metrics, ()


def _waiting(answer: Verdict | Check) -> str:
    return ", waits for a person" if answer.awaits_person else ""


def head_rows(found: HeadFigures) -> Told:
    """The pairing and the emotion model: what was measured of each on held-out people."""
    rows = [("left out", reason) for reason in found.left_out]
    metrics: dict[str, float] = {}
    for head in found.models:
        rows += [
            (f"{head.model_type} model", f"{head.version}, sha256 {head.sha256}"),
            ("differs from the user model by at most", f"{head.error:.1g}"),
        ]
        for figure in head.figures:
            rows.append((words(figure.name), f"{interval(figure)}, {plural(figure.n, 'decision')}"))
            metrics[figure.name] = figure.value
    made = " and ".join(head.model_type for head in found.models)
    summary = f"{made} model" if made else "no head: " + "; ".join(found.left_out)
    return summary, rows, metrics, ()


def checkpoint_rows(row: ModelCheckpoint) -> Told:
    """A registered checkpoint: files and lineage."""
    rows = [
        ("checkpoint", row.checkpoint_id),
        ("model type", row.model_type.value),
        ("weights", f"{row.weights_url} sha256 {row.weights_sha256}"),
        ("provenance", row.provenance.value),
        ("verdict", row.verdict),
        *((f"lineage: {name}", value) for name, value in row.lineage.items()),
    ]
    return f"checkpoint {row.checkpoint_id}", rows, dict(row.performance_metrics), ()


def rollout_rows(record: RolloutRecord) -> Told:
    """A rollout or its refusal."""
    rows = [
        ("state", record.state),
        ("candidate", record.candidate),
        ("active", record.active or "none: the logging policy serves"),
        ("traffic", f"{record.traffic_percent:g} %"),
        *(("reason", reason) for reason in record.reasons),
    ]
    told = {
        "started": f"started at {record.traffic_percent:g} % of people",
        "shadow": "in shadow: decides unseen before anybody meets it",
        "awaiting_approval": f"awaits a person: {record.reasons[0]}",
    }
    summary = told.get(record.state, f"{record.state}: {record.reasons[0]}")
    return summary, rows, {"traffic_percent": record.traffic_percent}, ()


def report_rows(evidence: RunEvidence, unsaid: str = "") -> Told:
    """The report: what the run came to, and which monitor could not be told."""
    if evidence.verdict is not None:
        summary = f"{evidence.verdict.decision}: {evidence.verdict.reasons[0]}"
    elif evidence.ending is not None:
        summary = evidence.ending.sentence
    else:
        summary = "no verdict"
    return f"{summary} {unsaid}".rstrip(), (), {}, ()
