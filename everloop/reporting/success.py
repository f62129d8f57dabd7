"""The specification's success metrics, measured on the log where the log can say something.

Where the dataset holds people out, its metrics are about them alone: nothing that decided had learned
from them. Only decisions of the loop's own policies count (the comparison arm does not), except for
retention, which asks whether a person was seen at all. Trust and opt-outs are the whole tenant's, as
known at the run's cut-off. What cannot be measured says why; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from everloop.contracts.datasets import Bool, DatasetManifest, EncodedEpisodes, Float
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate
from everloop.contracts.feedback import TrustFigures
from everloop.contracts.figures import SuccessFigure
from everloop.contracts.loop_spec import BenchmarkMetric, LoopSpec
from everloop.reporting.intervals import (
    mean_estimate,
    ratio_estimate,
    rmse_estimate,
    share_estimate,
)
from everloop.reporting.trust import TRUST_METRICS, trust_figure
from everloop.reporting.wording import plural, words

_SECONDS_PER_DAY = 86_400
_EPOCH = date(1970, 1, 1).toordinal()
_RETENTION = re.compile(r"retention_(\d+)_day$")
_ACCEPTED, _REJECTED = "_acceptance", "_false_positive_rate"

Groups = Mapping[str, NDArray[np.str_]]
"""Protected attribute -> (n,) group of each episode, "" where it is not known."""


@dataclass(frozen=True, slots=True)
class _Evidence:
    spec: LoopSpec
    episodes: EncodedEpisodes
    manifest: DatasetManifest | None
    predicted: Float | None
    groups: Groups | None
    trust: TrustFigures | None
    confidence: float

    @property
    def own(self) -> Bool:
        return ~self.episodes.comparison

    @property
    def judged(self) -> Bool:
        """Episodes of held-out people; all where nobody is."""
        holdout = self.episodes.holdout
        return holdout if holdout.any() else np.ones_like(holdout)

    @property
    def of_whom(self) -> str:
        return " of held-out people" if self.episodes.holdout.any() else ""


class _NotMeasurable(Exception):
    """Carries the reason; it never leaves this module."""


def success_figures(
    spec: LoopSpec,
    episodes: EncodedEpisodes,
    *,
    manifest: DatasetManifest | None = None,
    predicted: Float | None = None,
    groups: Groups | None = None,
    trust: TrustFigures | None = None,
    confidence: float = 0.95,
) -> tuple[SuccessFigure, ...]:
    """Measure every success metric of the specification, in its order.

    - share of a signal: episodes of the metric's ``action_kind`` with the signal's mean above 0, over
      those that have the signal; a ``*_rate`` on a one-sided signal is the signal's mean instead.
    - ``*_acceptance`` without a signal: rewarded decisions of the kind whose reward reaches
      ``reward.success_at``, over all of them; ``*_false_positive_rate``: those whose reward is at or
      below ``reward.failure_at``, decisions that people rejected.
    - rmse of a signal: the user model's predictions against held-out episodes, in the signal's
      declared units (a two-sided one has half the error that it has on [-1, 1]).
    - ``bias_parity``: the least, over protected groups, of the group's over the others' mean reward,
      rescaled to the attainable range; groups under ``fairness_min_group`` people are merged.
    - ``user_trust_score`` and ``opt_out_rate``: of ``trust``, with its own 95 % intervals.
    - ``*retention_K_day``: person-days (UTC) after which the person decided again within K days, over
      those whose K days lie within the window.

    Args:
        episodes: n encoded episodes.
        manifest: of their dataset version; without it, the window ends with the newest episode.
        predicted: (n, S) predicted mean of each signal type in [-1, 1], NaN where not predicted.
        groups: protected attribute -> (n,) group of each episode.
        trust: the tenant's, as known at the run's cut-off.
        confidence: of every other interval.

    Raises:
        ShouldFixArgument: ``predicted`` or a group has another shape than the episodes.
    """
    wanted = (len(episodes), len(spec.signals))
    if predicted is not None and predicted.shape != wanted:
        raise ShouldFixArgument(f"predicted has shape {predicted.shape}, not {wanted}.")
    for attribute, group in (groups or {}).items():
        if len(group) != len(episodes):
            raise ShouldFixArgument(
                f"groups[{attribute!r}] has {len(group)} rows, not {len(episodes)}."
            )
    evidence = _Evidence(spec, episodes, manifest, predicted, groups, trust, confidence)
    return tuple(_figure(metric, evidence) for metric in spec.success_metrics)


def unmeasured(
    spec: LoopSpec, why: str, trust: TrustFigures | None = None
) -> tuple[SuccessFigure, ...]:
    """Every success metric, for a run that has no encoded episodes: what they measure has no value."""
    return tuple(
        _with(metric, None, why)
        if trust is None or metric.name not in TRUST_METRICS
        else _with(metric, *trust_figure(metric.name, trust, spec.person_ids))
        for metric in spec.success_metrics
    )


def _with(metric: BenchmarkMetric, current: Estimate | None, note: str) -> SuccessFigure:
    lower = (
        metric.unit == "rmse"
        or metric.target < metric.baseline
        or metric.name == "opt_out_rate"
        or metric.name.endswith(_REJECTED)
    )
    return SuccessFigure(
        metric.name, metric.baseline, metric.target, metric.unit, current, note, lower
    )


def _figure(metric: BenchmarkMetric, evidence: _Evidence) -> SuccessFigure:
    if metric.name in TRUST_METRICS and evidence.trust is not None:
        figure = trust_figure(metric.name, evidence.trust, evidence.spec.person_ids)
        return _with(metric, *figure)
    try:
        current, note = _measure(metric, evidence)
    except _NotMeasurable as problem:
        return _with(metric, None, f"not measurable on this data: {problem}")
    return _with(metric, current, note)


def _measure(metric: BenchmarkMetric, evidence: _Evidence) -> tuple[Estimate, str]:
    if retention := _RETENTION.search(metric.name):
        return _retention(metric, int(retention.group(1)), evidence)
    if metric.name == "bias_parity":
        return _parity(metric, evidence)
    if metric.name in TRUST_METRICS:
        raise _NotMeasurable("the workspace's answers and consents are not at hand")
    if metric.signal is None and metric.name.endswith((_ACCEPTED, _REJECTED)):
        return _outcome_share(metric, evidence)
    if metric.signal is None:
        raise _NotMeasurable("no signal in the log speaks of it")
    if metric.signal not in evidence.spec.signal_names:
        raise _NotMeasurable(f"{metric.signal} is part of the context, not an outcome")
    if metric.unit == "rmse":
        return _prediction_error(metric, metric.signal, evidence)
    if metric.unit == "share":
        return _signal_share(metric, metric.signal, evidence)
    raise _NotMeasurable(f"a score of {metric.signal} has no definition here")


def _decisions(metric: BenchmarkMetric, evidence: _Evidence) -> tuple[Bool, str]:
    """Own decisions of the metric's kind for those who are judged, and their name in a sentence."""
    rows = evidence.own & evidence.judged
    if metric.action_kind is None:
        return rows, f"decisions{evidence.of_whom}"
    kinds = np.array([a.kind is metric.action_kind for a in evidence.spec.actions])
    rows = rows & kinds[evidence.episodes.action]
    return rows, f"{words(metric.action_kind.value)} decisions{evidence.of_whom}"


