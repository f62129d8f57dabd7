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
        ],
    ),
    *mutants(
        "trial",
        "everloop/rollout/health.py",
        "tests/unit/rollout/test_health.py",
        [
            (
                "a shadow is over too soon",
                "found.answered >= least else",
                "True else",
                "test_shadow_needs_its_decisions_and_its_time",
            ),
        ],
    ),
)
