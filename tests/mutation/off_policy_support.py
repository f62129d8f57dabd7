"""Whether the log can say anything of a policy, its journeys and its groups."""

from __future__ import annotations

from tests.mutation.mutant import Mutant, mutants

MUTANTS: tuple[Mutant, ...] = (
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
            (
                "the effective sample is not checked",
                "if effective < thresholds.min_effective_sample:",
                "if False:",
                "test_figures_by_hand",
            ),
            (
                "the effective sample counts every decision",
                "effective = total**2 / squares if squares > 0 else 0.0",
                "effective = float(n)",
                "test_figures_by_hand",
            ),
            (
                "one decision may carry all weight",
                "if largest_share > thresholds.max_weight_share:",
                "if False:",
                "test_figures_by_hand",
            ),
            (
                "unsupported actions are not checked",
                "if unsupported_share > thresholds.margin:",
                "if False:",
                "test_each_problem_is_a_sentence",
            ),
            (
                "rows are the weights' observations instead of people",
                'clustered_mean("mean weight", weight, person,',
                'clustered_mean("mean weight", weight, np.arange(n),',
                "test_one_person_with_many_decisions_is_one_observation_of_the_weights",
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
            (
                "the effective sample of journeys is not asked for",
                "if not effective >= least_effective:",
                "if False:",
                "test_too_small_an_effective_sample_is_refused",
            ),
            (
                "a pause joins two journeys",
                "np.diff(when) > ends",
                "np.diff(when) < ends",
                "test_a_pause_ends_a_journey_and_another_person_too",
            ),
            (
                "two people share a journey",
                "(np.diff(who) != 0) | pause",
                "pause",
                "test_a_pause_ends_a_journey_and_another_person_too",
            ),
            (
                "half a journey is judged",
                "return np.asarray(~broken[steps.journey])",
                "return np.asarray(usable)",
                "test_an_unusable_decision_takes_its_whole_journey_out",
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
