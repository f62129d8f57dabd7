"""The gate's checks of data, duties and people, and its verdict."""

from __future__ import annotations

from tests.mutation.mutant import Mutant, mutants

MUTANTS: tuple[Mutant, ...] = (
    *mutants(
        "gate",
        "everloop/gates/provenance.py",
        "tests/unit/gates/test_decide.py",
        [
            (
                "a policy of the raw log passes",
                "if evidence.provenance is Provenance.PRIVATE_RELEASE:",
                "if True:",
                "test_no_check_passes_without_data_or_on_what_is_no_number",
            ),
        ],
    ),
    *mutants(
        "gate",
        "everloop/gates/validation.py",
        "tests/unit/gates/test_decide.py",
        [
            (
                "data without a check is valid",
                "if report is None or not report.checks:",
                "if report is None:",
                "test_each_thing_that_is_wrong_holds",
            ),
            (
                "failed expectations pass",
                "if report.passed:",
                "if True:",
                "test_each_thing_that_is_wrong_holds",
            ),
        ],
    ),
    *mutants(
        "gate",
        "everloop/gates/quality.py",
        "tests/unit/gates/test_decide.py",
        [
            (
                "a user model that nobody checked passes",
                "if not checks:",
                "if False:",
                "test_no_check_passes_without_data_or_on_what_is_no_number",
            ),
            (
                "a failed check of the user model passes",
                "(CheckStatus.FAILED, failed),",
                "",
                "test_each_thing_that_is_wrong_holds",
            ),
            (
                "a check of the user model without data passes",
                "(CheckStatus.INSUFFICIENT, insufficient),",
                "",
                "test_no_check_passes_without_data_or_on_what_is_no_number",
            ),
        ],
    ),
    *mutants(
        "gate",
        "everloop/gates/anomaly.py",
        "tests/unit/gates/test_decide.py",
        [
            (
                "the limit of anomalies is turned round",
                "share <= limit else",
                "share >= limit else",
                "test_good_evidence_continues",
            ),
            (
                "a share of anomalies that is no number is judged",
                "if share is None or not 0.0 <= share <= 1.0:",
                "if share is None:",
                "test_each_thing_that_is_wrong_holds",
            ),
        ],
    ),
    *mutants(
        "gate",
        "everloop/gates/budget.py",
        "tests/unit/gates/test_decide.py",
        [
            (
                "the privacy budget is turned round",
                "found.epsilon_period <= allowed",
                "found.epsilon_period >= allowed",
                "test_good_evidence_continues",
            ),
            (
                "the larger of two budgets counts",
                "allowed = min(",
                "allowed = max(",
                "test_each_thing_that_is_wrong_holds",
            ),
            (
                "delta above the loop's is kept",
                " and found.delta <= spec.privacy.delta * (1 + _ROUNDING)",
                "",
                "test_each_thing_that_is_wrong_holds",
            ),
            (
                "a loss that is no number passes",
                "math.isfinite(found.epsilon_period) and math.isfinite(found.mu_squared_period)",
                "True",
                "test_each_thing_that_is_wrong_holds",
            ),
        ],
    ),
    *mutants(
        "gate",
        "everloop/gates/explanation.py",
        "tests/unit/gates/test_decide.py",
        [
            (
                "the share of explained episodes is turned round",
                "share >= needed",
                "share <= needed",
                "test_good_evidence_continues",
            ),
            (
                "a share of explanations that is no number is judged",
                "if share is None or not 0.0 <= share <= 1.0:",
                "if share is None:",
                "test_each_thing_that_is_wrong_holds",
            ),
        ],
    ),
    *mutants(
        "gate",
        "everloop/gates/safety.py",
        "tests/unit/gates/test_decide.py",
        [
            (
                "the limit of safety-critical actions is turned round",
                "share <= limit else",
                "share >= limit else",
                "test_good_evidence_continues",
            ),
            (
                "an unknown share of a safety-critical action is none",
                "math.nan) for",
                "0.0) for",
                "test_no_check_passes_without_data_or_on_what_is_no_number",
            ),
        ],
    ),
    *mutants(
        "gate",
        "everloop/gates/reviews.py",
        "tests/unit/gates/test_people.py",
        [
            (
                "an overdue review passes",
                "if age > days:",
                "if age > 2 * days:",
                "test_an_overdue_duty_blocks_and_names_its_age_and_its_command",
            ),
            (
                "the age of a review is turned round",
                "if age > days:",
                "if age < days:",
                "test_without_an_approval_the_gate_holds_and_waits_for_a_person_alone",
            ),
            (
                "a failed review passes",
                "if not said.passed:",
                "if False:",
                "test_a_failed_duty_blocks_however_fresh",
            ),
            (
                "a review dated ahead counts",
                "if said.at > now + CLOCKS_DIFFER:",
                "if False:",
                "test_a_word_dated_ahead_of_the_clock_never_grows_old_and_counts_for_nothing",
            ),
            (
                "another loop's review counts",
                "if said is None or (said.kind, said.loop) != (self.kind, spec.name):",
                "if said is None:",
                "test_another_word_does_no_duty",
            ),
            (
                "a first model needs a review of nothing",
                "if evidence.active is None:",
                "if False:",
                "test_the_first_model_ever_can_start",
            ),
            (
                "the attack's term is the review's",
                "lambda terms: terms.adversarial_test_days",
                "lambda terms: terms.weekly_review_days",
                "test_without_an_approval_the_gate_holds_and_waits_for_a_person_alone",
            ),
        ],
    ),
    *mutants(
        "gate",
        "everloop/gates/approval.py",
        "tests/unit/gates/test_people.py",
        [
            (
                "a rejection passes",
                "if said is not None and not said.passed:",
                "if False:",
                "test_a_rejection_fails_whatever_the_loop_asks_for",
            ),
            (
                "another loop's word is an approval",
                "if said is not None and (said.kind, said.loop) != (OversightKind.APPROVAL, spec.name):",
                "if False:",
                "test_a_word_on_something_else_is_no_approval",
            ),
            (
                "a loop that asks for an approval does without",
                'if asked != "start":',
                "if True:",
                "test_without_an_approval_the_gate_holds_and_waits_for_a_person_alone",
            ),
            (
                "nobody's word is an approval",
                "            return waits(",
                "            return passed(",
                "test_without_an_approval_the_gate_holds_and_waits_for_a_person_alone",
            ),
        ],
    ),
    *mutants(
        "gate",
        "everloop/gates/decide.py",
        "tests/unit/gates/test_decide.py",
        [
            (
                "one passed check is enough",
                "all(answer.status is",
                "any(answer.status is",
                "test_each_thing_that_is_wrong_holds",
            ),
            (
                "not enough evidence is treated as passed",
                "answer.status is CheckStatus.PASSED for",
                "answer.status is not CheckStatus.FAILED for",
                "test_no_check_passes_without_data_or_on_what_is_no_number",
            ),
            (
                "a gate without a check continues",
                "bool(answers) and all",
                "all",
                "test_no_check_is_a_no",
            ),
            (
                "installed checks are not asked",
                "(*CHECKS, *installed_checks(CHECKS))",
                "CHECKS",
                "tests/unit/gates/test_plugins.py::test_an_installed_check_is_asked_under_its_entry_points_name",
            ),
            (
                "fairness is not asked",
                "    FairnessCheck(),\n",
                "",
                "test_every_check_is_documented_with_its_own_row",
            ),
            (
                "the weekly review is not asked",
                "    WEEKLY_REVIEW,\n",
                "",
                "test_every_check_is_documented_with_its_own_row",
            ),
            (
                "the approval is not asked",
                "    ApprovalCheck(),\n",
                "",
                "test_every_check_is_documented_with_its_own_row",
            ),
        ],
    ),
    *mutants(
        "gate",
        "everloop/gates/plugins.py",
        "tests/unit/gates/test_plugins.py",
        [
            (
                "an installed check's failure is ignored",
                "return insufficient(",
                "return Check(self.name, CheckStatus.PASSED, self.name) if self else insufficient(",
                "test_an_installed_check_that_gives_no_answer_holds_and_is_named",
            ),
            (
                "an installed check may answer anything",
                "if not _is_answer(answer):",
                "if False:",
                "test_an_installed_check_that_gives_no_answer_holds_and_is_named",
            ),
            (
                "an installed check may take another's name",
                "if self.taken:",
                "if False:",
                "test_an_installed_check_cannot_stand_in_for_another",
            ),
        ],
    ),
    *mutants(
        "gate",
        "everloop/contracts/evaluation.py",
        "tests/unit/contracts/test_verdicts.py",
        [
            (
                "a person may decide what is not theirs",
                "and all(check.person_decides for check in failing)",
                "and any(check.person_decides for check in failing)",
                "test_a_hold_waits_for_a_person_when_nothing_else_is_open",
            ),
            (
                "a rejection continues",
                "CheckStatus.PASSED if said.passed else CheckStatus.FAILED",
                "CheckStatus.PASSED",
                "test_a_rejection_fails_what_waited",
            ),
        ],
    ),
    *mutants(
        "gate",
        "components/_evidence.py",
        "tests/unit/components/test_gate_step.py",
        [
            (
                "the gate is not told what serves",
                "active=serving,",
                "active=None,",
                "test_the_same_weights_under_another_version_are_no_candidate",
            ),
            (
                "the gate is not told when it is asked",
                "now=now,",
                "",
                "test_reviews_of_what_serves_are_read_from_the_workspace",
            ),
        ],
    ),
)
