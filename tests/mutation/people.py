"""Reviews of episodes, notices and variants."""

from __future__ import annotations

from tests.mutation.mutant import Mutant, mutants

MUTANTS: tuple[Mutant, ...] = (
    *mutants(
        "variants",
        "everloop/rollout/variants/effects.py",
        "tests/unit/rollout/variants/test_effects.py",
        [
            (
                "alpha is not split over the variants",
                "alpha = experiment.alpha / (number - 1)",
                "alpha = experiment.alpha",
                "test_error_is_split_over_the_variants",
            ),
            (
                "the base is compared with itself",
                "_difference(experiment, ratings[index], ratings[0], alpha)",
                "_difference(experiment, ratings[index], ratings[index], alpha)",
                "test_ratings_and_their_variance_by_hand",
            ),
            (
                "the difference's sign is turned round",
                "one.value - base.value, one",
                "base.value - one.value, one",
                "test_ratings_and_their_variance_by_hand",
            ),
            (
                "judgements are the observations instead of people",
                "float((residual**2).sum()) / judgements**2",
                "float((residual**2).sum()) / judgements**2 / max(1.0, count.mean())",
                "test_ratings_and_their_variance_by_hand",
            ),
            (
                "too few people decide about variants",
                "min(one.people, base.people) >= experiment.min_people and ",
                "",
                "test_too_few_people_have_no_interval_and_decide_nothing",
            ),
        ],
    ),
    *mutants(
        "variants",
        "everloop/rollout/variants/winner.py",
        "tests/unit/rollout/variants/test_effects.py",
        [
            (
                "a variant wins by its estimate",
                "if d.low > 0 and answers",
                "if d.value > 0 and answers",
                "test_looking_every_day_promotes_no_equal_variant_too_often",
            ),
            (
                "the worst variant wins",
                "max(better, key",
                "min(better, key",
                "test_the_better_variant_wins_and_the_best_of_two",
            ),
            (
                "one worse variant stops all",
                "len(worse) == len(judged) - 1",
                "worse",
                "test_variants_that_are_all_worse_stop_and_one_that_may_win_does_not",
            ),
        ],
    ),
    *mutants(
        "variants",
        "everloop/rollout/variants/winner.py",
        "tests/unit/rollout/variants/test_safety.py",
        [
            (
                "a variant wins whoever fell silent",
                "if d.low > 0 and answers_kept(v, judged[0])]",
                "if d.low > 0]",
                "test_a_variant_that_silences_the_unhappy_does_not_win",
            ),
            (
                "people in other shares change nothing",
                "if ratio.mismatch:",
                "if False:",
                "test_a_mismatch_stops_a_winner",
            ),
            (
                "an experiment never ends",
                "if days < experiment.max_days:",
                "if days >= 0:",
                "test_after_so_many_days_it_stops_undecided_and_a_winner_still_wins",
            ),
        ],
    ),
    *mutants(
        "variants",
        "everloop/rollout/variants/response.py",
        "tests/unit/rollout/variants/test_safety.py",
        [
            (
                "the response rate's estimate is enough",
                "found.low > -MARGIN",
                "found.low > -9 * MARGIN",
                "test_a_variant_that_silences_the_unhappy_does_not_win",
            ),
            (
                "nobody and everybody have no error",
                "(self.judged + 1) / (self.met + 2)",
                "self.judged / self.met",
                "test_response_and_its_difference_by_hand",
            ),
        ],
    ),
    *mutants(
        "variants",
        "everloop/rollout/variants/sharing.py",
        "tests/unit/rollout/variants/test_safety.py",
        [
            (
                "later variants keep their share of everybody",
                "number, weight / left)",
                "number, weight)",
                "test_shares_of_several_variants_are_a_chain_of_pairs_with_mean_one",
            ),
        ],
    ),
    *mutants(
        "variants",
        "everloop/rollout/variants/meeting.py",
        "tests/unit/rollout/variants/test_effects.py",
        [
            (
                "people go on meeting the loser",
                'if experiment.state == "promoted":',
                'if experiment.state == "no":',
                "test_when_it_is_over_everybody_meets_the_winner_or_the_base",
            ),
        ],
    ),
    *mutants(
        "reviews",
        "everloop/rewards/holding.py",
        "tests/unit/rewards/test_holding.py",
        [
            (
                "held episodes are taught",
                "by_state[ReviewState.OPEN] | rejected |",
                "rejected |",
                "test_who_is_held_by_hand",
            ),
            (
                "rejected episodes are taught",
                "by_state[ReviewState.OPEN] | rejected |",
                "by_state[ReviewState.OPEN] |",
                "test_who_is_held_by_hand",
            ),
            (
                "what is found tonight is taught tonight",
                " | {one.episode_id for one in unreviewed}",
                "",
                "test_who_was_released_stays_released_when_found_again_but_not_for_another_reason",
            ),
            (
                "a released episode is held again",
                "for one in unreviewed}",
                "for one in found}",
                "test_who_was_released_stays_released_when_found_again_but_not_for_another_reason",
            ),
            (
                "a release passes over another suspicion",
                "by_state[ReviewState.RELEASED] - held",
                "by_state[ReviewState.RELEASED]",
                "test_who_was_released_stays_released_when_found_again_but_not_for_another_reason",
            ),
            (
                "held episodes keep their outcome",
                '{"reward", "outcome"} or',
                '{"reward"} or',
                "test_what_is_found_is_held_from_the_run_that_finds_it",
            ),
        ],
    ),
    *mutants(
        "reviews",
        "everloop/rewards/anomaly.py",
        "tests/unit/rewards/test_reward_figures.py",
        [
            (
                "z has the other sign",
                "math.exp(median + Z_LIMIT",
                "math.exp(median - Z_LIMIT",
                "tests/unit/rewards/test_holding.py::test_what_is_found_is_held_from_the_run_that_finds_it",
            ),
            (
                "episodes of small variance are flagged",
                '"SELECT episode_id, signals, variance FROM rewards WHERE variance > ? ',
                '"SELECT episode_id, signals, variance FROM rewards WHERE variance < ? ',
                "tests/unit/rewards/test_holding.py::test_what_is_found_is_held_from_the_run_that_finds_it",
            ),
            (
                "a spread of nothing flags everybody",
                "assessed < MIN_ASSESSED or not mad > 0.0",
                "False",
                "test_no_limit_without_evidence_of_spread",
            ),
            (
                "MAD is taken for a standard deviation",
                "Z_LIMIT * NORMAL_MAD * mad",
                "Z_LIMIT * mad",
                "test_extreme_variance_is_flagged",
            ),
        ],
    ),
    *mutants(
        "reviews",
        "everloop/rewards/suspicion.py",
        "tests/unit/rewards/test_outlier_actions.py",
        [
            (
                "z's limit is lower",
                "Z_LIMIT = 5.0",
                "Z_LIMIT = 4.8",
                "test_where_others_have_none_ten_are_strange_and_nine_are_not",
            ),
            (
                "the weakest suspicion is kept",
                "one.score > before.score",
                "one.score < before.score",
                "test_the_strongest_suspicion_of_an_episode_and_kind_stays",
            ),
        ],
    ),
    *mutants(
        "reviews",
        "rl/encoders/dataset.py",
        "tests/unit/components/test_held_from_training.py",
        [
            (
                "held episodes are encoded",
                'batch["held"].to_pylist()], dtype=np.bool_)',
                'batch["held"].to_pylist()], dtype=np.bool_) & False',
                "test_a_person_whose_every_episode_is_held_is_nobody_to_learn_from",
            ),
        ],
    ),
    *mutants(
        "reviews",
        "everloop/storage/sql/episode_reviews.py",
        "tests/conformance/test_review_store.py::TestOnSqlite",
        [
            (
                "what was decided is opened again",
                "item.review_id not in stored and",
                "",
                "test_what_was_decided_stays_decided_when_it_is_flagged_again",
            ),
            (
                "an older decision counts",
                "func.max(later.c.revision)",
                "func.min(later.c.revision)",
                "test_one_kind_of_suspicion_is_not_another",
            ),
        ],
    ),
    *mutants(
        "notices",
        "everloop/notifications/webhook.py",
        "tests/unit/notifications/test_channels.py",
        [
            (
                "the signature leaves the timestamp out",
                'signed = timestamp.encode() + b"." + body',
                "signed = body",
                "test_a_webhook_gets_json_signed_over_time_and_body",
            ),
            (
                "an old request is fresh",
                "abs(now - int(timestamp)) > TOLERANCE_S",
                "False",
                "test_a_request_that_is_not_ours_or_not_fresh_does_not_verify",
            ),
            (
                "a request from ahead is fresh",
                "abs(now - int(timestamp))",
                "(now - int(timestamp))",
                "test_a_request_that_is_not_ours_or_not_fresh_does_not_verify",
            ),
        ],
    ),
    *mutants(
        "notices",
        "everloop/notifications/words.py",
        "tests/unit/notifications/test_words.py",
        [
            (
                "two events are one notice",
                'key=f"{kind.value}/{event.loop}/{event.sequence}"',
                'key=f"{kind.value}/{event.loop}"',
                "test_an_event_that_people_should_know_is_told_once",
            ),
            (
                "a rollback is not told",
                '    "rolled_back": (NoticeKind.ROLLBACK, "A candidate was rolled back"),\n',
                "",
                "test_an_event_that_people_should_know_is_told_once",
            ),
            (
                "a return to what served before is told as a trial's end",
                "kind, said = _BACK if event.deployment_id else _EMPTY",
                "pass",
                "test_a_return_is_told_by_what_serves_since",
            ),
            (
                "a promotion that waits is an ordinary hold",
                "_APPROVAL if awaits else",
                '_TOLD["hold"] if awaits else',
                "test_what_waits_for_a_person_is_told",
            ),
            (
                "a budget is told of every day",
                "{passed[-1]:g}/{on:%Y-%m}",
                "{passed[-1]:g}/{on:%Y-%m-%d}",
                "test_a_budget_is_told_of_at_four_fifths_and_again_near_its_end",
            ),
        ],
    ),
    *mutants(
        "notices",
        "everloop/notifications/outbox.py",
        "tests/unit/notifications/test_outbox.py",
        [
            (
                "a notice that failed is given up",
                "not isinstance(problem, ShouldWait) or",
                "isinstance(problem, ShouldWait) or",
                "test_what_will_not_work_is_given_up_at_once_and_keeps_its_reason",
            ),
            (
                "a notice is tried for ever",
                " or attempts >= MOST_ATTEMPTS",
                "",
                "test_the_receiver_s_own_wait_counts_and_attempts_end",
            ),
            (
                "what was sent is not written down",
                "            store.sent(queued.notice_id, queued.channel, now)\n",
                "",
                "test_what_arrives_is_sent_once",
            ),
        ],
    ),
    *mutants(
        "notices",
        "everloop/storage/sql/notices.py",
        "tests/conformance/test_notice_store.py::TestSqlNoticeStore",
        [
            (
                "the same thing is told twice",
                "                if channel in known:",
                "                if False:",
                "test_the_same_thing_is_told_once_for_each_channel",
            ),
            (
                "what was sent is sent again",
                "notices.c.state != _SENT",
                'notices.c.state != ""',
                "test_one_that_was_sent_stays_sent",
            ),
            (
                "two who look at once send the same",
                "values(next_attempt_at=now + ALONE)",
                "values(next_attempt_at=now)",
                "test_who_takes_a_notice_has_it_alone_for_a_while",
            ),
        ],
    ),
)
