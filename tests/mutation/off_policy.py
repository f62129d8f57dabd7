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
                "SNIPS is not self-normalised",
                "return np.asarray(value + logged.weight * (logged.reward - value) / mean_weight)",
                "return ips(logged)",
                "test_self_normalised_contributions_spread_about_the_ratio",
            ),
            (
                "SNIPS's spread is not about the ratio",
                "value = ips(logged).mean() / mean_weight",
                "value = ips(logged).mean()",
                "test_self_normalised_contributions_spread_about_the_ratio",
            ),
            (
                "the doubly robust correction has the other sign",
                "return logged.q_target + logged.weight * (",
                "return logged.q_target - logged.weight * (",
                "test_estimates_by_hand",
            ),
            (
                "SWITCH-DR keeps the large weights",
                "logged.weight <= threshold",
                "logged.weight > threshold",
                "test_estimates_by_hand",
            ),
            (
                "the shrinkage is not squared",
                "(logged.weight**2 + shrinkage)",
                "(logged.weight + shrinkage)",
                "test_estimates_by_hand",
            ),
            (
                "tuning looks at variance alone",
                "return bias**2 + float",
                "return float",
                "test_tuning_takes_the_value_of_least_estimated_error",
            ),
            (
                "a propensity of 0 is taken",
                "if not ((propensity > 0) & (propensity <= 1)).all():",
                "if False:",
                "test_a_propensity_outside_its_range_is_refused",
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
                "0.5 + confidence / 2",
                "confidence",
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
            (
                "the stake is not cut",
                "np.minimum(stakes, LARGEST_STAKE / (mean - low))",
                "stakes",
                "test_an_uncut_stake_by_hand",
            ),
            (
                "a stake sees its own person",
                "before_squares = np.concatenate([[0.0], np.cumsum(squares)[:-1]])",
                "before_squares = np.cumsum(squares)",
                "test_an_uncut_stake_by_hand",
            ),
            (
                "a value below the declared range is taken",
                "or (totals < counts * (low - slack)).any()",
                "",
                "test_assumptions_that_do_not_hold_are_refused",
            ),
            (
                "more decisions of a person than declared are taken",
                "and counts.max() <= most",
                "",
                "test_assumptions_that_do_not_hold_are_refused",
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
            (
                "a person's every decision is used",
                "kept = first_decisions(judged, most)",
                "kept = first_decisions(judged, len(judged) + 1)",
                "test_values_are_near_the_truth_and_ordered",
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
            (
                "the active policy's overlap is not looked at",
                "problems += tuple(",
                "tuple(",
                "test_the_active_policys_overlap_counts_too",
            ),
            (
                "flags are not applied to what is judged",
                "ask(setting.judged, valid=setting.allowed.mask)",
                "ask(setting.judged, valid=setting.judged.mask)",
                "tests/unit/off_policy/test_allowed.py::test_a_flag_takes_its_actions_from_every_policy_that_is_judged",
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
)
