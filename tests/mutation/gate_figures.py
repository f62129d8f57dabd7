"""The gate's checks of figures."""

from __future__ import annotations

from tests.mutation.mutant import Mutant, mutants

MUTANTS: tuple[Mutant, ...] = (
    *mutants(
        "gate",
        "everloop/gates/non_inferiority.py",
        "tests/unit/gates/test_non_inferiority.py",
        [
            (
                "the margin's sign is turned round",
                "if d.low > -margin:",
                "if d.low > margin:",
                "test_a_margin_is_not_a_share_of_the_bare_reward",
            ),
            (
                "the margin is dropped",
                "if d.low > -margin:",
                "if d.low > 0.0:",
                "test_a_margin_is_not_a_share_of_the_bare_reward",
            ),
            (
                "the comparison with the margin is turned round",
                "if d.low > -margin:",
                "if d.low < -margin:",
                "test_three_answers",
            ),
            (
                "the estimate passes instead of its lower bound",
                "if d.low > -margin:",
                "if d.value > -margin:",
                "test_a_point_estimate_alone_convinces_nobody",
            ),
            (
                "the estimate refuses instead of its upper bound",
                "if d.high < -margin:",
                "if d.value < -margin:",
                "test_three_answers",
            ),
            (
                "the margin is a share of the bare reward",
                "rescaled = (baseline - low) / (high - low)",
                "rescaled = baseline",
                "test_margin_by_hand",
            ),
            (
                "the margin is absolute",
                "min(1.0, max(0.0, rescaled))",
                "min(1.0, max(1.0, rescaled))",
                "test_margin_by_hand",
            ),
            (
                "the margin is not in reward units",
                "max(0.0, rescaled)) * (high - low)",
                "max(0.0, rescaled))",
                "test_margin_by_hand",
            ),
            (
                "a difference that is no number is judged",
                "if not (math.isfinite(d.low) and math.isfinite(d.high) and math.isfinite(d.value)):",
                "if False:",
                "test_three_answers",
            ),
            (
                "no held-out decision is evidence",
                "found is None or found.difference.n == 0",
                "found is None",
                "test_nothing_judged_is_not_enough",
            ),
        ],
    ),
    *mutants(
        "gate",
        "everloop/gates/overlap.py",
        "tests/unit/gates/test_overlap_support.py",
        [
            (
                "the effective sample's limit is turned round",
                "found.effective_sample >= thresholds",
                "found.effective_sample <= thresholds",
                "test_support_is_a_hard_limit_of_its_own",
            ),
            (
                "the largest weight's limit is turned round",
                "found.max_weight_share <= thresholds",
                "found.max_weight_share >= thresholds",
                "test_support_is_a_hard_limit_of_its_own",
            ),
            (
                "a mean weight below 1 is no problem",
                "abs(found.mean_weight - 1.0)",
                "(found.mean_weight - 1.0)",
                "test_each_figure_alone_breaks_it",
            ),
        ],
    ),
    *mutants(
        "gate",
        "everloop/gates/fairness.py",
        "tests/unit/gates/test_fairness.py",
        [
            (
                "Holm's correction is dropped",
                "> alpha / (len(compared) - rank)",
                "> alpha",
                "test_holm_steps_down_and_stops",
            ),
            (
                "refuted parity is turned round",
                "> alpha / (len(compared) - rank)",
                "< alpha / (len(compared) - rank)",
                "test_holm_steps_down_and_stops",
            ),
            (
                "equality is asked for instead of parity",
                "(one.estimate.value - parity * rest)",
                "(one.estimate.value - rest)",
                "test_z_by_hand",
            ),
        ],
    ),
    *mutants(
        "gate",
        "everloop/gates/false_positives.py",
        "tests/unit/gates/test_false_positives.py",
        [
            (
                "the estimate of false positives passes",
                "if found.high <= limit:",
                "if found.value <= limit:",
                "test_the_interval_decides",
            ),
            (
                "the limit of false positives is turned round",
                "elif found.low > limit:",
                "elif found.low < limit:",
                "test_the_interval_decides",
            ),
            (
                "an unknown rate of false positives passes",
                "if sum(shares.get(action, math.nan)",
                "if sum(shares.get(action, 0.0)",
                "test_a_loop_without_interventions_has_no_false_ones",
            ),
        ],
    ),
)
