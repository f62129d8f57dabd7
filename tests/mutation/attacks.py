"""Attacks on a policy."""

from __future__ import annotations

from tests.mutation.mutant import Mutant, mutants

MUTANTS: tuple[Mutant, ...] = (
    *mutants(
        "adversarial",
        "rl/adversarial/perturbed.py",
        "tests/unit/rl/adversarial/test_perturbed.py",
        [
            (
                "random flips have no limit",
                "random_flips.value <= limits.max_random_flips\n",
                "True\n",
                "test_each_limit_alone_fails_the_attack",
            ),
            (
                "the worst move has no limit",
                "and worst_flips.value <= limits.max_worst_flips",
                "and True",
                "test_each_limit_alone_fails_the_attack",
            ),
            (
                "a change of a propensity has no limit",
                "and largest.value <= limits.max_change",
                "and True",
                "test_each_limit_alone_fails_the_attack",
            ),
            (
                "a tie that turns round is a flip",
                " & (fell >= material)",
                "",
                "test_a_tie_that_turns_round_is_no_flip",
            ),
            (
                "flips are turned round",
                "(self.margin(propensity) < 0)",
                "(self.margin(propensity) > 0)",
                "test_a_sound_policy_withstands_and_a_fragile_one_gives_way",
            ),
            (
                "absent fields are moved",
                "present = context[:, missing[block.field]] < 0.5",
                "present = context[:, missing[block.field]] < 9.0",
                "test_only_numbers_of_present_fields_may_move",
            ),
        ],
    ),
    *mutants(
        "adversarial",
        "rl/adversarial/extremes.py",
        "tests/unit/rl/adversarial/test_extremes.py",
        [
            (
                "answers that are no distribution withstand",
                "if broken.any():",
                "if False:",
                "test_one_answer_that_is_no_distribution_is_enough",
            ),
            (
                "a collapsed policy withstands",
                "mean[most] > limits.max_extreme_share",
                "mean[most] > 2.0",
                "test_a_collapsed_policy_gives_way_and_is_named",
            ),
        ],
    ),
    *mutants(
        "adversarial",
        "rl/adversarial/catalogue_tricks.py",
        "tests/unit/rl/adversarial/test_catalogue_tricks.py",
        [
            (
                "a state without a valid action may be answered",
                "(not refuses,",
                "(False,",
                "test_an_answer_where_nothing_is_valid_gives_way",
            ),
            (
                "propensities need not be renormalised",
                "                deviation > limit,",
                "                False,",
                "test_each_trick_that_works_is_named",
            ),
            (
                "the order of states may matter",
                "(apart > limit,",
                "(False,",
                "test_each_trick_that_works_is_named",
            ),
            (
                "no state is evidence enough",
                "if len(context) == 0:",
                "if False:",
                "test_without_a_state_nothing_is_claimed",
            ),
        ],
    ),
    *mutants(
        "adversarial",
        "rl/adversarial/poisoned.py",
        "tests/unit/rl/adversarial/test_poisoned.py",
        [
            (
                "bots praise everything but their action",
                "episodes.action == action, spec",
                "episodes.action != action, spec",
                "test_bots_praise_one_action_and_nothing_else_changes",
            ),
            (
                "the strongest action is praised",
                "return int(worth.argmin())",
                "return int(np.where(np.isinf(worth), -np.inf, worth).argmax())",
                "test_the_weakest_action_is_the_one_that_earns_least_not_the_rarest",
            ),
        ],
    ),
)
