"""Personal data that has a form, by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.adaptation.screens.identifiers import identifiers, is_iban, luhn


@pytest.mark.parametrize(
    ("text", "kind", "found"),
    [
        ("write to jo.smith+x@mail.example.org!", "email", "jo.smith+x@mail.example.org"),
        ("my card is 4111 1111 1111 1111", "card", "4111 1111 1111 1111"),
        ("pay to DE89 3704 0044 0532 0130 00", "iban", "DE89 3704 0044 0532 0130 00"),
        ("ring +44 20 7946 0958 please", "phone", "+44 20 7946 0958"),
        ("(415) 555-0132 is mine", "phone", "(415) 555-0132"),
        ("my number is 4155550132", "phone", "4155550132"),
        ("it's 078-05-1120", "social_security", "078-05-1120"),
        ("from 81.2.69.160 last night", "ip_address", "81.2.69.160"),
        ("I live at 12 Baker Street", "address", "12 Baker Street"),
        ("we're at 221b old mill lane now", "address", "221b old mill lane"),
        ("Er wohnt in der Hauptstraße 5.", "address", "Hauptstraße 5"),
        ("I was born on 12 March 1985", "birth_date", "12 March 1985"),
        ("dob: 1985-03-12", "birth_date", "1985-03-12"),
        ("passport number: A1234567", "official_number", "A1234567"),
        ("follow me on instagram, I'm @sunny_days", "handle", "@sunny_days"),
        ("hi, my name is anna kowalski", "person", "anna kowalski"),
    ],
)
def test_found(text: str, kind: str, found: str) -> None:
    assert (kind, found) in [(it.kind, text[it.start : it.end]) for it in identifiers(text)]


@pytest.mark.parametrize(
    "text",
    [
        "my name is anna and I like cats",
        "Call Anna tomorrow at 7.",
        "what is 2+2? It's 4, and 100 200 3000 is no phone.",
        "4111 1111 1111 1112 fails the check of cards",
        "DE88 3704 0044 0532 0130 00 fails that of accounts",
        "ping 192.168.1.1 or 127.0.0.1, then version 1.2.3.4567",
        "It's 5 minutes down the road, 3 miles. Way too far!",
        "I walked 2 blocks down the street in 2019",
        "@dataclass and @property are decorators",
        "Pi is 3.14159265358979323846 and 2^53 is 9007199254740993.",
        "I was born in spring; the war ended in 1945.",
        "Mozart wrote 41 symphonies, 27 piano concertos.",
    ],
)
def test_not_taken_for_it(text: str) -> None:
    assert list(identifiers(text)) == []


def test_check_digits_by_hand() -> None:
    # 79927398713: 7+9+9+2+7+3+9+8+7+1+3 with every second doubled gives 70; here as 13 digits: 0-padded.
    assert luhn("0079927398713")
    assert not luhn("0079927398710")
    assert not luhn("0000000000000")
    assert not luhn("79927398713")
    assert is_iban("GB82 WEST 1234 5698 7654 32")
    assert not is_iban("GB82 WEST 1234 5698 7654 33")


@given(st.text())
def test_any_text_gives_places_inside_it(text: str) -> None:
    for place in identifiers(text):
        assert 0 <= place.start < place.end <= len(text)


@pytest.mark.parametrize("piece", ["1 ", "a@", "12 a ", "1-", "my name is ", "call ", "AB12 "])
def test_long_monotonous_texts_end(piece: str) -> None:
    # A form whose matching grows with the square of the length would take minutes here.
    for place in identifiers(piece * (20_000 // len(piece))):
        assert place.end <= 20_000
