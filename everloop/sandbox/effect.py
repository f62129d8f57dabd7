"""Whether a candidate does for people what its placebo does not."""

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
