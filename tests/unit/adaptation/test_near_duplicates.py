"""Near-duplicates: by hand, against brute force on planted pairs, and in bounded memory."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from everloop.adaptation import shingle_sketches
from everloop.adaptation.near_duplicates import (
    NearDuplicates,
    bands_for,
    measure_removal,
    without_near_duplicates,
)
from everloop.adaptation.shingle_sketches import SKETCH, shingle_hashes, similarity
from everloop.contracts.errors import ShouldFixArgument


def exact_jaccard(one: str, other: str) -> float:
    """Over sets of 5-character strings, as the definition says it."""

    def shingles(text: str) -> set[str]:
        plain = " ".join(text.lower().split())
        return {plain[at : at + 5] for at in range(max(len(plain) - 4, 1))}

    a, b = shingles(one), shingles(other)
    return len(a & b) / len(a | b)


def sentence(draw: random.Random, words: int) -> str:
    letters = "etaoinshrdlucmfwyp"
    return " ".join(
        "".join(draw.choice(letters) for _ in range(draw.randint(2, 8))) for _ in range(words)
    )


def test_bands_and_rows_fit_the_threshold() -> None:
    # 1 - (1 - .8^4)^32 = 1 - 5e-8; with 8 rows 1 - (1 - .8^8)^16 = .947, too few.
    assert bands_for(0.8) == (32, 4)
    assert bands_for(1.0) == (8, 16)
    # .5^4 = .0625 in 32 bands finds .873, .5^2 in 64 finds all but 1e-8.
    assert bands_for(0.5) == (64, 2)


@pytest.mark.parametrize("jaccard", [0.0, -0.1, 1.01, 0.02])
def test_a_threshold_that_cannot_be_met_is_refused(jaccard: float) -> None:
    with pytest.raises(ShouldFixArgument):
        NearDuplicates(jaccard)


def test_what_differs_in_case_and_white_space_alone_was_seen() -> None:
    known = NearDuplicates(0.8)
    assert not known.seen("I moved to the coast last spring, and the light still surprises me.")
    assert known.seen("i moved to  the coast last spring,\nand the light still surprises me. ")
    assert known.remembered == 1


def test_threshold_by_hand() -> None:
    # 10 letters have 6 shingles; one letter more shares them all and adds one: 6/7 = .857.
    # Another last letter shares 5 of 7: .714.
    assert similarity_of("abcdefghij", "abcdefghijk") == pytest.approx(6 / 7)
    assert similarity_of("abcdefghij", "abcdefghix") == pytest.approx(5 / 7)
    for other, wanted in (("abcdefghijk", True), ("abcdefghix", False)):
        known = NearDuplicates(0.8)
        known.seen("abcdefghij")
        assert known.seen(other) is wanted


def similarity_of(one: str, other: str) -> float:
    a, b = shingle_hashes(one), shingle_hashes(other)
    keep = shingle_sketches.SKETCH
    return similarity(
        (a[:keep] >> 32).astype("uint32"),
        len(a) <= keep,
        (b[:keep] >> 32).astype("uint32"),
        len(b) <= keep,
    )


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=120), st.text(max_size=120))
def test_short_texts_have_their_exact_similarity(one: str, other: str) -> None:
    assert similarity_of(one, other) == pytest.approx(exact_jaccard(one, other))


def test_long_texts_are_estimated_within_four_standard_errors() -> None:
    draw = random.Random(3)
    for _ in range(20):
        words = sentence(draw, 400).split()
        other = [word if draw.random() > 0.05 else sentence(draw, 1) for word in words]
        one, two = " ".join(words), " ".join(other)
        wanted = exact_jaccard(one, two)
        error = (wanted * (1 - wanted) / SKETCH) ** 0.5
        assert abs(similarity_of(one, two) - wanted) < 4 * error


def test_planted_pairs_against_brute_force() -> None:
    draw = random.Random(11)
    texts = [sentence(draw, draw.randint(8, 30)) for _ in range(120)]
    for text in texts[:80]:
        words = text.split()
        for at in draw.sample(range(len(words)), draw.randint(1, max(len(words) // 5, 1))):
            words[at] = sentence(draw, 1)
        texts.append(" ".join(words))
    draw.shuffle(texts)
    wanted = [
        any(exact_jaccard(text, earlier) >= 0.8 for earlier in texts[:at])
        for at, text in enumerate(texts)
    ]
    assert 15 <= sum(wanted) <= 70
    assert list(NearDuplicates(0.8).seen_many(texts)) == wanted


def test_one_by_one_is_as_in_a_batch() -> None:
    draw = random.Random(5)
    texts = [sentence(draw, 6) for _ in range(30)]
    texts += [text + "." for text in texts[:15]]
    single = NearDuplicates(0.8)
    assert [single.seen(text) for text in texts] == list(NearDuplicates(0.8).seen_many(texts))
    assert list(without_near_duplicates(texts, NearDuplicates(0.8))) == texts[:30]


@pytest.mark.parametrize("text", ["", " ", "ok", "😀", "\ud800 broken", "\x00"])
def test_odd_texts_are_texts(text: str) -> None:
    known = NearDuplicates(0.8)
    assert known.seen_many((text, "something else entirely", text)) == (False, False, True)


def test_a_repeat_of_something_near_is_remembered_too() -> None:
    known = NearDuplicates(0.8)
    chain = ["abcdefghij", "abcdefghijk", "abcdefghijkl"]
    # First and last share 6 of 8 shingles: only the middle one makes the last near.
    assert exact_jaccard(chain[0], chain[2]) == pytest.approx(0.75)
    assert known.seen_many(chain) == (False, True, True)


def test_memory_is_bounded_and_the_oldest_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shingle_sketches, "_BLOCK", 64)
    draw = random.Random(7)
    texts = [sentence(draw, 10) for _ in range(400)]
    known = NearDuplicates(0.8, remembered=128)
    assert not any(known.seen_many(texts))
    assert known.remembered <= 128 + 64
    assert known.seen(texts[-1])
    assert not known.seen(texts[0])


def test_buckets_are_found_again_after_the_index_grew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("everloop.adaptation.near_duplicates._FIRST_SLOTS", 16)
    draw = random.Random(9)
    texts = [sentence(draw, 10) for _ in range(300)]
    known = NearDuplicates(0.8)
    assert not any(known.seen_many(texts))
    assert all(known.seen_many([text + "!" for text in texts]))


def test_figures_count_what_came_and_what_went() -> None:
    figures = measure_removal(["a first text of some length", "a second one of another"] * 3)
    assert (figures.documents, figures.duplicates) == (6, 4)
    assert figures.documents_per_second > 0
    assert figures.bytes_per_document > 0
    with pytest.raises(ShouldFixArgument):
        measure_removal([])
