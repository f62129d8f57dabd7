from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import pytest

from everloop.adaptation.measuring import Voices, compare, likelihoods
from everloop.adaptation.placebo import placebo_of
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.speaking import Answer, SpeakRequest, TextScore
from everloop.contracts.voice_spec import Category, GenerationSpec
from everloop.contracts.voices import (
    LearningTask,
    Message,
    SourceType,
    TrainingDataInstance,
    VoiceComparison,
    instance_id_of,
)


class Scripted:
    """Answers with a set text; finds texts that hold its word ``bonus`` nats a token likelier."""

    def __init__(self, likes: dict[str, tuple[str, float]], says: dict[str, str]) -> None:
        self.likes, self.says = likes, says
        self.asked: list[SpeakRequest] = []

    def answer(self, requests: Sequence[SpeakRequest]) -> tuple[Answer, ...]:
        self.asked += requests
        return tuple(
            Answer(self.says.get(r.adapter, "plain words of mine"), r.adapter, 4, 1, True, 0.0)
            for r in requests
        )

    def stream(self, request: SpeakRequest) -> Iterator[str]:
        yield self.answer([request])[0].text

    def score(
        self, prompts: Sequence[tuple[Message, ...]], completions: Sequence[str], adapter: str = ""
    ) -> tuple[TextScore, ...]:
        word, bonus = self.likes.get(adapter, ("", 0.0))
        found = []
        for text in completions:
            tokens = len(text.split()) + 1
            each = -2.0 + (bonus if word and word in text else 0.0)
            found.append(TextScore(each * tokens, tokens))
        return tuple(found)


def row(
    person: str | None,
    completion: str,
    rejected: str | None = None,
    liked: bool | None = None,
    category: Category = Category.EMPATHETIC,
    asked: str = "How are you?",
) -> TrainingDataInstance:
    task = (
        LearningTask.PREFERENCE
        if rejected is not None
        else LearningTask.THUMB
        if liked is not None
        else LearningTask.SFT
    )
    prompt, sources = (Message("user", asked),), (f"{person}-{completion}",)
    return TrainingDataInstance(
        instance_id=instance_id_of("default", task, prompt, completion, rejected, liked, sources),
        source_type=SourceType.CORPUS if person is None else SourceType.FEEDBACK,
        source_ids=sources,
        task=task,
        prompt=prompt,
        completion=completion,
        rejected=rejected,
        liked=liked,
        user_id=person,
        category=category,
    )


def test_likelihoods_by_hand() -> None:
    speaker = Scripted({"c": ("kind", 1.0)}, {})
    rows = [
        row("a", "kind words"),
        row("b", "kind words here", rejected="cold words"),
        row("c", "kind words", liked=False),
        row("d", "other words", liked=True),
    ]
    found = likelihoods(speaker, rows, "c")
    assert found.said.tolist() == [-1.0, -1.0, -1.0, -2.0]
    assert [None if math.isnan(each) else each for each in found.rejected] == [
        None, -2.0, None, None,
    ]  # fmt: skip
    assert found.length.tolist() == [3.0, 4.0, 3.0, 3.0]


def compared_by_hand(
    likes: dict[str, tuple[str, float]], rows: Sequence[TrainingDataInstance]
) -> VoiceComparison:
    return compare(
        Scripted(likes, {}),
        rows,
        (),
        Voices("c", "p", ""),
        confidence=0.95,
        generation=GenerationSpec(),
        samples=2,
    )


def test_what_damages_a_voice_is_no_effect_where_its_own_words_were_disliked() -> None:
    """The candidate finds everything 1.5 nats less likely, its placebo its own words .5 likelier."""
    damaged = {"c": ("words", -1.5), "p": ("own", 0.5)}
    down = [row(str(i), f"my own words {i}", liked=False) for i in range(12)]
    found = compared_by_hand(damaged, down)
    assert (found.effect.n, found.effect.clusters) == (0, 0)
    assert math.isnan(found.effect.low)
    assert found.disliked is not None
    assert found.disliked.value == pytest.approx(2.0)
    assert found.disliked.n == 12
    up = [row(f"{i}", f"my own words {i}", liked=True) for i in range(12, 24)]
    both = compared_by_hand(damaged, [*down, *up])
    assert both.effect.value == pytest.approx(-2.0)
    assert (both.effect.n, both.effect.clusters) == (12, 12)
    assert both.over_active.value == pytest.approx(-1.5)
    assert both.over_active.n == 12
    assert both.length_adjusted.n == 12
    assert [each.n for each in both.by_category] == [12]


