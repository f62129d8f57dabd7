"""Where somebody is, no finer than the city.

Streets, postcodes, coordinates, venues and network addresses are dropped, and so is whatever is not
certain: there is no gazetteer behind this, so a part is kept for where it stands, not for its name.
Objects keep their city, region and country. Text is read from its end: a country, before it the code of
a region, and before those one more part, the city. Where the end is neither country nor region, only the
last part is kept, and text without capital letters is no name.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping

from everloop.contracts.canonical import Json
from everloop.privacy.places import (
    COUNTRIES,
    HOUSE_NUMBER_FIRST,
    NOT_PLACES,
    PARTICLES,
    REGION_CODES,
    STREET_ENDINGS,
)

LONGEST_NAME = 60
"""Characters; no name of a place that people use is longer."""
_LONGEST_TEXT = 400
_FIELDS = (
    ("city", "town", "municipality"),
    ("region", "state", "province"),
    ("country", "country_name", "country_code"),
)
_NAME = re.compile(r"[^\W\d_]+\.?(?:[ '’\-][^\W\d_]+\.?)*|(?:[A-Z]\.){2,}")
_LETTERED_POSTCODE = re.compile(
    r"\b(?:[A-Z]{1,2}\d[A-Z\d]? ?\d[A-Z]{2}|[A-Z]\d[A-Z] ?\d[A-Z]\d)$|^\d{4} ?[A-Z]{2}\b"
)
"""British and Canadian at the end, Dutch in front."""
_LEADING_POSTCODE = re.compile(r"(?:[A-Z]{1,2}-)?(?:\d{4,5}|\d{3} \d{2}) (?=[^\W\d_])")
_REGION = re.compile(r"([A-Z]{2,3})(?: \d{4,5}(?:-\d{4})?)?")
_POSTCODE = re.compile(r"(?:[A-Z]{1,2}-)?\d{3,6}(?:[ \-]\d{2,4})?")


def generalise(location: Json) -> str | None:
    """A location as ``City, Region, Country``, as far as it certainly names them.

    Args:
        location: an object with ``city``, ``region`` and ``country``, or a text whose parts are
            separated by commas, from the finest to the country.

    Returns:
        At most three parts, none with a digit; ``None`` when nothing is certain.
    """
    if isinstance(location, Mapping):
        kept = [_first(location, names) for names in _FIELDS]
        return ", ".join(dict.fromkeys(name for name in kept if name)) or None
    if isinstance(location, str) and len(location) <= _LONGEST_TEXT:
        return ", ".join(dict.fromkeys(_of_text(location))) or None
    return None


def _first(location: Mapping[str, Json], names: tuple[str, ...]) -> str | None:
    given = (location[name] for name in names if isinstance(location.get(name), str))
    return next((_place(value) for value in given), None)


def _of_text(text: str) -> list[str]:
    parts = [" ".join(part.split()) for part in re.split(r"[,;\n]", text)]
    parts = [part for part in parts if part]
    kept: list[str] = []
    country = parts.pop() if parts and parts[-1].casefold() in COUNTRIES else None
    if country is not None:
        kept.insert(0, country)
        while parts and _is_postcode(parts[-1]):
            parts.pop()
    region = _REGION.fullmatch(_LETTERED_POSTCODE.sub("", parts[-1]).strip()) if parts else None
    if region is not None and region[1] in REGION_CODES:
        kept.insert(0, region[1])
        parts.pop()
    if parts:
        city = _place(_without_postcode(parts[-1], country))
        if city is not None and _has_capitals(city):
            kept.insert(0, city)
    return kept


def _is_postcode(part: str) -> bool:
    return bool(_POSTCODE.fullmatch(part)) or not _LETTERED_POSTCODE.sub("", part)


def _without_postcode(part: str, country: str | None) -> str:
    part = _LETTERED_POSTCODE.sub("", part).strip()
    if country is None or country.casefold() in HOUSE_NUMBER_FIRST:
        return part
    return _LEADING_POSTCODE.sub("", part, count=1)


def _place(text: str) -> str | None:
    """The name of a city, region or country; ``None`` when it may be something else."""
    name = " ".join(unicodedata.normalize("NFC", text).split())
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        return None
    words = [word.strip(".").casefold() for word in re.split(r"[ \-]", name)]
    if words[0] == "st" and len(words) > 1:  # a saint's: St. Louis
        words = words[1:]
    street = NOT_PLACES & set(words) or any(word.endswith(STREET_ENDINGS) for word in words)
    return None if street else name


def _has_capitals(name: str) -> bool:
    words = re.split(r"[ '’\-]", name)
    return words[0][:1].isupper() and all(word[:1].isupper() or word in PARTICLES for word in words)
