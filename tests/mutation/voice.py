"""What a voice learns from, what is taken for its effect, and what may be heard."""

from __future__ import annotations

from tests.mutation.mutant import Mutant, mutants

MUTANTS: tuple[Mutant, ...] = (
    *mutants(
        "voice",
        "everloop/gates/voice.py",
        "tests/unit/gates/test_voice.py",
        [
            (
                "texts of people pass where privacy was asked for",
                "made is Provenance.CONSENTED_TEXT and not wanted:",
                "made is Provenance.CONSENTED_TEXT:",
                "test_where_it_was_made_of_what_must_not_leave",
            ),
            (
                "what the raw log made passes",
                "made is Provenance.CONSENTED_TEXT and",
                "made is not Provenance.PRIVATE_RELEASE and",
                "test_where_it_was_made_of_what_must_not_leave",
            ),
            (
                "without a placebo there is an effect",
                "if own is None or other is None:",
                "if own is None:",
                "test_whatever_is_missing_holds",
            ),
            (
                "a candidate is its own placebo",
                "if not other.placebo or own.placebo or other.adapter_sha256 == own.adapter_sha256:",
                "if not other.placebo or own.placebo:",
                "test_the_candidate_is_not_its_own_placebo",
            ),
            (
                "a placebo may be trained otherwise",
                "if len(own.phases) != len(other.phases) or unlike:",
                "if len(own.phases) != len(other.phases):",
                "test_a_placebo_that_was_trained_otherwise_is_none",
            ),
            (
                "another adapter's sandbox counts",
                "if found.model_id != evidence.adapter_sha256:",
                "if False:",
                "test_a_report_on_another_adapter_is_no_evidence",
            ),
            (
                "another adapter's measure counts",
                'if measured not in ("", evidence.adapter_sha256):',
                "if False:",
                "test_a_measure_of_another_adapter_is_no_evidence",
            ),
            (
                "a sandbox without a check is a go",
                "if found is None or not found.checks:",
                "if found is None:",
                "test_a_sandbox_without_a_check_says_nothing",
            ),
            (
                "the sandbox's own checks are not asked",
                "    answers += tuple(replace(",
                "    tuple(replace(",
                "test_each_check_of_the_sandbox_can_hold",
            ),
            (
                "one person's texts are repeated to everybody",
                "if learned.people < MIN_PEOPLE:",
                "if False:",
                "test_texts_of_one_person_are_not_repeated_to_everybody",
            ),
            (
                "who taught nothing that was trained is a second person",
                "taught = count(learned.people,",
                "learned = replace(learned, people=found.people)\n    taught = count(learned.people,",
                "test_who_taught_nothing_that_was_trained_is_no_second_person",
            ),
            (
                "a private adapter needs no release",
                "if training is None or training.epsilon is None or not training.release_id:",
                "if False:",
                "test_a_private_adapter_without_a_release_holds",
            ),
        ],
    ),
    *mutants(
        "voice",
        "everloop/contracts/rollouts.py",
        "tests/unit/rollout/test_voice.py",
        [
            (
                "consented text decides",
                "return provenance is Provenance.CONSENTED_TEXT and role in VOICE_ROLES",
                "return provenance is Provenance.CONSENTED_TEXT",
                "test_consented_text_never_decides",
            ),
            (
                "the raw log speaks",
                "return provenance is Provenance.CONSENTED_TEXT and role in VOICE_ROLES",
                "return role in VOICE_ROLES",
                "test_what_the_raw_log_made_never_speaks",
            ),
        ],
    ),
    *mutants(
        "sandbox",
        "everloop/sandbox/deciding.py",
        "tests/unit/sandbox/test_deciding.py",
        [
            (
                "isolation that was not shown is good enough",
                "if open_ or not isolation.mechanisms or not isolation.tried:",
                "if False:",
                "test_isolation_that_was_not_shown_is_no_go",
            ),
            (
                "a strict suite that was not run passes",
                "    if not own:\n",
                "    if False:\n",
                "test_no_runs_are_no_go",
            ),
            (
                "a strict scenario may break",
                "if run.status in (RunStatus.FAILED, RunStatus.ERROR)]",
                "if run.status is RunStatus.FAILED]",
                "test_a_strict_suite_lets_nothing_fail_whatever_the_active_voice_does",
            ),
            (
                "a strict scenario may go unjudged",
                "    if unjudged:\n",
                "    if False:\n",
                "test_a_strict_suite_lets_nothing_fail_whatever_the_active_voice_does",
            ),
        ],
    ),
    *mutants(
        "sandbox",
        "everloop/sandbox/effect.py",
        "tests/unit/sandbox/test_deciding.py",
        [
            (
                "an effect may be below the placebo's",
                "if found.low > limit:\n        said",
                "if found.high > limit:\n        said",
                "test_an_effect_that_is_not_above_the_placebos_is_none",
            ),
            (
                "a candidate may be worse than what serves",
                "CheckStatus.FAILED if found.high < 0.0 else",
                "CheckStatus.FAILED if False else",
                "test_a_candidate_worse_than_the_voice_that_serves_fails_whatever_its_placebo_does",
            ),
        ],
    ),
    *mutants(
        "sandbox",
        "everloop/sandbox/apart/isolated.py",
        "tests/unit/sandbox/test_isolation.py",
        [
            (
                "a voice is opened in an open sandbox",
                "        if open_:\n            met",
                "        if False:\n            met",
                "test_half_a_sandbox_is_none",
            ),
            (
                "an attempt that was not made counts as denied",
                'dict.fromkeys(missing, "it was not tried")',
                'dict.fromkeys(missing, "PermissionError")',
                "test_what_the_parent_sees_reached_counts_whatever_the_sandbox_says",
            ),
            (
                "what reached the parent does not count",
                "return not reached and all(",
                "return all(",
                "test_what_the_parent_sees_reached_counts_whatever_the_sandbox_says",
            ),
        ],
    ),
    *mutants(
        "sandbox",
        "everloop/sandbox/apart/seccomp.py",
        "tests/unit/sandbox/test_isolation.py",
        [
            (
                "the limits of every process may be set",
                '"prlimit64": (0,)}',
                '"prlimit64": (0, 1)}',
                "test_the_filter_by_hand",
            ),
            (
                "memory may be shared",
                "(_MAP_SHARED, _MAP_ANONYMOUS)",
                "(_MAP_SHARED, _MAP_ANONYMOUS, 1 << 31)",
                "test_the_filter_by_hand",
            ),
        ],
    ),
    *mutants(
        "sandbox",
        "everloop/sandbox/apart/landlock.py",
        "tests/unit/sandbox/test_isolation.py",
        [
            (
                "a Landlock that lets files be cut is enough",
                "if found < LEAST:",
                "if found < 1:",
                "test_a_landlock_that_lets_files_be_cut_is_none",
            ),
            (
                "what is written may be removed",
                "~(_EXECUTE | _REMOVE)",
                "~_EXECUTE",
                "test_memory_and_files_that_no_limit_counts_are_denied",
            ),
        ],
    ),
    *mutants(
        "sandbox",
        "everloop/sandbox/apart/watch.py",
        "tests/unit/sandbox/test_isolation.py",
        [
            (
                "memory is not watched",
                "if memory > limits.memory_bytes:",
                "if False:",
                "test_what_the_kernel_lets_through_is_watched",
            ),
            (
                "the folder's size is not watched",
                "if size > limits.scratch_bytes:",
                "if False:",
                "test_what_the_kernel_lets_through_is_watched",
            ),
            (
                "time is not watched",
                "if time.monotonic() >= self._deadline:",
                "if False:",
                "test_it_is_ended_past_its_time_though_nobody_asks",
            ),
        ],
    ),
    *mutants(
        "sandbox",
        "everloop/sandbox/apart/messages.py",
        "tests/unit/sandbox/test_isolation.py",
        [
            (
                "what is written may wait for ever",
                "            _wait(descriptor, select.POLLOUT, deadline)\n",
                "            pass\n",
                "test_a_sandbox_that_does_not_read_stops_nobody",
            ),
        ],
    ),
    *mutants(
        "sandbox",
        "everloop/sandbox/apart/attempts.py",
        "tests/unit/sandbox/test_isolation.py",
        [
            (
                "bad luck counts as denied",
                'return met.startswith("PermissionError")',
                "return bool(met)",
                "test_what_the_parent_sees_reached_counts_whatever_the_sandbox_says",
            ),
        ],
    ),
    *mutants(
        "voice",
        "everloop/adaptation/training/publish.py",
        "tests/unit/adaptation/training/test_publish.py",
        [
            (
                "the reference is published",
                'TRAINED = "default"',
                'TRAINED = "ref"',
                "test_what_is_no_adapter_of_the_base_is_refused test_the_reference_beside_it_stays_out "
                "test_the_same_adapter_gives_the_same_bytes",
            ),
            (
                "another tensor lies in an adapter",
                'if f"{module}.weight" not in shapes or half not in ("A.weight", "B.weight"):',
                "if False:",
                "test_what_is_no_adapter_of_the_base_is_refused "
                "tests/unit/adaptation/training/test_preference.py::test_a_reference_among_the_tensors_is_"
                "not_published",
            ),
            (
                "what is not finite is published",
                "if not bool(torch.isfinite(tensor).all()):",
                "if False:",
                "test_what_is_no_adapter_of_the_base_is_refused",
            ),
        ],
    ),
    *mutants(
        "voice",
        "everloop/adaptation/training/rendering.py",
        "tests/unit/adaptation/training/test_rendering.py",
        [
            (
                "the end of turn is not learned",
                "            return None\n        return before, after\n",
                "            return None\n        return before, after[:-1]\n",
                "test_labels_are_the_answer_and_its_end_of_turn",
            ),
            (
                "a template without an end of turn is taken",
                "        if not end:\n",
                "        if False:\n",
                "test_a_template_that_breaks_answers_is_refused_by_its_tokenizers_name",
            ),
            (
                "what was asked is learned too",
                "[IGNORED] * len(prompt) + completion",
                "prompt + completion",
                "test_labels_are_the_answer_and_its_end_of_turn",
            ),
        ],
    ),
    *mutants(
        "voice",
        "everloop/contracts/conversation_tokens.py",
        "tests/unit/adaptation/training/test_rendering.py",
        [
            (
                "a text ends turns from inside",
                "broken = self._control.broken(text)",
                "broken = str(text)",
                "test_nobodys_text_begins_or_ends_a_turn",
            ),
            (
                "a cut turn loses the system turn",
                "cut = self._ids([*system, Message(newest.role, end)])",
                "cut = self._ids([Message(newest.role, end)])",
                "test_a_cut_turn_keeps_its_header_and_the_system_turn",
            ),
        ],
    ),
    *mutants(
        "voice",
        "everloop/adaptation/tags.py",
        "tests/unit/adaptation/test_tags.py",
        [
            (
                "a tag is an ordinary text",
                "        if found:\n",
                "        if False:\n",
                "test_tags_are_found_wherever_they_stand",
            ),
            (
                "a pseudonym may stand in a text",
                "            if mark in text:\n",
                "            if False:\n",
                "test_what_is_known_of_an_example_is_found_in_its_text",
            ),
            (
                "what is rejected is not looked at",
                "return (*(turn.content for turn in instance.prompt), instance.completion, *rejected)",
                "return (*(turn.content for turn in instance.prompt), instance.completion)",
                "test_tags_are_found_wherever_they_stand "
                "test_what_is_known_of_an_example_is_found_in_its_text",
            ),
        ],
    ),
    *mutants(
        "voice",
        "everloop/adaptation/building.py",
        "tests/unit/adaptation/test_building.py",
        [
            (
                "who judges teaches",
                "if self._is_held_out(spoken.feedback.user_id) is held_out:",
                "if True:",
                "test_each_person_is_on_one_side",
            ),
            (
                "a conversation of both sides teaches",
                "if len({self._is_held_out(user_id) for user_id in people}) > 1:",
                "if False:",
                "test_who_judges_anothers_words_is_on_the_same_side",
            ),
            (
                "what was held out is learned from a near copy",
                "            self._admission.keep(group)\n",
                "",
                "test_what_nearly_repeats_a_held_out_text_leaves_the_training_set",
            ),
            (
                "a person comes with the corpora",
                "    if instance.user_id is not None:\n        raise",
                "    if False:\n        raise",
                "test_a_person_among_the_corpora_is_refused_and_nothing_is_written",
            ),
        ],
    ),
    *mutants(
        "voice",
        "everloop/persona/adjustment.py",
        "tests/unit/persona/test_revisions.py",
        [
            (
                "one person moves a trait by the whole cap",
                "step = _within(step, max(0.0, most - share.moved))",
                "step = _within(step, terms.cap)",
                "test_many_small_asks_after_a_large_one_do_not_ride_on_it",
            ),
            (
                "one person fills the average that others move by",
                "asked = _within(asked, max(0.0, most / terms.rate - share.asked))",
                "pass",
                "test_one_person_moves_half_the_cap_and_two_move_all_of_it",
            ),
            (
                "one person goes on day by day",
                "step = _reaching(step, share.carried, reach)",
                "pass",
                "test_small_asks_do_not_carry_on_day_by_day_what_others_asked",
            ),
            (
                "one person leans the average day by day",
                "asked = _reaching(asked, share.leaned, reach / terms.rate)",
                "pass",
                "test_what_one_person_leans_does_not_go_on_with_others",
            ),
        ],
    ),
    *mutants(
        "voice",
        "everloop/adaptation/held_out.py",
        "tests/unit/adaptation/test_held_out.py",
        [
            (
                "every voice parts people alike",
                'return f"{tenant}\\0{persona}"',
                'return f"{tenant}\\0"',
                "test_voices_part_their_people_differently",
            ),
            (
                "who judges trains as well",
                "training = everybody - held_out",
                "training = everybody",
                "test_nobody_does_both_and_nobody_changes_sides",
            ),
        ],
    ),
    *mutants(
        "voice",
        "everloop/adaptation/placebo.py",
        "tests/unit/adaptation/test_measuring.py",
        [
            (
                "a placebo replaces what nobody said",
                "row.user_id is not None and row.task in tasks",
                "row.task in tasks",
                "test_what_nobody_said_is_the_same_in_a_placebo",
            ),
        ],
    ),
    *mutants(
        "voice",
        "everloop/adaptation/measuring.py",
        "tests/unit/adaptation/test_measuring.py",
        [
            (
                "the effect is over the active voice",
                'effect = known["candidate"].said - known["placebo"].said',
                'effect = known["candidate"].said - known["active"].said',
                "test_the_effect_is_what_the_placebo_does_not_do",
            ),
            (
                "what was disliked decides",
                "wanted = [i for i, row in enumerate(held_out) if row.liked is not False]",
                "wanted = [i for i, row in enumerate(held_out)]",
                "test_what_damages_a_voice_is_no_effect_where_its_own_words_were_disliked",
            ),
        ],
    ),
    *mutants(
        "voice",
        "everloop/adaptation/installed.py",
        "tests/unit/adaptation/screens/test_toxicity.py",
        [
            (
                "any pickle is opened whose record fits",
                "if not digest == held.hash.value == sha256:",
                "if digest != held.hash.value:",
                "test_a_record_that_was_rewritten_to_fit_is_refused_too",
            ),
        ],
    ),
    *mutants(
        "voice",
        "everloop/serving/speaking/screening.py",
        "tests/unit/serving/test_speaking.py",
        [
            (
                "what was refused is heard",
                '        if self.refused:\n            return ""\n        self._held',
                "        self._held",
                "test_what_may_not_be_heard_is_not",
            ),
        ],
    ),
    *mutants(
        "voice",
        "everloop/speaking/adapters.py",
        "tests/unit/speaking/test_adapters.py",
        [
            (
                "a changed adapter speaks",
                "    if found != folder.sha256:\n",
                "    if False:\n",
                "test_a_changed_adapter_is_refused",
            ),
        ],
    ),
    *mutants(
        "voice",
        "everloop/speaking/adapter_config.py",
        "tests/unit/speaking/test_adapter_config.py",
        [
            (
                "what an adapter asks for and nobody does is passed over",
                "_OFF if name in _UNUSED else ()",
                "_OFF if name in _UNUSED else (value,)",
                "test_what_would_not_be_done_is_refused_by_its_name",
            ),
        ],
    ),
    *mutants(
        "voice",
        "everloop/adaptation/training/private_release.py",
        "tests/unit/adaptation/training/test_private.py",
        [
            (
                "a release's file counts its examples",
                "examples=0, tokens=0, seconds=0.0",
                "seconds=0.0",
                "test_a_releases_file_does_not_count_anybody",
            ),
        ],
    ),
    *mutants(
        "voice",
        "components/_voice_registering.py",
        "tests/unit/components/test_voice_registering.py",
        [
            (
                "a release is published with exact figures",
                "if provenance_of(training) is Provenance.PRIVATE_RELEASE:",
                "if False:",
                "test_a_private_releases_files_do_not_count_its_people",
            ),
        ],
    ),
    *mutants(
        "voice",
        "everloop/storage/sql/voice_sides.py",
        "tests/conformance/test_voice_store.py::TestSqlVoiceStore",
        [
            (
                "who taught may judge later",
                "if known.get(person, first)",
                "if first",
                "test_who_judges_once_judges_for_good_and_who_does_not_never",
            ),
        ],
    ),
    *mutants(
        "sandbox",
        "everloop/sandbox/drift.py",
        "tests/unit/sandbox/test_growing.py",
        [
            (
                "a running service may speak with other code",
                "    differing |= {f",
                "    _ = {f",
                "test_a_service_that_runs_older_code_is_a_drift",
            ),
            (
                "the best of several answers passes as one that was tried",
                '"1", SCORER: NO_SCORER}',
                "configuration.settings[BEST_OF]}",
                "test_how_many_answers_are_drawn_and_what_takes_one_of_them_are_compared",
            ),
        ],
    ),
)
