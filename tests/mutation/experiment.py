"""What a trial measures."""

from __future__ import annotations

from tests.mutation.mutant import Mutant, mutants

MUTANTS: tuple[Mutant, ...] = (
    *mutants(
        "experiment",
        "everloop/rollout/experiment/boundary.py",
        "tests/unit/rollout/experiment/test_boundary.py",
        [
            (
                "alpha is halved twice over",
                "- 2.0 * math.log(alpha))",
                "- 1.0 * math.log(alpha))",
                "test_evidence_reaches_one_over_alpha_exactly_on_the_line",
            ),
            (
                "evidence grows by itself",
                "- 0.5 * np.log",
                "+ 0.5 * np.log",
                "test_evidence_reaches_one_over_alpha_exactly_on_the_line",
            ),
        ],
    ),
    *mutants(
        "experiment",
        "everloop/rollout/experiment/strata.py",
        "tests/unit/rollout/experiment/test_moments.py",
        [
            (
                "all days are one stratum",
                'observations.timestamp.astype("datetime64[D]")',
                '(observations.timestamp.astype("datetime64[Y]"))',
                "test_a_day_is_split_where_its_traffic_changes_and_strata_are_in_order_of_time",
            ),
            (
                "a day is not split where its traffic changes",
                "index * max(len(steps), 1) + step",
                "index * max(len(steps), 1)",
                "test_a_day_is_split_where_its_traffic_changes_and_strata_are_in_order_of_time",
            ),
            (
                "rows without an answer count as 0",
                "has = np.isfinite(values)",
                "values = np.nan_to_num(values)\n    has = np.isfinite(values)",
                "test_cells_sum_a_person_within_a_stratum_and_leave_missing_rewards_out",
            ),
        ],
    ),
    *mutants(
        "experiment",
        "everloop/rollout/experiment/moments.py",
        "tests/unit/rollout/experiment/test_moments.py",
        [
            (
                "arms are turned round",
                "(arm - share[cells.stratum])",
                "(share[cells.stratum] - arm)",
                "test_a_covariate_has_the_score_of_its_difference_between_arms",
            ),
            (
                "scores are not centred by day",
                "(sums / whole)[:, cells.stratum]",
                "(sums.sum(axis=1, keepdims=True) / whole.sum())[:, np.zeros_like(cells.stratum)]",
                "test_a_day_on_which_everybody_earns_more_varies_no_more",
            ),
            (
                "people who stay in their place are drawn anew every day",
                "(1.0 - np.maximum.outer(share, share))",
                "(1.0 - np.minimum.outer(share, share))",
                "test_people_who_stay_in_their_place_make_strata_go_together",
            ),
        ],
    ),
    *mutants(
        "experiment",
        "everloop/rollout/experiment/effect.py",
        "tests/unit/rollout/experiment/test_effect.py",
        [
            (
                "the variance is not clustered by person",
                "shared = np.triu(each, 1).sum(axis=0)",
                "shared = 0.0 * np.triu(each, 1).sum(axis=0)",
                "test_people_who_come_back_are_no_new_people",
            ),
            (
                "an arm that varies more is thought to vary as the other",
                "variance = max(_variance(designed, taken), _variance(observed, taken))",
                "variance = _variance(designed, taken)",
                "test_an_arm_that_varies_more_has_its_own_variance",
            ),
            (
                "an arm without a reward yet has no variance",
                "variance = max(_variance(designed, taken), _variance(observed, taken))",
                "variance = _variance(observed, taken)",
                "test_an_arm_without_a_rare_reward_yet_has_the_others_variance",
            ),
            (
                "negative covariances make an interval certain",
                "2.0 * np.maximum(shared, 0.0).sum()",
                "2.0 * shared.sum()",
                "test_negative_covariances_with_earlier_days_make_nothing_certain",
            ),
            (
                "CUPED's sign is turned round",
                "taken[2:] = -slopes",
                "taken[2:] = slopes",
                "test_history_takes_the_share_of_variance_that_it_explains",
            ),
            (
                "CUPED moves the effect the wrong way",
                "(total[0] - slopes @ total[2:])",
                "(total[0] + slopes @ total[2:])",
                "test_the_adjustment_is_by_the_slope_of_least_variance",
            ),
            (
                "the interval's sides are turned round",
                "return self.value - half, self.value + half",
                "return self.value + half, self.value - half",
                "test_the_interval_is_the_lines_reach_on_both_sides",
            ),
            (
                "the effect's sign is turned round",
                "value=-float(taken[1])",
                "value=float(taken[1])",
                "test_one_stratum_by_hand",
            ),
        ],
    ),
    *mutants(
        "experiment",
        "everloop/rollout/experiment/weights.py",
        "tests/unit/rollout/experiment/test_weights.py",
        [
            (
                "a stratum may have a negative weight",
                "max(best, 0.0)",
                "max(best, -9.0)",
                "test_what_only_adds_variance_does_not_count",
            ),
            (
                "what only adds variance counts",
                "variance * h - whole * c",
                "variance * h + whole * c",
                "test_a_stratum_counts_by_what_it_adds",
            ),
        ],
    ),
    *mutants(
        "experiment",
        "everloop/rollout/experiment/analyse.py",
        "tests/unit/rollout/experiment/test_analyse.py",
        [
            (
                "too few people decide",
                "if enough_people(cells, terms.min_people)",
                "if True",
                "test_fewer_people_than_asked_for_decide_nothing_but_are_told_of",
            ),
            (
                "what came after the look is known",
                "known = observations.until(until)\n    strata, cov",
                "known = observations\n    strata, cov",
                "test_what_came_later_is_not_known_yet",
            ),
            (
                "a day that is not over is compared with whole ones",
                "day < today for day",
                "day <= today for day",
                "test_a_day_that_is_not_over_is_no_drift",
            ),
            (
                "the relative effect is of the control's bare reward",
                "effect.value / above_least if",
                "effect.value / control.value if",
                "test_a_better_candidate_is_better_and_a_worse_one_worse",
            ),
            (
                "the candidate is measured at twice its alpha",
                "effect.interval(terms.alpha, aim)",
                "effect.interval(2 * terms.alpha, aim)",
                "test_the_interval_ends_where_the_evidence_is_one_over_the_trials_alpha",
            ),
            (
                "people are counted once for both arms",
                '"control": len(np.unique(observations.person[~candidate]))',
                '"control": len(np.unique(observations.person))',
                "test_who_met_one_arm_was_exposed_in_that_one_alone",
            ),
        ],
    ),
)