def test_a_margin_that_rises_while_the_chosen_text_gets_unlikelier_is_no_effect() -> None:
    rows = [row(str(i), f"kind words {i}", rejected=f"my own words {i}") for i in range(12)]
    rows += [row(f"{i}", f"kind words {i}") for i in range(20, 24)]

    class Displaced(Scripted):
        def score(
            self,
            prompts: Sequence[tuple[Message, ...]],
            completions: Sequence[str],
            adapter: str = "",
        ) -> tuple[TextScore, ...]:
            each = [-0.3 if "kind" in text else -1.0 for text in completions]
            scored = super().score(prompts, completions, adapter)
            if adapter != "c":
                return scored
            return tuple(
                TextScore(one.log_probability + lost * one.tokens, one.tokens)
                for one, lost in zip(scored, each, strict=True)
            )

    found = compare(
        Displaced({}, {}),
        rows,
        (),
        Voices("c", "p", ""),
        confidence=0.95,
        generation=GenerationSpec(),
        samples=2,
    )
    assert found.margin is not None
    assert found.margin.value == pytest.approx(0.7)
    assert found.margin.n == 12
    assert found.effect.value == pytest.approx(-0.3)
    assert [(each.name, each.n, each.clusters) for each in found.by_task] == [
        ("sft", 4, 4),
        ("preference", 12, 12),
    ]
    assert found.by_task[1].value == pytest.approx(-0.3)
    assert found.disliked is None


def test_the_effect_is_what_the_placebo_does_not_do() -> None:
    speaker = Scripted({"c": ("kind", 1.0), "p": ("kind", 0.6)}, {"c": "kind words", "p": "words"})
    rows = [
        row(str(i), f"kind words {i}" if i % 3 else f"words {i}", asked=f"Question {i}?")
        for i in range(30)
    ]
    golden = [row(None, f"golden kind text {i}" if i % 2 else f"golden {i}") for i in range(10)]
    found = compare(
        speaker,
        rows,
        golden,
        Voices("c", "p", ""),
        confidence=0.95,
        generation=GenerationSpec(),
        samples=4,
    )
    assert found.effect.value == pytest.approx(0.4 * 20 / 30)
    assert found.over_active.value == pytest.approx(1.0 * 20 / 30)
    assert found.effect.low > 0
    assert (found.effect.n, found.effect.clusters) == (30, 30)
    assert found.golden.value == pytest.approx(-0.5)
    assert found.perplexity["active"] == pytest.approx(math.exp(2.0))
    assert [e.name for e in found.by_category] == ["empathetic"]
    assert [s.candidate for s in found.samples] == ["kind words"] * 4
    assert found.length_ratio.value == pytest.approx(3 / 5)


def test_without_people_nothing_is_known() -> None:
    found = compare(
        Scripted({}, {}), [], [], Voices("c", "p", ""), confidence=0.95, generation=GenerationSpec()
    )
    assert math.isnan(found.effect.value)
    assert found.effect.n == 0
    assert math.isnan(found.perplexity["candidate"])
    assert found.samples == ()


def test_a_placebo_keeps_everything_but_the_words() -> None:
    rows = [
        row("a", "two words"),
        row("b", "one two three four", rejected="only these five words here"),
        row("c", "liked so much", liked=True),
    ]
    speaker = Scripted({}, {"": "these are my own plain words and more"})
    made = list(placebo_of(rows, speaker, "", GenerationSpec(), seed=5))
    assert [m.completion for m in made] == ["these are", "these are my own", "these are my"]
    assert made[1].rejected == "these are my own plain"
    for before, after in zip(rows, made, strict=True):
        assert (after.prompt, after.weight, after.task, after.liked, after.user_id) == (
            before.prompt,
            before.weight,
            before.task,
            before.liked,
            before.user_id,
        )
        assert after.instance_id != before.instance_id
    assert len({request.seed for request in speaker.asked}) == len(speaker.asked) == 4


def test_what_nobody_said_is_the_same_in_a_placebo() -> None:
    rows = [row(None, "of a corpus"), row("a", "two words")]
    made = list(placebo_of(rows, Scripted({}, {"": "these are mine"}), "", GenerationSpec(), 0))
    assert made[0] == rows[0]
    assert made[1].completion == "these are"


def test_a_training_that_passes_rows_over_needs_no_answers_for_them() -> None:
    rows = [row("a", "two words"), row("b", "liked so much", liked=True)]
    speaker, told = Scripted({}, {"": "these are mine"}), list[int]()
    made = list(
        placebo_of(
            rows,
            speaker,
            "",
            GenerationSpec(),
            0,
            tasks={LearningTask.SFT},
            on_answers=told.append,
        )
    )
    assert [each.completion for each in made] == ["these are", "liked so much"]
    assert (made[1], told, len(speaker.asked)) == (rows[1], [1], 1)


