"""What workers' counts say of a candidate: whether its shadow is over, and what rolls a trial back at once.

Pure functions. ``PASSED``: nothing is wrong; ``INSUFFICIENT``: too few counts, or more than allowed without
proof that this is no chance: wait; ``FAILED``: roll back. A share fails only when an anytime-valid exact
binomial test puts it above its limit (``shares.log_evidence_above``) at ``ERROR`` over all looks together,
so that neither one early failure nor many looks roll anything back; an answer that is no distribution is
never chance, and one is enough.

A trial's counts are tested twice, all together and tally by tally, so that a candidate that worked for a
month and fails today is not excused by its month: half of the error for the whole, and for each of m
tallies ERROR / (4 m^2), which sums to less than the other half however many there become.

Latency percentiles come from histograms: a percentile is the upper edge of the bucket that holds it, so it
is never told lower than it is. "p99 above L" is the same as "more than one in a hundred above L", which is
what is tested, call by call: the questions of one call waited together, and a slow call is one event. It
counts as slower where its bucket's upper edge is above L.

What serves without a model, the explorer of a cold start, counts as the active with its base action.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Check, CheckStatus
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollouts import RolloutRecord, TrialTally
from everloop.rollout.shares import log_evidence_above

SHADOW, TRIAL = "shadow", "trial"
"""Phases of a ``TrialTally``."""
SPOKEN, SCREENED, FAILED = "spoken", "screened", "failed"
"""How an answer of a voice ended: shown, kept back by the last screen, not given."""
VOICE_LIMITS = ("answers", "errors", "screened", "voice_latency")
"""Names of the checks of ``voice_failures``."""
HARD_LIMITS = ("answers", "errors", "latency", "actions")
"""Names of the checks of ``hard_failures``."""
ERROR = 0.01
"""Probability of a false alarm of one check over the whole trial, where the truth is at its limit."""
_SLOWEST = 0.01
"""Share of answers that may be slower than the limit of a 99th percentile."""


def merged(tallies: Sequence[TrialTally], phase: str) -> TrialTally:
    """The counts of a phase over all workers; zeros without any.

    Raises:
        ShouldFixArgument: tallies of two rollouts.
    """
    chosen = [tally for tally in tallies if tally.phase == phase]
    rollouts = {(tally.tenant, tally.rollout_id) for tally in chosen}
    if len(rollouts) > 1:
        raise ShouldFixArgument(
            f"Tallies of several rollouts ({sorted(rollouts)}) do not add up.", "Pass those of one."
        )
    tenant, rollout_id = next(iter(rollouts), ("default", ""))
    return TrialTally(
        rollout_id=rollout_id,
        phase=phase,
        worker="all",
        tenant=tenant,
        asked=sum(t.asked for t in chosen),
        failed=sum(t.failed for t in chosen),
        invalid=sum(t.invalid for t in chosen),
        dropped=sum(t.dropped for t in chosen),
        agreed=sum(t.agreed for t in chosen),
        actions=_summed([t.actions for t in chosen]),
        active_actions=_summed([t.active_actions for t in chosen]),
        latency=_summed([t.latency for t in chosen]),
    )


def percentile_ms(latency: Mapping[str, int], share: float = 0.99) -> float:
    """Upper edge in milliseconds of the bucket that holds a percentile; NaN without any answer."""
    total, seen = sum(latency.values()), 0
    for edge in sorted(latency, key=float):
        seen += latency[edge]
        if seen >= math.ceil(share * total) and seen > 0:
            return float(edge)
    return math.nan


def shadow_checks(
    spec: LoopSpec, record: RolloutRecord, tallies: Sequence[TrialTally], now: datetime
) -> tuple[Check, ...]:
    """Whether the candidate may meet people: every one ``PASSED``.

    Dropped questions come in bursts, so their share fails no sooner than the time in shadow is over.
    """
    limits, found = spec.rollout.shadow, merged(tallies, SHADOW)
    hours = (now - record.entered_at).total_seconds() / 3600.0
    whole = [found]
    return (
        _enough(found, limits.decisions),
        _long_enough(hours, limits.hours),
        _answers("shadow_answers", found),
        _share(
            "shadow_errors",
            whole,
            lambda t: (t.failed, t.asked - t.dropped),
            limits.max_error_share,
            "decisions got no answer from the candidate",
        ),
        _latency("shadow_latency", whole, limits.max_p99_ms),
        _share(
            "shadow_dropped",
            whole,
            lambda t: (t.dropped, t.asked),
            limits.max_dropped_share,
            "decisions were not put to the candidate for want of time",
            patient=hours < limits.hours,
        ),
        _agreement(found, limits.min_agreement),
        _collapse("shadow_actions", found, spec.rollout.hard_limits.collapse_share),
    )


def hard_failures(spec: LoopSpec, tallies: Sequence[TrialTally]) -> tuple[Check, ...]:
    """What rolls a trial back at once, from the tallies of phase ``trial`` among those given.

    Below ``min_decisions`` every check but that of the answers is ``INSUFFICIENT``: it keeps a winner from
    being promoted unseen, and should not keep a ramp from bringing more people.
    """
    limits, whole = spec.rollout.hard_limits, merged(tallies, TRIAL)
    least = limits.min_decisions
    each = [t for t in tallies if t.phase == TRIAL and t.asked - t.dropped >= least]
    judged = (
        [whole, *each] if len(each) > 1 or whole.asked > sum(t.asked for t in each) else [whole]
    )
    return (
        _answers("answers", whole),
        _share(
            "errors",
            judged,
            lambda t: (t.failed, t.asked - t.dropped),
            limits.max_error_share,
            "decisions got no answer from the candidate",
            least,
        ),
        _latency("latency", judged, limits.max_p99_ms, least),
        _collapse("actions", whole, limits.collapse_share, least),
    )


def voice_failures(spec: LoopSpec, tallies: Sequence[TrialTally]) -> tuple[Check, ...]:
    """What rolls the trial of a voice back at once, from the tallies of phase ``trial``: as
    ``hard_failures``, of answers that were asked of it and were not given, could not be shown, or came too
    late.

    Both voices answer in one batch to people of one moment: where more than ``max_error_share`` of the
    active's answers failed or could not be shown, that share is the limit. A voice takes no action. One
    that nothing of ours was asked to let speak cannot fail here: the product speaks with it elsewhere.
    """
    limits, whole = spec.rollout.hard_limits, merged(tallies, TRIAL)
    if not whole.asked:
        told = "Nobody asked it to speak here: what people's answers say decides."
        return tuple(Check(name, CheckStatus.PASSED, told) for name in VOICE_LIMITS)
    least = limits.min_decisions
    each = [t for t in tallies if t.phase == TRIAL and t.asked - t.dropped >= least]
    judged = [whole, *each] if len(each) > 1 else [whole]
    invalid = whole.invalid
    told = f"{invalid:,} of {whole.asked:,} of its answers were no text."
    return (
        Check(
            "answers",
            CheckStatus.FAILED if invalid else CheckStatus.PASSED,
            told,
            float(invalid),
            0.0,
        ),
        _share(
            "errors",
            judged,
            lambda t: (t.failed, t.asked - t.dropped),
            max(limits.max_error_share, _of_active(whole, FAILED)),
            "times it was asked to speak it gave no answer",
            least,
        ),
        _share(
            "screened",
            judged,
            lambda t: (t.actions.get(SCREENED, 0), t.answered),
            max(limits.max_error_share, _of_active(whole, SCREENED)),
            "of its answers could not be shown",
            least,
        ),
        _latency("voice_latency", judged, limits.max_voice_p99_ms, least),
    )


def _of_active(found: TrialTally, how: str) -> float:
    """Share of the active voice's answers that ended so; 0 without any."""
    asked = sum(found.active_actions.values())
    return found.active_actions.get(how, 0) / asked if asked else 0.0


