"""What stores keep."""

from __future__ import annotations

from tests.mutation.mutant import Mutant, mutants

MUTANTS: tuple[Mutant, ...] = (
    *mutants(
        "storage",
        "everloop/storage/sql/deployments.py",
        "tests/conformance/test_deployment_store.py::TestSqlDeploymentStore",
        [
            (
                "a role that the manifest lacks keeps serving",
                "if deployment.artefact(role) is None and serves.checkpoint_id is not None:",
                "if False:",
                "test_a_swap_moves_every_role_at_once_and_clears_the_rest",
            ),
            (
                "a withdrawal leaves a role serving",
                "                alias_of(role): None\n",
                '                alias_of(role): None if role == "policy" else serves.checkpoint_id\n',
                "test_a_withdrawal_clears_every_role_at_once",
            ),
            (
                "a part of another checksum is served",
                'if row["weights_sha256"] != artefact.sha256:',
                "if False:",
                "test_a_part_that_is_not_registered_for_the_loop_is_refused",
            ),
            (
                "a trial of another loop moves with a swap",
                "if rollout is not None and (rollout.loop, rollout.tenant) != (loop, tenant):",
                "if False:",
                "test_a_swap_and_its_trial_are_one",
            ),
            (
                "a second measure replaces the first",
                "            if stored.outcome:",
                "            if False:",
                "test_the_first_measurement_stays",
            ),
        ],
    ),
    *mutants(
        "storage",
        "everloop/storage/sql/head_changes.py",
        "tests/conformance/test_deployment_store.py::TestSqlDeploymentStore",
        [
            (
                "one alias is left out of a swap",
                "in moves.items():\n        move_alias",
                "in list(moves.items())[:-1]:\n        move_alias",
                "test_a_swap_moves_every_role_at_once_and_clears_the_rest",
            ),
            (
                "a swap does not raise the revision",
                "    raise_revision(connection, loop, tenant, told.deployment_id)",
                "    pass",
                "test_a_swap_moves_every_role_at_once_and_clears_the_rest",
            ),
            (
                "what was withdrawn counts as promoted",
                "    end_service(connection, withdrawn, tenant)",
                "    pass",
                "test_a_promoted_one_that_is_replaced_by_what_served_before_is_withdrawn",
            ),
            (
                "a withdrawal names no rollout",
                "about = _promoted(connection, withdrawn, head) if rollout is None else rollout",
                "about = rollout",
                "test_a_promoted_one_that_is_replaced_by_what_served_before_is_withdrawn",
            ),
        ],
    ),
    *mutants(
        "storage",
        "everloop/storage/sql/head_rows.py",
        "tests/conformance/test_deployment_store.py::TestSqlDeploymentStore",
        [
            (
                "the revision is unchecked",
                "if head.revision != expected:",
                "if False:",
                "test_another_revision_changes_nothing",
            ),
            (
                "the breaker closes with every change",
                "kept if breaker is None",
                "_written(SafetyBreaker()) if breaker is None",
                "test_the_breaker_is_part_of_the_head",
            ),
        ],
    ),
    *mutants(
        "storage",
        "everloop/storage/sql/rollout_rows.py",
        "tests/conformance/test_rollout_store.py::TestSqlRolloutStore",
        [
            (
                "compare-and-set of a trial is ignored",
                "if before.generation != record.generation:",
                "if False:",
                "test_each_advance_is_over_the_generation_that_it_saw",
            ),
            (
                "what is over begins again",
                "if before.state in OVER:",
                "if False:",
                "test_what_is_over_stays_over",
            ),
            (
                "the alias candidate stays after a trial",
                "wanted = after.candidate if after.live else None",
                "wanted = after.candidate",
                "test_the_alias_follows_the_live_trial",
            ),
        ],
    ),
    *mutants(
        "storage",
        "everloop/storage/sql/rollouts.py",
        "tests/conformance/test_rollout_store.py::TestSqlRolloutStore",
        [
            (
                "a change of a trial is not felt",
                "        raise_revision(connection, after.loop, after.tenant)",
                "        pass",
                "test_every_change_raises_the_head_and_is_told",
            ),
            (
                "a second trial is live beside the first",
                "            if trial is not None:\n                reason",
                "            if False:\n                reason",
                "test_a_second_candidate_waits_without_traffic",
            ),
        ],
    ),
    *mutants(
        "storage",
        "everloop/storage/sql/oversights.py",
        "tests/conformance/test_oversight_store.py::TestSqlOversightStore",
        [
            (
                "of two words at one moment the yes counts",
                "order_by(table.at.desc(), table.passed,",
                "order_by(table.at.desc(), table.passed.desc(),",
                "test_of_two_at_one_moment_the_no_counts",
            ),
            (
                "an older word counts",
                "order_by(table.at.desc(),",
                "order_by(table.at,",
                "test_the_newest_of_a_kind_counts_whatever_the_order_of_arrival",
            ),
            (
                "another subject's word counts",
                "        if subject_id:",
                "        if False:",
                "test_a_subject_has_words_of_its_own",
            ),
            (
                "words of another kind count",
                ".where(oversights.c.kind == str(kind))",
                "",
                "test_the_newest_of_a_kind_counts_whatever_the_order_of_arrival",
            ),
        ],
    ),
    *mutants(
        "storage",
        "everloop/storage/sql/tallies.py",
        "tests/conformance/test_tally_store.py::TestSqlTallyStore",
        [
            (
                "shadow and trial are counted together",
                "table.phase == phase",
                "True",
                "test_rollouts_phases_and_tenants_are_apart",
            ),
        ],
    ),
)
