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
                "a damaged winner is promoted",
                "    if not problems:\n",
                "    if True:\n",
                "test_a_damaged_winner_is_held",
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
                " and newest is not None and newest.active == served_by(head)",
                " and newest is not None",
                "test_where_the_active_changed_who_waits_needs_a_new_look",
            ),
            (
                "older ones go on waiting",
                'record.state == "waiting" and record.entered_at <',
                'record.state == "nothing" and record.entered_at <',
                "test_the_newest_that_waits_starts_when_a_trial_ends_and_older_ones_end",
            ),
        ],
    ),
    *mutants(
        "trial",
        "everloop/rollout/start.py",
        "tests/unit/rollout/test_start.py",
        [
            (
                "a policy of the raw log starts",
                "if provenance is not Provenance.PRIVATE_RELEASE:",
                "if False:",
                "test_a_raw_log_checkpoint_is_refused_whatever_the_verdict",
            ),
            (
                "what serves is tried against itself",
                "if not refusals and trial not in known and active == checkpoint_id:",
                "if False:",
                "test_what_serves_already_is_not_tried",
            ),
        ],
    ),
)
