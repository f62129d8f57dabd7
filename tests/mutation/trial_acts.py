"""How trials begin, go on and end, and whom they meet."""

from __future__ import annotations

from tests.mutation.mutant import Mutant, mutants

MUTANTS: tuple[Mutant, ...] = (
    *mutants(
        "trial",
        "everloop/rollout/control.py",
        "tests/unit/rollout/test_control.py",
        [
            (
                "figures of an earlier trial count",
                "        experiment = None\n",
                "        pass\n",
                "test_figures_of_an_earlier_trial_count_for_nothing",
            ),
            (
                "another active model is not noticed",
                "active_unchanged=_unchanged(places, head, record)",
                "active_unchanged=True",
                "test_another_model_deployed_by_hand_ends_the_trial",
            ),
            (
                "a damaged winner is promoted",
                "    if not problems:\n",
                "    if True:\n",
                "test_a_damaged_winner_is_held",
            ),
            (
                "an approval of the start is one of the promotion",
                " and said.at > record.started_at",
                "",
                "test_an_approval_of_the_start_is_none_of_the_promotion",
            ),
            (
                "a rejection is an approval",
                "said is not None and said.passed and",
                "said is not None and",
                "test_a_rejection_and_a_word_on_another_deployment_promote_nobody",
            ),
            (
                "an approval of another deployment counts",
                "record.loop, OversightKind.APPROVAL, record.deployment_id, record.tenant",
                'record.loop, OversightKind.APPROVAL, "", record.tenant',
                "test_a_rejection_and_a_word_on_another_deployment_promote_nobody",
            ),
            (
                "a candidate that serves is not swapped back",
                'serves = after.state == "rolled_back" and serving == record.candidate',
                "serves = False",
                "test_a_candidate_that_serves_already_is_swapped_back_when_it_fails",
            ),
            (
                "hard limits are not looked at",
                "hard=() if unseen else failures(spec, tallies)",
                "hard=()",
                "test_hard_failures_roll_back_between_two_analyses",
            ),
            (
                "whoever lost a race acts all the same",
                "            continue\n        break",
                "            break\n        break",
                "test_who_lost_once_acts_on_what_is_true_by_then",
            ),
            (
                "the same hold is told again and again",
                " and held != list(verdict.decided_by)",
                "",
                "test_the_same_hold_is_told_once_and_its_end_once",
            ),
        ],
    ),
    *mutants(
        "trial",
        "everloop/rollout/settle.py",
        "tests/unit/rollout/test_control.py",
        [
            (
                "a waiting candidate starts against another active",
                "if newest.active != served_by(head, newest.subject):",
                "if False:",
                "test_where_the_active_changed_who_waits_needs_a_new_look",
            ),
            (
                "the oldest that waits starts",
                "[max(some, key=_since_when)",
                "[min(some, key=_since_when)",
                "test_the_newest_that_waits_starts_when_a_trial_ends_and_older_ones_end",
            ),
            (
                "older ones go on waiting",
                'record.state == "waiting" and alike and',
                'record.state == "nothing" and alike and',
                "test_the_newest_that_waits_starts_when_a_trial_ends_and_older_ones_end",
            ),
            (
                "an approved candidate begins beside the one on trial",
                "if head.trial is not None or record.active != served_by(head, record.subject):",
                "if False:",
                "test_an_approved_candidate_waits_behind_the_one_on_trial_and_is_not_dropped",
            ),
            (
                "nobody's word lets a candidate begin",
                "    if verdict.decision is not Decision.CONTINUE:\n        return record",
                "    if False:\n        return record",
                "test_nobody_promotes_past_provenance_or_the_gate",
            ),
        ],
    ),
    *mutants(
        "trial",
        "everloop/rollout/start.py",
        "tests/unit/rollout/test_start.py",
        [
            (
                "what was held starts",
                "if verdict.decision is Decision.CONTINUE:",
                "if True:",
                "test_only_continue_starts",
            ),
            (
                "a policy of the raw log starts",
                "if not may_serve(checkpoint.provenance, part.role):",
                "if False:",
                "test_a_raw_log_checkpoint_is_refused_whatever_the_verdict",
            ),
            (
                "what serves is tried against itself",
                "if not refusals and trial not in known and active == checkpoint_id:",
                "if False:",
                "test_what_serves_already_is_not_tried",
            ),
            (
                "another loop's checkpoint starts",
                "if {(checkpoint.loop, checkpoint.tenant), (deployment.loop, tenant)} != {(loop, tenant)}:",
                "if False:",
                "test_another_loops_checkpoint_is_refused",
            ),
            (
                "there is no shadow",
                "spec.rollout.shadow.decisions > 0",
                "False",
                "test_continue_starts_in_shadow_before_anybody_meets_it",
            ),
            (
                "an approval of another deployment starts it",
                "deployment.loop, OversightKind.APPROVAL, deployment.deployment_id, deployment.tenant",
                'deployment.loop, OversightKind.APPROVAL, "", deployment.tenant',
                "test_a_word_on_another_deployment_starts_nothing",
            ),
            (
                "a person approves of what is not theirs to decide",
                "awaits = verdict.awaits_person and len(refusals) == len(verdict.reasons)",
                "awaits = verdict.awaits_person",
                "test_nobody_can_approve_what_must_not_leave_the_boundary",
            ),
        ],
    ),
    *mutants(
        "trial",
        "everloop/rollout/by_hand.py",
        "tests/unit/rollout/test_control.py",
        [
            (
                "a person promotes past the gate",
                "record.deployment_id, gated=True)",
                "record.deployment_id, gated=False)",
                "test_nobody_promotes_past_provenance_or_the_gate",
            ),
            (
                "who was taken back is promoted without a word",
                "        _require_serving(places, record)\n",
                "",
                "test_who_was_taken_back_is_not_promoted_again_without_a_word",
            ),
            (
                "nobody need say why",
                "if not actor.strip() or not reason.strip():",
                "if False:",
                "test_who_and_why_are_asked_and_the_trial_must_exist",
            ),
        ],
    ),
    *mutants(
        "trial",
        "everloop/rollout/assignment.py",
        "tests/unit/rollout/test_arms.py",
        [
            (
                "the holdout meets the candidate",
                "    if held > 0.0 and assign",
                "    if False and assign",
                "test_the_holdout_has_its_share_and_the_candidate_that_of_the_others",
            ),
            (
                "the holdout counts as the candidate's in figures",
                "< held] = Arm.HOLDOUT.value",
                "< held] = Arm.CANDIDATE.value",
                "test_many_arms_are_the_arms_of_each",
            ),
            (
                "the holdout's share is not taken from the candidate's",
                "return (1.0 - rollout.holdout_percent / 100.0) * percent / 100.0",
                "return percent / 100.0",
                "test_the_holdout_has_its_share_and_the_candidate_that_of_the_others",
            ),
            (
                "every trial draws another holdout",
                'return f"holdout/{rollout.tenant}/{rollout.loop}/"',
                'return f"holdout/{rollout.rollout_id}/"',
                "test_the_holdout_is_the_same_in_every_trial_of_a_loop_and_another_in_other_loops",
            ),
            (
                "a shadow has traffic",
                '_WITH_TRAFFIC = ("started", "paused")',
                '_WITH_TRAFFIC = ("shadow", "started", "paused")',
                "test_only_a_trial_with_traffic_meets_anybody",
            ),
            (
                "a paused trial loses its traffic",
                '_WITH_TRAFFIC = ("started", "paused")',
                '_WITH_TRAFFIC = ("started",)',
                "test_only_a_trial_with_traffic_meets_anybody",
            ),
            (
                "figures and serving part at the edge",
                ">= 1.0 - shares]",
                "> 1.0 - shares]",
                "test_whoever_stands_on_the_edge_of_a_share_is_on_the_same_side_of_it_in_both",
            ),
        ],
    ),
)
