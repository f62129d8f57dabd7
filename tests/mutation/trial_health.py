"""What the workers count of a candidate."""

from __future__ import annotations

from tests.mutation.mutant import Mutant, mutants

MUTANTS: tuple[Mutant, ...] = (
    *mutants(
        "trial",
        "everloop/rollout/health.py",
        "tests/unit/rollout/test_health.py",
        [
            (
                "a NaN answer is tolerated",
                "    if found.invalid:",
                "    if found.invalid > 1:",
                "test_one_answer_that_is_no_distribution_is_enough",
            ),
            (
                "a shadow is over too soon",
                "found.answered >= least else",
                "True else",
                "test_shadow_needs_its_decisions_and_its_time",
            ),
            (
                "time in shadow is not asked for",
                "hours >= least else",
                "True else",
                "test_shadow_needs_its_decisions_and_its_time",
            ),
            (
                "the limit of errors is turned round",
                "    if share > limit:",
                "    if share < limit:",
                "test_a_good_candidate_passes_everything",
            ),
            (
                "an early failure rolls back",
                "limit) >= math.log(2.0 / ERROR):",
                "limit) >= math.log(0.002 / ERROR):",
                "test_a_single_early_failure_rolls_nothing_back",
            ),
            (
                "a candidate is excused by its good month",
                "    for tally in each:",
                "    for tally in each[:0]:",
                "test_a_candidate_that_begins_to_fail_is_not_excused_by_its_good_month",
            ),
            (
                "p99 is the 98th percentile",
                "_SLOWEST = 0.01",
                "_SLOWEST = 0.02",
                "test_latency_in_shadow_by_the_99th_percentile",
            ),
            (
                "slow answers are those within the limit",
                "float(edge) > limit_ms",
                "float(edge) <= limit_ms",
                "test_a_good_candidate_passes_everything",
            ),
            (
                "a percentile is told lower than it is",
                "math.ceil(share * total)",
                "math.floor(share * total)",
                "test_percentiles_are_upper_edges",
            ),
            (
                "few decisions speak",
                "if known < least or n == 0:",
                "if n == 0:",
                "test_below_the_least_decisions_only_the_answers_speak",
            ),
            (
                "a latency that nobody timed passes",
                "if known < least or n == 0:",
                "if known < least:",
                "test_latency_is_told_in_calls_and_asks_for_decisions",
            ),
            (
                "calls are taken for decisions",
                "        decided=answered,\n",
                "",
                "test_latency_is_told_in_calls_and_asks_for_decisions",
            ),
            (
                "agreement with nothing passes",
                "    if not n:\n",
                "    if False:\n",
                "test_agreement_with_nothing_is_no_agreement",
            ),
            (
                "alike questions roll a candidate back",
                "    if most >= limit * others:",
                "    if False:",
                "test_what_collapse_waits_for_is_said",
            ),
            (
                "an active that may keep to one action convicts",
                " and varied >= bound",
                "",
                "test_collapse",
            ),
            (
                "agreement is turned round",
                "n - found.agreed, n, 1.0 - least",
                "found.agreed, n, 1.0 - least",
                "test_agreement_below_what_is_asked_for",
            ),
            (
                "a collapsed candidate passes",
                "if share < limit or limit == 1.0 or",
                "if True or",
                "test_a_collapsed_candidate_fails_in_shadow_and_on_trial",
            ),
            (
                "what the shadow counted is a failure on trial",
                "if t.phase == TRIAL and t.asked - t.dropped >= least]\n    judged = (",
                "if t.asked - t.dropped >= least]\n    judged = (",
                "test_what_a_candidate_did_in_shadow_is_no_failure_on_trial",
            ),
            (
                "dropped questions are the candidate's answers",
                "judged,\n            lambda t: (t.failed, t.asked - t.dropped),\n            limits.",
                "judged,\n            lambda t: (t.failed, t.asked),\n            limits.",
                "test_dropped_questions_are_no_errors_and_make_none_rarer",
            ),
        ],
    ),
    *mutants(
        "trial",
        "everloop/rollout/retried.py",
        "tests/unit/rollout/test_start.py",
        [
            (
                "a withdrawn policy is tried again",
                'record.state in ("rolled_back", "promoted")',
                'record.state in ("rolled_back",)',
                "test_a_promoted_policy_that_was_withdrawn_is_tried_again_by_a_person_alone",
            ),
            (
                "whom it was compared with is not asked",
                " and record.active == active",
                "",
                "test_another_policy_or_another_rival_is_another_trial",
            ),
            (
                "only the same version is the same policy",
                "return versioned or one.sha256 == other.sha256",
                "return versioned",
                "test_a_policy_that_was_rolled_back_is_tried_again_by_a_person_alone",
            ),
            (
                "only the same file is the same policy",
                "return versioned or one.sha256",
                "return one.sha256",
                "test_a_policy_that_was_rolled_back_is_tried_again_by_a_person_alone",
            ),
        ],
    ),
    *mutants(
        "trial",
        "everloop/rollout/start.py",
        "tests/unit/rollout/test_start.py",
        [
            (
                "an approval from before the rollback counts",
                "said is None or said.at < earlier.entered_at",
                "said is None",
                "test_an_approval_from_before_the_rollback_is_none_of_what_came_later",
            ),
        ],
    ),
    *mutants(
        "trial",
        "everloop/rollout/settle.py",
        "tests/unit/rollout/test_start.py",
        [
            (
                "a twin that waits begins",
                "if _asks_again(places, newest, now, actor):",
                "if False:",
                "test_one_that_waits_is_asked_about_when_its_twin_is_rolled_back",
            ),
        ],
    ),
    *mutants(
        "trial",
        "everloop/rollout/manifests/flagger.py",
        "tests/unit/rollout/manifests/test_engines.py",
        [
            (
                "flagger runs ahead of the trial",
                " if w <= terms.traffic_percent",
                "",
                "test_flagger_gets_no_weight_beyond_the_traffic_of_the_trial",
            ),
        ],
    ),
    *mutants(
        "trial",
        "everloop/rollout/shares.py",
        "tests/unit/rollout/test_shares.py",
        [
            (
                "looks are not paid for",
                "- math.log(n + 1) - ways",
                "- ways",
                "test_it_is_the_integral_over_the_shares_above_the_limit",
            ),
        ],
    ),
    *mutants(
        "trial",
        "everloop/rollout/breaker.py",
        "tests/unit/serving/decisions/test_guard.py",
        [
            (
                "the breaker's alarm is turned round",
                "< math.log(1.0 / ALARM)",
                "> math.log(1.0 / ALARM)",
                "tests/unit/rollout/test_breaker.py::test_a_share_above_its_limit_opens_it_and_chance_does_not",
            ),
            (
                "the breaker opens by chance",
                "< math.log(1.0 / ALARM)",
                "< 0.0",
                "tests/unit/rollout/test_breaker.py::test_a_share_above_its_limit_opens_it_and_chance_does_not",
            ),
            (
                "a hard failure opens no breaker",
                "if failed_hard(verdict) and any(",
                "if False and any(",
                "test_a_hard_failure_on_trial_rolls_back_and_opens_the_breaker",
            ),
            (
                "every verdict opens the breaker",
                "if failed_hard(verdict) and any(",
                "if any(",
                "test_a_good_candidate_goes_on_when_its_shadow_is_over",
            ),
        ],
    ),
)
