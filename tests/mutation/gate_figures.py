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
                "test_three_answers",
            ),
            (
                "the margin is dropped",
                "if d.low > -margin:",
                "if d.low > 0.0:",
                "test_three_answers",
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
            (
                "a baseline that earns the least has a margin",
                "if not margin_of(spec, found.baseline.value) > 0:",
                "if False:",
                "test_a_day_without_a_positive_reward_has_no_margin",
            ),
            (
                "the candidate may be compared with itself",
                "if found.policy == found.baseline_name:",
                "if False:",
                "test_a_candidate_compared_with_itself_is_no_evidence",
            ),
            (
                "what serves already is a candidate",
                "found.policy == version or ",
                "",
                "test_the_comparison_is_with_what_serves_now",
            ),
            (
                "the weights that serve already are a candidate",
                " or evidence.policy_sha256 == active.weights_sha256",
                "",
                "test_the_comparison_is_with_what_serves_now",
            ),
            (
                "a comparison with what served before counts",
                "if found.baseline_name != version:",
                "if False:",
                "test_the_comparison_is_with_what_serves_now",
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
            (
                "actions that were never logged are no problem",
                "found.unsupported_share <= thresholds.margin",
                "True",
                "test_support_is_a_hard_limit_of_its_own",
            ),
            (
                "an estimate without a decision is judged",
                "if found.n == 0:",
                "if False:",
                "tests/unit/gates/test_decide.py::test_each_thing_that_is_wrong_holds",
            ),
            (
                "problems of overlap are ignored",
                "if found.problems:",
                "if False:",
                "tests/unit/gates/test_decide.py::test_each_thing_that_is_wrong_holds",
            ),
            (
                "the figures of overlap are not looked at",
                "if not _within(found, thresholds):",
                "if False:",
                "tests/unit/gates/test_decide.py::test_no_check_passes_without_data_or_on_what_is_no_number",
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
            (
                "a group is compared with itself",
                "if g is not one]",
                "]",
                "test_groups_are_compared_within_their_attribute",
            ),
            (
                "parity is certified on the wrong side",
                "<= spec.thresholds.alpha",
                "> spec.thresholds.alpha",
                "test_clear_disparity_is_found_and_clear_parity_certified",
            ),
            (
                "too few people certify parity",
                "return enough and ",
                "return ",
                "test_a_target_is_not_certified_of_too_few_people",
            ),
            (
                "one certified group certifies all",
                "open_ones = [p for p in compared if not certified(p, spec)]",
                "open_ones = [] if any(certified(p, spec) for p in compared) else list(compared)",
                "test_groups_that_cannot_be_certified",
            ),
            (
                "an attribute that was not compared is fair",
                "if missing:",
                "if False:",
                "test_one_group_alone_is_no_comparison",
            ),
            (
                "fairness that is neither certified nor refuted passes",
                "if open_ones:",
                "if False:",
                "test_groups_that_cannot_be_certified",
            ),
            (
                "the target decides instead of the parity",
                "compared = parities(groups, thresholds.fairness_parity)",
                "compared = parities(groups, thresholds.fairness_target)",
                "test_clear_disparity_is_found_and_clear_parity_certified",
            ),
            ("the rest's error is left out", "(parity * rest_error) ** 2", "0.0", "test_z_by_hand"),
            (
                "an alert is left to a person",
                "            return failed(",
                "            return waits(",
                "test_alert_names_the_group_and_blocks",
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
