"""The experiment's guardrails, groups, arms and drift."""

from __future__ import annotations

from tests.mutation.mutant import Mutant, mutants

MUTANTS: tuple[Mutant, ...] = (
    *mutants(
        "experiment",
        "everloop/rollout/experiment/returning.py",
        "tests/unit/rollout/experiment/test_returning.py",
        [
            (
                "who comes back has the step's whole share",
                "(p - low[who]) / (high[who] - low[who])",
                "p",
                "test_what_was_seen_before_leaves_the_evidence_a_martingale",
            ),
            (
                "nobody of the control is missed who came back at full traffic",
                "wrong = (chance >= 1.0) & ~candidate",
                "wrong = (chance >= 2.0) & ~candidate",
                "test_who_is_left_in_the_control_at_full_traffic_is_wrong",
            ),
        ],
    ),
    *mutants(
        "experiment",
        "everloop/rollout/experiment/visits.py",
        "tests/unit/rollout/experiment/test_returning.py",
        [
            (
                "only more decisions are a warning",
                "abs(mean / base - 1.0) > line",
                "mean / base - 1.0 > line",
                "test_fewer_visits_because_of_the_candidate_are_a_warning_and_no_mismatch",
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
                "people who come back are not looked at",
                "log_evidence((r.control, r.candidate, r.share) for r in back)",
                "0.0",
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
            (
                "a person counts where they came last",
                "np.argsort(observations.timestamp, kind",
                "np.argsort(-observations.timestamp.astype(np.int64), kind",
                "test_a_person_counts_once_where_they_came_first",
            ),
            (
                "nobody of the control is missed at full traffic",
                "                return math.inf",
                "                return 0.0",
                "test_at_a_share_of_one_anybody_in_the_control_is_wrong",
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
            (
                "harm is turned round",
                "effect.high < -margin",
                "effect.high > -margin",
                "test_a_guardrail_is_kept_above_minus_its_margin_and_harmed_below",
            ),
            (
                "a signal of which less is better is not turned round",
                "column if rule.higher_is_better else -column",
                "column",
                "test_a_signal_of_which_less_is_better_is_turned_round",
            ),
            (
                "harm does not share its error",
                "terms.alpha / rules, margin)[1]",
                "terms.alpha, margin)[1]",
                "test_harm_shares_its_error_and_non_inferiority_does_not",
            ),
            (
                "a two-sided signal has half its range",
                "2.0 if signal.two_sided",
                "1.0 if signal.two_sided",
                "test_margins_are_of_the_range_as_the_reward_sees_it",
            ),
            (
                "groups do not share their error",
                "spec.rollout.alpha / max(len(groups), 1)",
                "spec.rollout.alpha",
                "test_groups_have_their_own_effects_and_share_the_error",
            ),
            (
                "too few people know of a guardrail",
                "if enough_people(cells, terms.min_people):",
                "if True:",
                "test_fewer_people_than_asked_for_know_nothing",
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
            (
                "an alarm is forgotten",
                "drifted = drifted or max",
                "drifted = max",
                "test_an_alarm_stays_an_alarm",
            ),
            (
                "a steady effect is a drift",
                "both[d, 1] * (x @ y) / squares",
                "0 * (x @ y) / squares",
                "test_a_steady_effect_is_no_drift_along_the_ramp",
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
                "groups of the control count",
                "(observations.arm == CANDIDATE) &",
                "(observations.arm >= 0) &",
                "test_an_unfair_control_is_not_the_candidates",
            ),
            (
                "Holm's correction over the trial's groups is dropped",
                "alpha / (len(order) - rank)",
                "alpha",
                "test_holm_steps_down_and_stops_at_the_first_that_holds",
            ),
            (
                "the trial's groups are compared for equality",
                "_one_sided(mean - parity * rest, error",
                "_one_sided(mean - rest, error",
                "test_a_groups_parity_by_hand",
            ),
            (
                "a group without a rare reward yet has no variance",
                "variance = max(one.squares, pooled * one.n)",
                "variance = one.squares",
                "test_a_groups_parity_by_hand",
            ),
            (
                "every group of a trial is certified",
                "g.above <= thresholds.alpha and",
                "g.above <= 2.0 and",
                "test_too_few_people_wait_for_a_person",
            ),
            (
                "people of a group are counted by decision",
                "squares = float((np.bincount(met.person[rows], weights=residual) ** 2).sum())",
                "squares = float((residual**2).sum())",
                "test_sums_are_rescaled_clustered_and_of_the_candidates_people_alone",
            ),
        ],
    ),
    *mutants(
        "experiment",
        "everloop/rollout/experiment/observations.py",
        "tests/unit/rollout/experiment/test_observations.py",
        [
            (
                "fallbacks of the control count as the candidate's",
                "float(self.fallback[candidate].mean())",
                "float(self.fallback.mean())",
                "test_fallbacks_are_counted_among_the_candidates_people_alone",
            ),
            (
                "the moment of the look is left out",
                "self.timestamp <= last",
                "self.timestamp < last",
                "test_until_keeps_the_moment_itself_and_nothing_later",
            ),
        ],
    ),
)