def _outcome_share(metric: BenchmarkMetric, evidence: _Evidence) -> tuple[Estimate, str]:
    """Accepted or rejected decisions over those that were rewarded."""
    episodes, bounds = evidence.episodes, evidence.spec.reward
    rows, what = _decisions(metric, evidence)
    rewarded = rows & np.isfinite(episodes.reward)
    total, n = int(rows.sum()), int(rewarded.sum())
    if not n:
        raise _NotMeasurable(f"the log has no {what} with a reward")
    kept = episodes.reward[rewarded]
    accepted = metric.name.endswith(_ACCEPTED)
    reached = kept >= bounds.success_at if accepted else kept <= bounds.failure_at
    said = f"at least {bounds.success_at:g}" if accepted else f"at most {bounds.failure_at:g}"
    people = episodes.person[rewarded]
    estimate = share_estimate(metric.name, reached.astype(float), people, evidence.confidence)
    return estimate, f"reward {said} over the {n:,} of {total:,} {what} with a reward"


def _signal_share(
    metric: BenchmarkMetric, signal: str, evidence: _Evidence
) -> tuple[Estimate, str]:
    episodes, spec = evidence.episodes, evidence.spec
    rows, what = _decisions(metric, evidence)
    values = episodes.signals[:, spec.signal_names.index(signal)]
    present = rows & np.isfinite(values)
    total, n = int(rows.sum()), int(present.sum())
    if not total:
        raise _NotMeasurable(f"the log has no {what}")
    if not n:
        raise _NotMeasurable(f"none of the {total:,} {what} has {words(signal)} evidence")
    kept, people = values[present], episodes.person[present]
    over = f"over the {n:,} of {total:,} {what} with {words(signal)} evidence"
    declared = spec.signal(signal)
    one_sided = not declared.two_sided and declared.low >= 0.0
    if metric.name.endswith("_rate") and one_sided and not np.isin(kept, (0.0, 1.0)).all():
        estimate = mean_estimate(metric.name, kept, people, evidence.confidence, 0.0, 1.0)
        return estimate, f"mean {words(signal)} {over}"
    hits = (kept > 0).astype(np.float64)
    estimate = share_estimate(metric.name, hits, people, evidence.confidence)
    return estimate, f"{words(signal)} above 0 {over}"


