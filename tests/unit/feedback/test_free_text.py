"""Free text: what people write, and what is understood. Unknown text is unclear, never guessed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.feedback.categories import CATEGORIES
from everloop.feedback.clauses import clauses_of
from everloop.feedback.free_text import UNCLEAR, read_free_text
from everloop.feedback.lexicon import _TABLE, ENTRIES

UNDERSTOOD = {
    # degree
    "way too formal and too long": "too_formal too_long",
    "too formal, long, and complicated": "too_formal too_long too_complex",
    "it is very long": "too_long",
    "why so formal?": "too_formal",
    "SO FORMAL": "too_formal",
    "Way too casual for a work email": "too_casual",
    "that was unnecessarily complicated": "too_complex",
    "too much detail": "too_long",
    "this is too much information": "too_long",
    "too simple": "too_simple",
    "too friendly": "too_friendly",
    "Too robotic": "too_flat",
    "too many exclamation marks!!!": "too_excited",
    "too many emojis": "too_many_emoji",
    "You talk too fast": "too_fast",
    "the voice is too high": "too_high",
    # faults
    "you used too many big words": "too_complex",
    "a bit rude": "rude",
    "That was a bit rude": "rude",
    "kind of cold": "too_cold",
    "sounds like a robot": "too_flat",
    "it goes on and on": "too_long",
    "that was condescending": "rude",
    "this was offensive": "offensive",
    "you misunderstood my question": "off_topic",
    "it keeps repeating the same thing": "repetitive",
    # wishes
    "Could be a bit shorter": "too_long",
    "I wish it was shorter": "too_long",
    "make it warmer": "too_cold",
    "be more friendly": "too_cold",
    "please be less formal": "too_formal",
    "stop being so formal": "too_formal",
    "a little less serious would be nice": "too_serious liked",
    "more detail please": "too_short",
    "needs more examples": "too_short",
    "keep it short": "too_long",
    "could have been more formal": "too_casual",
    "fewer emojis please": "too_many_emoji",
    "can you slow down a bit": "too_fast",
    "could you use simpler words?": "too_complex",
    # compared with the person
    "shorter than I'd like": "too_short",
    "much more formal than I am": "too_formal",
    "I talk much more casually than that": "too_formal",
    # denied
    "not too formal": "not_too_formal",
    "not too formal, stiff or cold": "not_too_formal not_too_cold",
    "not rude or cold": "not_rude not_too_cold",
    "I don't think it was rude": "not_rude",
    "I wouldn't say it's too formal": "not_too_formal",
    "it was never boring": "not_too_flat",
    "no jargon, nice": "not_too_complex liked",
    "no mistakes at all": "not_incorrect_information",
    "not bad": "not_disliked",
    "formal enough": "not_too_casual",
    "it wasn't rude, just too short": "not_rude too_short",
    # lacking
    "not formal enough": "too_casual",
    "not enough detail": "too_short",
    "not very friendly": "too_cold",
    "not funny": "too_serious",
    "not warm enough": "too_cold",
    "not perfect": "disliked",
    "far from perfect": "disliked",
    "not helpful at all": "not_helpful",
    "I didn't find it helpful": "not_helpful",
    "hardly helpful": "not_helpful",
    # unwanted
    "don't use so many big words": "too_complex",
    "I don't like the jargon": "disliked too_complex",
    "I'm not a fan of the slang": "disliked too_casual",
    "don't be so stiff": "too_formal",
    "I never use such long words": "too_complex",
    "you should not be so pushy": "too_pushy",
    # is it them?
    "not something I'd say": "not_like_me",
    "I would never say that": "not_like_me",
    "I don't talk like that": "not_like_me",
    "doesn't sound like me": "not_like_me",
    "sounded nothing like me": "not_like_me",
    "it's not me": "not_like_me",
    "sounds just like me!": "sounds_like_me",
    "this is exactly how I talk": "sounds_like_me",
    # verdicts
    "nailed it": "nailed_it",
    "no that's perfect": "nailed_it",
    "couldn't be better": "nailed_it",
    "That's wrong": "incorrect_information",
    "that's not right": "incorrect_information",
    "thank you, very helpful": "liked helpful",
    "I loved it but it was a little too long": "liked too_long",
    "short and sweet": "liked",
}

UNKNOWN = (
    "",
    "hmm",
    "ok",
    "asdf qwer",
    "The sky is blue",
    "formal",
    "formal or casual, I don't mind",
    "she is a friendly person",
    "my boss was rude",
    "what does that mean",
    "less is more",
    "I am going to the shop",
    "Das war viel zu förmlich",
    "🙂🙂🙂",
)


@pytest.mark.parametrize(("text", "intents"), UNDERSTOOD.items())
def test_what_people_write_is_understood(text: str, intents: str) -> None:
    reading = read_free_text(text)
    assert [each.intent for each in reading.interpretations] == intents.split()
    assert 0.5 <= reading.confidence <= 0.8 + 1e-9


@pytest.mark.parametrize("text", UNKNOWN)
def test_what_no_rule_knows_is_unclear_and_moves_nothing(text: str) -> None:
    reading = read_free_text(text)
    (only,) = reading.interpretations
    assert (only.intent, only.trait, only.adjustment, only.value) == (UNCLEAR, None, 0.0, None)
    assert reading.confidence == 0.1


def test_the_specifications_examples_move_their_trait() -> None:
    (formal,) = read_free_text("too formal").interpretations
    assert (formal.trait, formal.adjustment) == ("formality", -0.2)
    (words,) = read_free_text("you used too many big words").interpretations
    assert (words.trait, words.adjustment) == ("vocabulary_complexity", -0.2)
    (rude,) = read_free_text("That was a bit rude").interpretations
    assert (rude.trait, rude.adjustment) == ("warmth", 0.1)


@pytest.mark.parametrize(
    ("text", "adjustment"),
    [
        ("a bit too formal", -0.1),
        ("somewhat too formal", -0.1),
        ("too formal", -0.2),
        ("way too formal", -0.3),
        ("far too formal", -0.3),
    ],
)
def test_strength_sizes_the_adjustment(text: str, adjustment: float) -> None:
    (said,) = read_free_text(text).interpretations
    assert said.adjustment == pytest.approx(adjustment)


def test_what_is_denied_moves_no_trait() -> None:
    for text in ("not too formal", "not rude", "it isn't too long"):
        (said,) = read_free_text(text).interpretations
        assert (said.trait, said.adjustment) == (None, 0.0)
        assert said.value == 0.2


def test_a_complaint_said_twice_counts_once_in_its_strongest_wording() -> None:
    (said,) = read_free_text("a bit too formal. Really, way too formal!").interpretations
    assert said.adjustment == pytest.approx(-0.3)


def test_opposite_complaints_are_believed_half() -> None:
    both = read_free_text("too formal at the start and too casual at the end")
    assert sorted(each.adjustment for each in both.interpretations) == [-0.2, 0.2]
    assert both.confidence == pytest.approx(read_free_text("too formal").confidence / 2)


@given(st.text(max_size=400))
def test_any_text_is_read_within_range(text: str) -> None:
    reading = read_free_text(text)
    assert reading.interpretations
    assert 0.0 <= reading.confidence <= 0.8 + 1e-9
    intents = [each.intent for each in reading.interpretations]
    assert len(intents) == len(set(intents))


_WORDS = sorted(
    {word for words in ENTRIES for word in words} | {"not", "too", "a", "bit", "i", ","}
)


@given(st.lists(st.sampled_from(_WORDS), max_size=25))
def test_any_order_of_known_words_is_read(words: list[str]) -> None:
    for said in read_free_text(" ".join(words)).interpretations:
        assert -1.0 <= said.adjustment <= 1.0
        assert said.value is None or -1.0 <= said.value <= 1.0


def test_the_longest_text_is_read_at_once() -> None:
    for text in ("not too formal and " * 1000, "sounds " * 2800, "a" * 20_000, "'" * 20_000):
        began = time.perf_counter()
        read_free_text(text)
        assert time.perf_counter() - began < 2.0


def test_every_phrase_of_the_lexicon_can_be_met() -> None:
    for words in ENTRIES:
        met = [" ".join(clause.words) for clause in clauses_of(" ".join(words))]
        assert met == [" ".join(words)]


def test_no_phrase_of_the_lexicon_is_listed_twice() -> None:
    listed = [tuple(p.split()) for *_, phrases in _TABLE for p in phrases.split(",")]
    assert sorted(listed) == sorted(ENTRIES)


def test_the_lexicon_names_categories() -> None:
    for entry in ENTRIES.values():
        for name in (entry.category, entry.opposite):
            assert not name or name in CATEGORIES
