"""What is said of a policy before anybody meets it."""

from __future__ import annotations

from tests.mutation.mutant import Mutant, mutants

MUTANTS: tuple[Mutant, ...] = (
    *mutants(
        "off-policy",
        "rl/off_policy/estimators.py",
        "tests/unit/off_policy/test_estimators.py",
        [
            (
                "weights are inverted",
                "weight=target[rows, action] / propensity,",
                "weight=propensity / np.maximum(target[rows, action], 1e-9),",
                "test_weights_and_model_terms_by_hand",
            ),
            (
                "the doubly robust correction has the other sign",
                "return logged.q_target + logged.weight * (",
                "return logged.q_target - logged.weight * (",
                "test_estimates_by_hand",
            ),
        ],
    ),
    *mutants(
        "off-policy",
        "rl/off_policy/overlap.py",
        "tests/unit/off_policy/test_overlap.py",
        [
            (
                "the mean weight is not checked",
                "far = abs(value - 1.0) > thresholds.mean_weight_tolerance",
                "far = False",
                "test_a_mean_weight_too_far_from_one_counts_on_both_sides",
            ),
            (
                "a mean weight below 1 is no problem to the estimate",
                "far = abs(value - 1.0) >",
                "far = value - 1.0 >",
                "test_a_mean_weight_too_far_from_one_counts_on_both_sides",
            ),
            (
                "the mean weight's interval is not looked at",
                "excluded = low > 1.0 + ROUNDING or high < 1.0 - ROUNDING",
                "excluded = False",
                "test_a_mean_weight_that_is_surely_not_one_counts_within_the_tolerance",
            ),
        ],
    ),
    *mutants(
        "off-policy",
        "rl/off_policy/intervals.py",
        "tests/unit/off_policy/test_intervals.py",
        [
            (
                "rows are the observations instead of people",
                "totals_by_person(contributions, person)",
                "totals_by_person(contributions, np.arange(n))",
                "test_by_hand",
            ),
            (
                "one tail's quantile is used on both sides",
                "stats.t.ppf(0.5 + confidence / 2",
                "stats.t.ppf(confidence",
                "test_one_row_a_person_is_the_ordinary_t_interval",
            ),
            (
                "the variance is of n people instead of n - 1",
                "math.sqrt(people / (people - 1) * ",
                "math.sqrt(",
                "test_by_hand",
            ),
        ],
    ),
    *mutants(
        "off-policy",
        "rl/off_policy/betting.py",
        "tests/unit/off_policy/test_betting.py",
        [
            (
                "the bet is on the other side",
                "gains = (totals - counts * mean) / most",
                "gains = (counts * mean - totals) / most",
                "test_one_win_by_hand",
            ),
            (
                "the rejected means are turned round",
                "capital.max() >= threshold",
                "capital.max() < threshold",
                "test_one_win_by_hand",
            ),
            (
                "the error probability is not asked for",
                "threshold = math.log(1.0 / alpha)",
                "threshold = math.log(2.0)",
                "test_one_win_by_hand",
            ),
        ],
    ),
    *mutants(
        "off-policy",
        "rl/off_policy/shares.py",
        "tests/unit/off_policy/test_shares.py",
        [
            (
                "alpha is not split over the candidates",
                "return alpha / judged if compared == 1",
                "return alpha if compared == 1",
                "test_everything_a_window_shows_costs_alpha_at_most",
            ),
            (
                "alpha is not halved for compared policies",
                "alpha / (2 * judged)",
                "alpha / judged",
                "test_everything_a_window_shows_costs_alpha_at_most",
            ),
            (
                "alpha is not split over the pairs",
                " * max(1, compared - 1))",
                ")",
                "test_everything_a_window_shows_costs_alpha_at_most",
            ),
        ],
    ),
    *mutants(
        "off-policy",
        "rl/off_policy/bounds.py",
        "tests/unit/off_policy/test_evaluate.py",
        [
            (
                "the upper bound is not negated",
                "return one_sided(reverse=False), -one_sided(reverse=True)",
                "return one_sided(reverse=False), one_sided(reverse=True)",
                "test_values_are_near_the_truth_and_ordered",
            ),
            (
                "both bounds are of one side",
                "-one_sided(reverse=True)",
                "-one_sided(reverse=False)",
                "test_values_are_near_the_truth_and_ordered",
            ),
            (
                "propensities below the floor keep the floor's bound",
                " and smallest * actions >= exploration_floor * (1 - 1e-6)",
                "",
                "test_a_propensity_below_the_floor_drops_the_control_variates",
            ),
        ],
    ),
    *mutants(
        "off-policy",
        "rl/off_policy/evaluate.py",
        "tests/unit/off_policy/test_evaluate.py",
        [
            (
                "the policy is judged without its exploration",
                "model=setting.model, epsilon=setting.epsilon)",
                "model=setting.model, epsilon=0.0)",
                "test_values_are_the_formulas_on_held_out_rows_alone",
            ),
            (
                "the other candidates are not counted",
                "bound_share(spec.thresholds.alpha, self._candidates, compared),",
                "bound_share(spec.thresholds.alpha, 1, compared),",
                "test_more_candidates_on_one_holdout_widen_the_bounds",
            ),
            (
                "bounds that contradict each other are bounds",
                "if low > high:",
                "if False:",
                "test_bounds_that_contradict_one_another_are_no_bounds",
            ),
        ],
    ),
    *mutants(
        "off-policy",
        "rl/off_policy/difference.py",
        "tests/unit/off_policy/test_difference.py",
        [
            (
                "the least value of two weighted sides is that of one",
                "return -width - max(plus, minus) if both_weighted else -max(width, plus, minus)",
                "return -max(width, plus, minus)",
                "test_unbiased_and_never_below_the_least_value",
            ),
            (
                "the candidate's gains are counted from the top",
                "base = base + known.low + plus.weight * (reward - known.low)",
                "base = base + known.high - plus.weight * (known.high - reward)",
                "test_unbiased_and_never_below_the_least_value",
            ),
            (
                "the overshoot forgets the logged action",
                "(actions / logging_epsilon - 1.0)",
                "(actions / logging_epsilon)",
                "test_overshoot_by_hand",
            ),
        ],
    ),
    *mutants(
        "off-policy",
        "rl/off_policy/value_bounds.py",
        "tests/unit/off_policy/test_value_bounds.py",
        [
            (
                "the upper bound of a value is added",
                "known.high - one_sided(upper=True)",
                "known.high + one_sided(upper=True)",
                "test_without_control_variates_it_is_the_bound_of_weighted_gains",
            ),
            (
                "control variates are thought to cost nothing",
                "return -strength * known.overshoot * largest if strength else 0.0",
                "return 0.0",
                "test_without_control_variates_it_is_the_bound_of_weighted_gains",
            ),
        ],
    ),
    *mutants(
        "off-policy",
        "rl/off_policy/journeys.py",
        "tests/unit/off_policy/test_journeys.py",
        [
            (
                "journeys of more than three decisions are judged",
                "if longest > LONGEST:",
                "if longest > 2 * LONGEST:",
                "test_more_than_three_steps_are_refused_with_length_sample_and_remedy",
            ),
            (
                "journeys are not self-normalised",
                "by_step = (ratio * journeys.reward).mean(axis=0) / mean",
                "by_step = (ratio * journeys.reward).mean(axis=0)",
                "test_contributions_are_the_linearised_ratios",
            ),
            (
                "weights of a journey do not multiply",
                "np.cumprod(self.weight, axis=1)",
                "np.asarray(self.weight)",
                "test_products_and_estimates_by_hand",
            ),
        ],
    ),
    *mutants(
        "off-policy",
        "rl/off_policy/rates.py",
        "tests/unit/off_policy/test_rates.py",
        [
            (
                "accepted interventions are called rejected",
                "reward <= spec.reward.failure_at",
                "reward >= spec.reward.failure_at",
                "test_only_interventions_that_the_policy_would_make_count",
            ),
            (
                "rates are clustered by row",
                "totals_by_person(weight * (hit - share), person)",
                "totals_by_person(weight * (hit - share), np.arange(n))",
                "test_by_hand",
            ),
        ],
    ),
    *mutants(
        "off-policy",
        "rl/off_policy/groups.py",
        "tests/unit/off_policy/test_groups.py",
        [
            (
                "group values are not rescaled",
                "rescaled = (contributions - low) / (high - low)",
                "rescaled = contributions",
                "test_values_are_rescaled_and_aligned",
            ),
            (
                "groups too small to tell apart stay apart",
                "if people[name] < smallest]",
                "if people[name] < 0]",
                "test_small_groups_are_merged",
            ),
            (
                "rows make a group large",
                "people = {name: len(np.unique(person[labels == name])) for name in names}",
                "people = {name: int((labels == name).sum()) for name in names}",
                "test_people_count_not_rows",
            ),
        ],
    ),
    *mutants(
        "off-policy",
        "rl/off_policy/bootstrap.py",
        "tests/unit/off_policy/test_bootstrap.py",
        [
            (
                "the whole error is on each side",
                "tail = (1.0 - confidence) / 2",
                "tail = 1.0 - confidence",
                "test_agrees_with_scipys_bca_on_skewed_data",
            ),
            (
                "the bias is corrected the wrong way",
                "(drawn < everybody) & ~ties",
                "(drawn > everybody) & ~ties",
                "test_levels_by_hand",
            ),
        ],
    ),
    *mutants(
        "off-policy",
        "rl/off_policy/usable.py",
        "tests/unit/off_policy/test_evaluate.py",
        [
            (
                "a person may be trained on and judged",
                "if len(both):",
                "if False:",
                "test_a_person_on_both_sides_is_refused",
            ),
            (
                "rewards outside the declared range are judged",
                "if outside.any():",
                "if False:",
                "test_what_cannot_be_judged_says_so",
            ),
        ],
    ),
)
