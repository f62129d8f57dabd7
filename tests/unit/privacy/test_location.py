"""Nothing finer than a city comes out, whatever goes in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from everloop.privacy.location import LONGEST_NAME, generalise

TEXTS = [
    ("12 Main St, New York, NY 10001, USA", "New York, NY, USA"),
    ("350 5th Ave, New York, NY 10118", "New York, NY"),
    ("350 5th Ave, New York, NY, 10118-0110, United States", "New York, NY, United States"),
    ("1 Market Plaza Suite 200, San Francisco, CA 94105, US", "San Francisco, CA, US"),
    ("Hauptstraße 5, 10115 Berlin, Germany", "Berlin, Germany"),
    ("Hauptstraße 5, D-10115 Berlin, Deutschland", "Berlin, Deutschland"),
    ("12 rue de la Paix, 75002 Paris, France", "Paris, France"),
    ("Prinsengracht 263, 1016 GV Amsterdam, Netherlands", "Amsterdam, Netherlands"),
    ("Storgatan 1, 111 23 Stockholm, Sverige", "Stockholm, Sverige"),
    ("10 Downing Street, London SW1A 2AA, UK", "London, UK"),
    ("10 Downing Street, London, SW1A 2AA, United Kingdom", "London, United Kingdom"),
    ("24 Sussex Drive, Ottawa, ON K1M 1M4, Canada", "Ottawa, ON, Canada"),
    ("24 Sussex Drive, Ottawa, ON, K1M 1M4, Canada", "Ottawa, ON, Canada"),
    ("1 George St, Sydney, NSW 2000, Australia", "Sydney, NSW, Australia"),
    ("Berlin, Germany", "Berlin, Germany"),
    ("Munich, Bavaria, Germany", "Bavaria, Germany"),
    ("St. Louis, MO, USA", "St. Louis, MO, USA"),
    ("Frankfurt am Main, Germany", "Frankfurt am Main, Germany"),
    ("Rio de Janeiro, Brazil", "Rio de Janeiro, Brazil"),
    ("Stratford-upon-Avon, England", "Stratford-upon-Avon, England"),
    ("N'Djamena, Chad", "N'Djamena, Chad"),
    ("Θεσσαλονίκη, Ελλάδα", "Θεσσαλονίκη, Ελλάδα"),
    ("Berlin", "Berlin"),
    ("Germany", "Germany"),
    ("Singapore, Singapore", "Singapore"),
    ("  Lima ,  Peru ", "Lima, Peru"),
    # Not certain: the coarser part alone, or nothing.
    ("Kreuzberg, Berlin", "Berlin"),
    ("Broadway, New York", "New York"),
    ("Broadway, NY, USA", "NY, USA"),
    ("10250 Main, USA", "USA"),
    ("Broadway 1200, UK", "UK"),
    ("Baker Street, UK", "UK"),
    ("New York, 5th Avenue", None),
    ("Berlin, Hauptstraße", None),
    ("St James Hospital, UK", "UK"),
    ("at the office", None),
    ("my house", None),
    ("Room 12", None),
    ("52.5200, 13.4050", None),
    ("52.52 N, 13.405 E", None),
    ("geo:52.52,13.405", None),
    ("192.168.0.1", None),
    ("2001:db8::1", None),
    ("10115", None),
    ("u33dc0", None),
    ("9C3W9QCJ+2V", None),
    ("https://maps.example/place/Berlin", None),
    ("Berlin <script>", None),
    ("北京市海淀区中关村大街", None),
    ("", None),
    (",,,", None),
    ("B" * (LONGEST_NAME + 1), None),
    ("Berlin, " * 100, None),
]

VALUES: list[tuple[Any, str | None]] = [
    ({"city": "Berlin", "country": "Germany"}, "Berlin, Germany"),
    ({"city": "berlin", "region": "BE", "country": "DE"}, "berlin, BE, DE"),
    ({"town": "Zürich", "country_code": "CH"}, "Zürich, CH"),
    ({"city": "東京", "country": "日本"}, "東京, 日本"),
    ({"country": "Peru"}, "Peru"),
    (
        {
            "street": "12 Main St",
            "house_number": 12,
            "postcode": "10001",
            "city": "New York",
            "state": "New York",
            "lat": 40.7,
            "lon": -74.0,
            "ip": "203.0.113.7",
        },
        "New York",
    ),
    ({"city": "12 Main St", "country": "US"}, "US"),
    ({"city": "Main Street", "country": "US"}, "US"),
    ({"city": "10115 Berlin", "country": "DE"}, "DE"),
    ({"city": {"name": "Berlin"}, "country": ["DE"]}, None),
    ({"address": {"city": "Berlin"}}, None),
    ({"type": "Point", "coordinates": [13.4, 52.5]}, None),
    ({"city": None, "lat": 1.0}, None),
    ({"city": ""}, None),
    ({}, None),
    ([52.5, 13.4], None),
    (["Berlin", "Germany"], None),
    (52.5, None),
    (None, None),
    (True, None),
]


@pytest.mark.parametrize(("given_", "kept"), [*TEXTS, *VALUES])
def test_what_is_kept(given_: Any, kept: str | None) -> None:
    assert generalise(given_) == kept


WORDS = st.text(st.characters(categories=["L"]), min_size=1, max_size=9)
NUMBERS = st.integers(1, 99999).map(str)
SECRETS = st.one_of(
    st.builds("{} {} Street".format, NUMBERS, WORDS),
    st.builds("{} {}".format, NUMBERS, WORDS),
    st.builds("{}straße {}".format, WORDS, NUMBERS),
    st.builds("{:.4f} {:.4f}".format, st.floats(-90, 90), st.floats(-180, 180)),
    st.builds("{}.{}.{}.{}".format, *[st.integers(0, 255)] * 4),
)
CITIES = st.sampled_from(["Berlin", "New York", "Lima", "St. Louis", "Nowhere"])
COUNTRIES = st.sampled_from(["Germany", "USA", "UK", "Peru", "Atlantis"])


@given(SECRETS, CITIES, COUNTRIES)
def test_no_street_before_a_city_survives(secret: str, city: str, country: str) -> None:
    kept = generalise(f"{secret}, {city}, {country}")
    assert kept in {f"{city}, {country}", country}


@given(st.text(max_size=80) | st.lists(SECRETS | CITIES | COUNTRIES, max_size=5).map(", ".join))
def test_no_digit_survives_in_text(text: str) -> None:
    kept = generalise(text)
    assert kept is None or not any(character.isnumeric() for character in kept)
    assert kept is None or len(kept.split(", ")) <= 3
    assert kept is None or generalise(kept) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text() | SECRETS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.dictionaries(
        st.sampled_from(["city", "town", "region", "state", "country", "street", "lat", "ip"]), JSON
    )
)
def test_objects_lose_everything_else(location: dict[str, Any]) -> None:
    kept = generalise(location)
    if kept is not None:
        assert not any(character.isnumeric() for character in kept)
        told = {" ".join(v.split()) for v in location.values() if isinstance(v, str)}
        assert all(any(part in value for value in told) for part in kept.split(", "))
