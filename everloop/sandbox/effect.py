"""Whether a candidate does for people what its placebo does not, and no less than the voice that serves."""

from __future__ import annotations

import math

from everloop.contracts.evaluation import Check, CheckStatus
from everloop.contracts.voice_spec import VoiceThresholds
from everloop.contracts.voices import VoiceComparison


def effect_check(thresholds: VoiceThresholds, comparison: VoiceComparison | None) -> Check:
    """Whether the lower bound of candidate - placebo is above ``min_effect``, over enough people."""
    name, limit = "effect", thresholds.min_effect
    if comparison is None or not math.isfinite(comparison.effect.low):
        return Check(name, CheckStatus.INSUFFICIENT, "No effect over the placebo was measured.")
    found, least = comparison.effect, thresholds.min_held_out_people
    if found.clusters < least:
        return Check(
            name,
            CheckStatus.INSUFFICIENT,
            f"{found.clusters} held-out people say what they wanted, fewer than {least}: how much people "
            "differ is not known from so few.",
            float(found.clusters),
            float(least),
        )
    told = (
        f"What held-out people wanted is {found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}] nats a "
        f"token likelier than with the placebo, over {found.n} rows of {found.clusters} people; "
    )
    if found.low > limit:
        said = f"the lower bound is above {limit:g}."
        return Check(name, CheckStatus.PASSED, told + said, found.low, limit)
    status = CheckStatus.FAILED if found.high <= limit else CheckStatus.INSUFFICIENT
    return Check(name, status, f"{told}the lower bound must be above {limit:g}.", found.low, limit)


def over_active_check(comparison: VoiceComparison | None) -> Check:
    """Whether what people wanted is no less likely than with what serves, the base alone included.

    Failed where the whole interval of candidate - active is below 0: an effect over the placebo says what a
    training taught, and both may be worse than what people have today.
    """
    name = "over_active"
    if comparison is None or not math.isfinite(comparison.over_active.high):
        return Check(
            name, CheckStatus.INSUFFICIENT, "Nothing was measured beside the active voice."
        )
    found = comparison.over_active
    return Check(
        name,
        CheckStatus.FAILED if found.high < 0.0 else CheckStatus.PASSED,
        f"What held-out people wanted is {found.value:+.4f} [{found.low:+.4f}, {found.high:+.4f}] nats a "
        "token likelier than with the active voice; the upper bound must not be below 0.",
        found.high,
        0.0,
    )
