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
        ],
    ),
    *mutants(
        "experiment",
        "everloop/rollout/experiment/srm.py",
        "tests/unit/rollout/experiment/test_srm.py",
        [
            (
                "the sample ratio's threshold is turned round",
                "mismatch=evidence >=",
                "mismatch=evidence <",
                "test_a_person_counts_once_where_they_came_first",
            ),
            (
                "the sample ratio alarms at any evidence",
                "math.log(1.0 / ALPHA)",
                "0.0",
                "test_a_person_counts_once_where_they_came_first",
            ),
            (
                "decisions are counted instead of people",
                "_, first = np.unique(observations.person[order], return_index=True)",
                "first = np.arange(observations.n)",
                "test_a_person_counts_once_where_they_came_first",
            ),
        ],
    ),
    *mutants(
        "experiment",
        "everloop/rollout/experiment/guardrails.py",
        "tests/unit/rollout/experiment/test_guardrails.py",
        [
            (
                "a guardrail's margin has the other sign",
                "True if effect.low > -margin",
                "True if effect.low > margin",
                "test_a_guardrail_is_kept_above_minus_its_margin_and_harmed_below",
            ),
            (
                "harm needs no margin",
                "effect.high < -margin",
                "effect.high < 0",
                "test_a_guardrail_is_kept_above_minus_its_margin_and_harmed_below",
            ),
        ],
    ),
    *mutants(
        "experiment",
        "everloop/rollout/experiment/drift.py",
        "tests/unit/rollout/experiment/test_drift.py",
        [
            (
                "a fall is no drift",
                "down - step - slack",
                "down + step - slack",
                "test_a_rise_and_a_fall_are_both_drift",
            ),
            (
                "CUSUM has no slack",
                "max(0.0, up + step - slack)",
                "max(0.0, up + step)",
                "test_sums_rise_by_what_is_above_the_slack_and_never_fall_below_zero",
            ),
            (
                "the CUSUM threshold is doubled",
                "> threshold",
                "> 2 * threshold",
                "test_a_rise_and_a_fall_are_both_drift",
            ),
        ],
    ),
    *mutants(
        "experiment",
        "everloop/rollout/experiment/fairness.py",
        "tests/unit/rollout/experiment/test_fairness.py",
        [
            (
                "groups of the trial are refuted on the wrong side",
                "(seen, 1.0) if contrast < 0",
                "(seen, 1.0) if contrast > 0",
                "test_a_groups_parity_by_hand",
            ),
            (
                "Holm's correction over the trial's groups is dropped",
                "alpha / (len(order) - rank)",
                "alpha",
                "test_holm_steps_down_and_stops_at_the_first_that_holds",
            ),
        ],
    ),
    *mutants(
        "experiment",
        "everloop/rollout/experiment/observations.py",
        "tests/unit/rollout/experiment/test_observations.py",
        [
            (
                "the moment of the look is left out",
                "self.timestamp <= last",
                "self.timestamp < last",
                "test_until_keeps_the_moment_itself_and_nothing_later",
            ),
        ],
    ),
)