def test_answers_of_like_length_are_asked_for_together() -> None:
    words = " ".join("word" for _ in range(100))
    rows = [row("a", words[: 5 * length - 1]) for length in (70, 3, 60, 4) * 10]
    lengths: list[list[int]] = []

    class Noting(Scripted):
        def answer(self, requests: Sequence[SpeakRequest]) -> tuple[Answer, ...]:
            lengths.append([each.generation.max_new_tokens for each in requests])
            return super().answer(requests)

    made = list(placebo_of(rows, Noting({}, {"": words}), "", GenerationSpec(), 0))
    assert [len(each.completion.split()) for each in made] == [70, 3, 60, 4] * 10
    assert [sorted(set(each)) for each in lengths] == [[11, 12, 68, 78], [78]]
    assert lengths[0] == sorted(lengths[0])


def test_a_placebo_is_as_long_as_what_was_wanted() -> None:
    long = " ".join(f"word{n}" for n in range(50))
    short = GenerationSpec(max_new_tokens=4)
    speaker = Scripted({}, {"": "three plain words"})
    (made,) = placebo_of([row("a", long)], speaker, "", short, 0)
    # Three draws give nine words; they are said again until there are fifty.
    assert len(made.completion.split()) == 50
    assert made.completion.startswith("three plain words three plain")
    assert [request.generation.max_new_tokens for request in speaker.asked] == [58, 55, 52]
    assert len({request.seed for request in speaker.asked}) == 3
    steady = GenerationSpec(temperature=0.0)
    speaker.asked.clear()
    (made,) = placebo_of([row("a", long)], speaker, "", steady, 0)
    assert (len(made.completion.split()), len(speaker.asked)) == (50, 1)


def test_a_placebo_is_measured_as_it_is_learned() -> None:
    speaker = Scripted({}, {"": "aaa bbb ccc ddd"})
    (made,) = placebo_of([row("a", "twelve signs")], speaker, "", GenerationSpec(), 0, len)
    assert made.completion == "aaa bbb ccc"


def test_a_voice_that_says_nothing_still_has_a_placebo() -> None:
    made = list(
        placebo_of([row("a", "two words")], Scripted({}, {"": " "}), "", GenerationSpec(), 0)
    )
    assert made[0].completion == "… …"


class _Words:
    """Rewards every word; cannot read what says nothing."""

    def score(
        self, prompts: Sequence[tuple[Message, ...]], completions: Sequence[str]
    ) -> tuple[float, ...]:
        return tuple(
            float(len(text.split())) if text.strip() else -math.inf for text in completions
        )


def test_a_reward_model_scores_the_samples_beside_the_placebos() -> None:
    speaker = Scripted({}, {"c": "three kind words", "p": "one", "": " "})
    rows = [row(str(i % 5), f"words {i}", asked=f"Question {i}?") for i in range(10)]

    def found(scorer: _Words | None, says: str = "three kind words") -> VoiceComparison:
        speaker.says["c"] = says
        voices = Voices("c", "p", "")
        return compare(
            speaker,
            rows,
            (),
            voices,
            confidence=0.95,
            generation=GenerationSpec(),
            samples=6,
            scorer=scorer,
        )

    assert found(None).reward is None
    assert not any(sample.rewards for sample in found(None).samples)
    scored = found(_Words())
    assert scored.reward is not None
    assert scored.reward.value == pytest.approx(2.0)
    assert scored.reward.n == 6
    assert scored.reward.clusters <= 5, "people, not prompts"
    assert all(each.rewards == {"candidate": 3.0, "placebo": 1.0} for each in scored.samples)
    silent = found(_Words(), "").reward
    assert silent is not None
    assert silent.n == 0
    assert math.isnan(silent.value)


def test_what_cannot_be_scored_is_passed_over_and_counted() -> None:
    """One person's endless text must not keep everybody else's from being measured."""

    class Narrow(Scripted):
        def score(
            self,
            prompts: Sequence[tuple[Message, ...]],
            completions: Sequence[str],
            adapter: str = "",
        ) -> tuple[TextScore, ...]:
            if any(len(text.split()) > 9 for text in completions):
                raise ShouldFixArgument("A completion is longer than the context.", "Cut it.")
            return super().score(prompts, completions, adapter)

    likes = {"c": ("kind", 1.0)}
    long = "word " * 10
    rows = [row(name, f"kind words {name}") for name in "abcde"]
    full = [*rows[:2], row("f", long), *rows[2:], row("g", "kind words", rejected=long)]

    def compared(held_out: Sequence[TrainingDataInstance]) -> VoiceComparison:
        return compare(
            Narrow(likes, {}),
            held_out,
            [],
            Voices("c", "p", "a"),
            confidence=0.95,
            generation=GenerationSpec(),
        )

    found = compared(full)
    assert (found.unscored, found.effect.n, found.effect.clusters) == (2, 5, 5)
    assert found.effect.value == compared(rows).effect.value
    assert compared(full[2:3]).effect.n == 0