def _prediction_error(
    metric: BenchmarkMetric, signal: str, evidence: _Evidence
) -> tuple[Estimate, str]:
    if evidence.predicted is None:
        raise _NotMeasurable("no predictions of a user model were made in this run")
    episodes, spec = evidence.episodes, evidence.spec
    column = spec.signal_names.index(signal)
    rows, what = _decisions(metric, evidence)
    errors = evidence.predicted[:, column] - episodes.signals[:, column]
    present = rows & episodes.holdout & np.isfinite(errors)
    if not present.any():
        what = what.removesuffix(evidence.of_whom)
        raise _NotMeasurable(f"no held-out {what} have {words(signal)} evidence and a prediction")
    scale = 0.5 if spec.signal(signal).two_sided else 1.0
    estimate = rmse_estimate(
        metric.name, scale * errors[present], episodes.person[present], evidence.confidence
    )
    kept = f"{int(present.sum()):,} held-out {what.removesuffix(evidence.of_whom)}"
    return estimate, f"the user model's {words(signal)} on {kept}"


def _retention(metric: BenchmarkMetric, ahead: int, evidence: _Evidence) -> tuple[Estimate, str]:
    if not evidence.spec.person_ids:
        raise _NotMeasurable("the logs carry no person, so nobody can be seen again")
    episodes = evidence.episodes
    if not len(episodes):
        raise _NotMeasurable("the window has no episodes")
    days = (episodes.timestamp // _SECONDS_PER_DAY).astype(np.int64)
    manifest = evidence.manifest
    newest = int(days.max())
    if manifest is not None:
        newest = manifest.logical_date.toordinal() - _EPOCH
    judged = evidence.judged
    active = np.unique(np.c_[episodes.person[judged], days[judged]], axis=0)
    asked = active[:, 1] + ahead <= newest
    if not asked.any():
        raise _NotMeasurable(f"the window is too short to wait {ahead} days for anybody")
    later = np.r_[active[1:, 1] - active[:-1, 1], ahead + 1]
    same = np.r_[active[1:, 0] == active[:-1, 0], False]
    hits = (same & (later <= ahead))[asked].astype(np.float64)
    estimate = share_estimate(metric.name, hits, active[asked, 0], evidence.confidence)
    return (
        estimate,
        f"seen again within {ahead} days, over {len(hits):,} person-days{evidence.of_whom}",
    )


def _parity(metric: BenchmarkMetric, evidence: _Evidence) -> tuple[Estimate, str]:
    if not evidence.groups:
        raise _NotMeasurable("no protected group is known")
    episodes, reward = evidence.episodes, evidence.spec.reward
    span = reward.attainable_high - reward.attainable_low
    comparisons = []
    for attribute, group in evidence.groups.items():
        rows = evidence.own & np.isfinite(episodes.reward) & (group != "")
        values = (episodes.reward[rows] - reward.attainable_low) / span
        people = episodes.person[rows]
        least = evidence.spec.thresholds.fairness_min_group
        for name, member in _members(group[rows], people, least):
            if values[member].mean() <= 0 or values[~member].mean() <= 0:
                raise _NotMeasurable(
                    f"{attribute} {name} or the others earn nothing above the attainable minimum"
                )
            comparisons.append((f"{attribute} {name}", values, member, people))
    if not comparisons:
        raise _NotMeasurable("no two protected groups are large enough to compare")
    ratios = [
        (
            name,
            ratio_estimate(
                metric.name, values, member, people, evidence.confidence, len(comparisons)
            ),
        )
        for name, values, member, people in comparisons
    ]
    name, lowest = min(ratios, key=lambda item: item[1].value)
    return lowest, f"lowest of {plural(len(ratios), 'group')}: {name} against the others"


def _members(
    group: NDArray[np.str_], people: NDArray[np.int64], least: int
) -> list[tuple[str, Bool]]:
    """Groups with at least ``least`` people, the smaller ones as one; none when fewer than two."""
    large, small = [], np.zeros(len(group), dtype=np.bool_)
    for name in np.unique(group):
        member = group == name
        if len(np.unique(people[member])) >= least:
            large.append((str(name), member))
        else:
            small |= member
    if small.any() and len(np.unique(people[small])) >= least:
        large.append(("smaller groups", small))
    return large if len(large) > 1 else []