def _summed(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))


def _known(value: float) -> float | None:
    """Figures travel as JSON, which has neither NaN nor infinity."""
    return value if math.isfinite(value) else None


def _enough(found: TrialTally, least: int) -> Check:
    status = CheckStatus.PASSED if found.answered >= least else CheckStatus.INSUFFICIENT
    reason = f"The candidate decided {found.answered:,} times unseen; {least:,} are asked for."
    return Check("shadow_decisions", status, reason, float(found.answered), float(least))


def _long_enough(hours: float, least: float) -> Check:
    status = CheckStatus.PASSED if hours >= least else CheckStatus.INSUFFICIENT
    reason = f"It has been in shadow for {hours:.1f} hours; {least:g} are asked for."
    return Check("shadow_time", status, reason, hours, least)


def _answers(name: str, found: TrialTally) -> Check:
    if found.invalid:
        reason = (
            f"{found.invalid:,} of {found.asked:,} answers were no distribution (NaN or the like)."
        )
        return Check(name, CheckStatus.FAILED, reason, float(found.invalid), 0.0)
    if not found.asked:
        return Check(name, CheckStatus.INSUFFICIENT, "The candidate was not asked yet.", 0.0, 0.0)
    reason = f"All of {found.answered:,} answers were distributions."
    return Check(name, CheckStatus.PASSED, reason, 0.0, 0.0)


def _share(
    name: str,
    judged: Sequence[TrialTally],
    count: Callable[[TrialTally], tuple[int, int]],
    limit: float,
    what: str,
    least: int = 1,
    patient: bool = False,
    decided: int | None = None,
) -> Check:
    """The first of ``judged`` is the whole; ``patient``: wait where it would fail; ``decided``: decisions
    that ``least`` asks for, where something else is counted."""
    worst, failed = _judged(judged, count, limit)
    hits, n = count(worst)
    share = hits / n if n else math.nan
    counted = f"{hits:,} of {n:,} {what}; at most {limit:.1%} may."
    known = n if decided is None else decided
    if known < least or n == 0:
        reason = f"Too few decisions to say ({known:,} of {least:,}): {counted}"
        return Check(name, CheckStatus.INSUFFICIENT, reason, _known(share), limit)
    if failed and not patient:
        where = "" if worst is judged[0] else f" (worker {worst.worker})"
        reason = f"{counted[:-1]}, and that is no chance{where}."
        return Check(name, CheckStatus.FAILED, reason, share, limit)
    if share > limit:
        reason = f"{counted[:-1]}; it could still be chance."
        return Check(name, CheckStatus.INSUFFICIENT, reason, _known(share), limit)
    return Check(name, CheckStatus.PASSED, counted, _known(share), limit)


