"""What serves."""

from __future__ import annotations

from tests.mutation.mutant import Mutant, mutants

MUTANTS: tuple[Mutant, ...] = (
    *mutants(
        "serving",
        "everloop/serving/decisions/answering.py",
        "tests/unit/serving/decisions/test_trial_counts.py",
        [
            (
                "the breaker is ignored",
                "if serving.safety.open:",
                "if False:",
                "tests/unit/serving/decisions/test_safety.py::test_the_active_model_decides_among_what_is_left",
            ),
            (
                "the shadow's answer is served",
                "met = [row for row in judged if self._arms[row] is Arm.CANDIDATE]",
                "met = list(judged)",
                "tests/unit/serving/decisions/test_safety.py::test_the_shadow_sees_the_mask_that_served",
            ),
            (
                "the holdout is put to the candidate",
                "met = [row for row in judged if self._arms[row] is Arm.CANDIDATE]",
                "met = [row for row in judged if self._arms[row] is not Arm.ACTIVE]",
                "test_at_full_traffic_everybody_but_the_holdout_meets_the_candidate",
            ),
            (
                "the holdout is on record as the active model's",
                "return Arm.HOLDOUT if",
                "return Arm.ACTIVE if",
                "test_at_full_traffic_everybody_but_the_holdout_meets_the_candidate",
            ),
            (
                "the shadow is not asked",
                'if trial.state == "shadow":',
                "if False:",
                "tests/unit/serving/decisions/test_safety.py::test_the_shadow_sees_the_mask_that_served",
            ),
            (
                "a candidate that did not load fails nobody",
                "self._watch.missed(self._serving, trial, len(rows))",
                "pass",
                "test_a_candidate_that_did_not_load_fails_whom_it_should_have_decided_for",
            ),
            (
                "a candidate's failures are not counted",
                "self._watch.failed(self._serving, trial, states, failure)",
                "pass",
                "test_a_failing_call_for_one_person_is_one_failure",
            ),
            (
                "critical actions without a choice count",
                "free = (states.mask & ~catalogue.critical).any(axis=1)",
                "free = states.mask.any(axis=1)",
                "tests/unit/serving/decisions/test_safety.py::test_safety_critical_actions_of_the_active_model_are_counted_where_it_had_a_choice",
            ),
        ],
    ),
    *mutants(
        "serving",
        "everloop/serving/decisions/shadow.py",
        "tests/unit/serving/decisions/test_shadow.py",
        [
            (
                "an answer that is no distribution is a mere failure",
                "invalid=int(broken)",
                "invalid=0",
                "test_a_candidate_that_answers_nan_in_shadow_reaches_nobody_and_is_counted",
            ),
            (
                "a full shadow queue grows on",
                "+ len(unseen) <= self._most and",
                "+ len(unseen) >= 0 and",
                "test_a_full_queue_drops_and_counts",
            ),
            (
                "what was dropped is not counted",
                "asked=n, dropped=n)",
                "asked=n)",
                "test_what_waits_when_it_is_closed_is_dropped_and_nothing_is_taken_any_more",
            ),
            (
                "one failing state is a batch of failures",
                "            if len(unseen) > 1:",
                "            if False:",
                "test_one_state_that_raises_is_one_failure_and_not_a_batch_of_them",
            ),
        ],
    ),
    *mutants(
        "serving",
        "everloop/serving/decisions/breaker.py",
        "tests/unit/serving/decisions/test_breaker.py",
        [
            (
                "a failing model is asked on",
                "if was_closed and self._failures < self._limit:",
                "if was_closed:",
                "test_consecutive_failures_alone_open_it",
            ),
        ],
    ),
    *mutants(
        "serving",
        "everloop/serving/guard.py",
        "tests/unit/serving/decisions/test_guard.py",
        [
            (
                "what was counted is not stored",
                "        self._decisions.flush()",
                "        pass",
                "test_a_good_candidate_goes_on_when_its_shadow_is_over",
            ),
            (
                "an active model within its limit opens the breaker",
                "        if why:",
                "        if not why:",
                "test_the_breaker_opens_where_the_active_model_leans_on_safety_critical_actions",
            ),
        ],
    ),
    *mutants(
        "serving",
        "everloop/serving/decisions/tallying.py",
        "tests/unit/serving/decisions/test_tallying.py",
        [
            (
                "counts are stored twice",
                "counts.stored = changes",
                "pass",
                "test_counts_grow_and_only_what_changed_is_written",
            ),
        ],
    ),
    *mutants(
        "serving",
        "everloop/storage/sql/ingest_batch.py",
        "tests/unit/serving/api/test_decide_again.py",
        [
            (
                "the revision of a decision is not compared",
                "if seen != present and any(",
                "if False and any(",
                "test_a_decision_of_what_was_withdrawn_neither_leaves_nor_is_stored",
            ),
        ],
    ),
    *mutants(
        "serving",
        "everloop/serving/decisions/engine.py",
        "tests/unit/serving/decisions/test_trial_manifest.py",
        [
            (
                "a decision is stored under the newest revision",
                ".decide(now), serving.revision",
                ".decide(now), self._workspace.deployments.head(questions[0].spec.name).revision",
                "test_what_is_promoted_serves_with_the_next_look",
            ),
        ],
    ),
)
