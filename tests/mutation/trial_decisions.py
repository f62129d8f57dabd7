"""What is decided about a trial."""

from __future__ import annotations

from tests.mutation.mutant import Mutant, mutants

MUTANTS: tuple[Mutant, ...] = (
    *mutants(
        "trial",
        "everloop/rollout/decide.py",
        "tests/unit/rollout/test_decide.py",
        [
            (
                "harm rolls nothing back",
                "    _harm,\n    _lost",
                "    _lost",
                "test_harm_rolls_back_also_while_paused",
            ),
            (
                "another active model ends no trial",
                "    _lost_control,\n    _winner",
                "    _winner",
                "test_another_active_model_ends_the_trial",
            ),
            (
                "no trial is too long",
                "    _too_long,\n",
                "",
                "test_a_trial_that_shows_nothing_ends_and_a_winner_that_waits_for_a_person_does_not",
            ),
            (
                "a paused trial goes on",
                "    _paused,\n    _for",
                "    _for",
                "test_a_paused_trial_keeps_its_traffic_though_it_would_win",
            ),
            (
                "strange figures do not hold",
                "    _strange,\n    _too",
                "    _too",
                "test_strange_figures_hold_at_the_traffic_they_have",
            ),
            (
                "a trial steps up while data is missing",
                "    _too_little,\n    _step",
                "    _step",
                "test_too_little_data_after_the_dwell_time_holds_and_says_what_lacks",
            ),
            (
                "guardrails are not asked of a winner",
                "if not c.passed and c.name != DURATION)",
                "if not c.passed and c.name != DURATION and _kind(c.name) != GUARDRAIL)",
                "test_one_missing_condition_keeps_a_winner_from_being_promoted",
            ),
            (
                "a winner needs no figures",
                "if not found.judged or found.open:",
                "if found.open:",
                "test_the_shadow_leads_to_the_first_step_and_needs_no_figures",
            ),
            (
                "a harmed guardrail rolls nothing back",
                "in (PRIMARY, GUARDRAIL)\n    )",
                "in (PRIMARY,)\n    )",
                "test_harm_rolls_back_also_while_paused",
            ),
            (
                "a step up waits for nothing",
                "if found.missing or not known or step >= len(ramp):",
                "if not known or step >= len(ramp):",
                "test_the_dwell_time_counts_up_to_the_figures_not_to_the_clock",
            ),
            (
                "a winner that waits for a person is dropped",
                " and not found.needs_a_person",
                "",
                "test_a_trial_that_shows_nothing_ends_and_a_winner_that_waits_for_a_person_does_not",
            ),
            (
                "a person may decide what failed",
                " and not set(self.open) & set(self.failed)\n",
                "\n",
                "test_a_group_that_is_refuted_is_left_to_nobody",
            ),
            (
                "the alert's sign is turned round",
                "<= -spec.rollout.alert_loss",
                "<= spec.rollout.alert_loss",
                "test_a_bad_point_estimate_alone_is_told_and_changes_nothing",
            ),
            (
                "a loser is promoted",
                'moved(record, "ended" if ends else "rolled_back"',
                'moved(record, "ended" if ends else "promoted"',
                "test_harm_rolls_back_also_while_paused",
            ),
            (
                "figures of another trial decide",
                "figures is not None and figures.rollout_id != record.rollout_id",
                "False",
                "test_figures_of_another_trial_and_trials_that_are_over_are_refused",
            ),
        ],
    ),
    *mutants(
        "trial",
        "everloop/rollout/trial_checks.py",
        "tests/unit/rollout/test_decide.py",
        [
            (
                "the dwell time is ignored",
                "status = _PASSED if hours >= least",
                "status = _PASSED if True",
                "test_the_dwell_time_counts_up_to_the_figures_not_to_the_clock",
            ),
            (
                "the dwell time runs on without figures",
                "(min(figures.until, now) - record",
                "(now - record",
                "test_the_dwell_time_counts_up_to_the_figures_not_to_the_clock",
            ),
            (
                "the estimate is worse instead of its upper bound",
                "if found.high < 0:",
                "if found.value < 0:",
                "test_an_upper_bound_at_zero_does_not_roll_back",
            ),
            (
                "the estimate wins instead of its lower bound",
                "if found.low > 0:",
                "if found.value > 0:",
                "test_one_missing_condition_keeps_a_winner_from_being_promoted",
            ),
            (
                "an upper bound at 0 is harm",
                "if found.high < 0:",
                "if found.high <= 0:",
                "test_an_upper_bound_at_zero_does_not_roll_back",
            ),
            (
                "few people promote",
                "status = _PASSED if fewest >= least",
                "status = _PASSED if True",
                "test_one_missing_condition_keeps_a_winner_from_being_promoted",
            ),
            (
                "the larger arm is counted",
                "fewest = min(",
                "fewest = max(",
                "test_one_missing_condition_keeps_a_winner_from_being_promoted",
            ),
            (
                "a winner needs no traffic",
                "_PASSED if record.traffic_percent >= least",
                "_PASSED if True",
                "test_little_traffic_keeps_a_winner_on_trial_and_a_step_follows",
            ),
            (
                "people in other arms are no problem",
                "if ratio.mismatch:",
                "if False:",
                "test_one_missing_condition_keeps_a_winner_from_being_promoted",
            ),
            (
                "drift is no problem",
                "if figures.drifted:",
                "if False:",
                "test_one_missing_condition_keeps_a_winner_from_being_promoted",
            ),
            (
                "a trial has no longest time",
                "_FAILED if days >= most",
                "_FAILED if False",
                "test_a_trial_that_shows_nothing_ends_and_a_winner_that_waits_for_a_person_does_not",
            ),
            (
                "a guardrail that was not measured is kept",
                "*named, *found]",
                "*found]",
                "test_one_missing_condition_keeps_a_winner_from_being_promoted",
            ),
            (
                "nobody's approval is asked for",
                'if spec.rollout.oversight.approval != "promotion":',
                "if True:",
                "test_promotion_waits_for_a_person_where_the_loop_says_so",
            ),
            (
                "groups of the trial are not looked at",
                "    if not spec.protected:\n        return ()\n    found",
                "    if spec.protected:\n        return ()\n    found",
                "test_one_missing_condition_keeps_a_winner_from_being_promoted",
            ),
            (
                "an approval passes over a refuted group",
                "if found.status is _INSUFFICIENT and evidence.approved:",
                "if evidence.approved:",
                "test_groups_too_small_to_compare_wait_for_a_person",
            ),
            (
                "a comparison without one arm is a measure",
                "if math.isfinite(figures.primary.value):",
                "if True:",
                "test_missing_figures_never_step_up",
            ),
            (
                "a shadow that nobody counted is over",
                '(evidence.shadow or (_unasked("shadow"),))',
                "evidence.shadow",
                "test_a_shadow_that_was_not_counted_goes_on",
            ),
        ],
    ),
)