def _judged(
    judged: Sequence[TrialTally], count: Callable[[TrialTally], tuple[int, int]], limit: float
) -> tuple[TrialTally, bool]:
    whole, each = judged[0], judged[1:]
    if log_evidence_above(*count(whole), limit) >= math.log(2.0 / ERROR):
        return whole, True
    bound = math.log(4.0 * max(1, len(each)) ** 2 / ERROR)
    for tally in each:
        if log_evidence_above(*count(tally), limit) >= bound:
            return tally, True
    return whole, False


def _latency(name: str, judged: Sequence[TrialTally], limit_ms: float, least: int = 1) -> Check:
    def slow(tally: TrialTally) -> tuple[int, int]:
        counts = tally.latency
        return sum(c for edge, c in counts.items() if float(edge) > limit_ms), sum(counts.values())

    answered = judged[0].answered
    found = _share(
        name,
        judged,
        slow,
        _SLOWEST,
        f"calls of the candidate took longer than {limit_ms:g} ms",
        least,
        decided=answered,
    )
    p99 = percentile_ms(judged[0].latency)
    told = (
        f"{p99:g} ms"
        if math.isfinite(p99)
        else "not known"
        if math.isnan(p99)
        else "beyond all edges"
    )
    reason = (
        f"{found.reason} 99th percentile of calls, which answered {answered:,} decisions: {told}."
    )
    return Check(name, found.status, reason, _known(p99), limit_ms)


def _agreement(found: TrialTally, least: float) -> Check:
    name, n = "shadow_agreement", sum(found.active_actions.values())
    if not n:
        reason = "What serves answered none of the candidate's questions: nothing to compare with."
        return Check(name, CheckStatus.INSUFFICIENT, reason, None, least)
    share = found.agreed / n
    said = (
        f"Candidate and active would most likely do the same in {found.agreed:,} of {n:,} decisions"
    )
    if least == 0.0:
        return Check(name, CheckStatus.PASSED, f"{said} (reported only).", share, least)
    reason = f"{said}; at least {least:.1%} are asked for."
    if share >= least:
        return Check(name, CheckStatus.PASSED, reason, share, least)
    proven = log_evidence_above(n - found.agreed, n, 1.0 - least) >= math.log(1.0 / ERROR)
    status = CheckStatus.FAILED if proven else CheckStatus.INSUFFICIENT
    return Check(name, status, reason, share, least)


def _collapse(name: str, found: TrialTally, limit: float, least: int = 1) -> Check:
    """A candidate collapsed that would most likely take one action in more than ``limit`` of its decisions,
    where the active takes none in so many; both proven. An active that keeps to one action too, another
    one, or that answered nothing leaves open whether the questions are alike: wait. 1 asks nothing."""
    n, others = sum(found.actions.values()), sum(found.active_actions.values())
    if n < max(least, 1):
        reason = f"Too few answers to say ({n:,} of {max(least, 1):,})."
        return Check(name, CheckStatus.INSUFFICIENT, reason, None, limit)
    action, hits = max(found.actions.items(), key=lambda item: (item[1], item[0]))
    same = found.active_actions.get(action, 0)
    share = hits / n
    reason = (
        f"{action!r} is the candidate's answer in {hits:,} of {n:,} decisions ({share:.1%})"
        + (
            f", the active's in {same:,} of {others:,} ({same / others:.1%})."
            if others
            else "; nothing that serves answered."
        )
    )
    if share < limit or limit == 1.0 or (others and same / others >= limit):
        return Check(name, CheckStatus.PASSED, reason, share, limit)
    most = max(found.active_actions.values(), default=0)
    if most >= limit * others:
        alike = (
            "What serves keeps to one action too" if others else "Nothing is there to compare with"
        )
        reason = (
            f"{reason} {alike}: the questions may be alike. Wait until they differ, or set "
            "collapse_share: 1."
        )
        return Check(name, CheckStatus.INSUFFICIENT, reason, share, limit)
    bound = math.log(2.0 / ERROR)
    varied = log_evidence_above(others - most, others, 1.0 - limit)
    proven = log_evidence_above(hits, n, limit) >= bound and varied >= bound
    status = CheckStatus.FAILED if proven else CheckStatus.INSUFFICIENT
    return Check(name, status, f"{reason} A policy has collapsed at {limit:.1%}.", share, limit)
