"""Personal data that has a form: e-mail, phone, card, IBAN, address, official numbers, birth dates.

Numbers with a check digit are verified (Luhn, ISO 7064 mod 97-10), so that quantities pass. What means
something only beside a word for it (a bare number, a handle, a passport) is taken only beside that word.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from everloop.contracts.screens import PersonalData

_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_STREETS = (
    "street|st|avenue|ave|road|rd|lane|ln|drive|dr|boulevard|blvd|court|ct|way|place|pl|square|sq"
    "|terrace|crescent|close|highway|hwy"
)
_NO_STREET = (
    r"(?!\b(?:am|pm|minutes?|mins?|hours?|miles?|blocks?|feet|km|meters?|metres?|the|of|on|to|in|at"
    r"|and|or|a|an|my|your|this|that|it|is|by|down|up|across|from|all|more|years?|days?|way)\b)"
)


def _always(_: str) -> bool:
    return True


def luhn(text: str) -> bool:
    """Whether the digits of a text satisfy the Luhn check and are 13 to 19."""
    digits = [int(each) for each in text if each.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) == 1:
        return False
    doubled = [
        digit if at % 2 == 0 else sum(divmod(digit * 2, 10))
        for at, digit in enumerate(reversed(digits))
    ]
    return sum(doubled) % 10 == 0


def is_iban(text: str) -> bool:
    """Whether a text is an IBAN by its length and check digits."""
    plain = text.replace(" ", "").upper()
    if not 15 <= len(plain) <= 34:
        return False
    turned = plain[4:] + plain[:4]
    return int("".join(str(int(each, 36)) for each in turned)) % 97 == 1


def _is_phone(text: str) -> bool:
    return 8 <= sum(each.isdigit() for each in text) <= 15


def _is_public_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).is_global
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class _Rule:
    kind: str
    form: re.Pattern[str]
    holds: Callable[[str], bool] = _always
    """Of what the form matched: its group ``it``, or all of it."""


_RULES = (
    _Rule("email", re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")),
    _Rule("card", re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.]?\d)"), luhn),
    _Rule(
        "iban",
        re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b", re.IGNORECASE),
        is_iban,
    ),
    _Rule("phone", re.compile(r"(?<![\w+])\+\d[\d ().-]{6,18}\d(?!\w)"), _is_phone),
    _Rule(
        "phone",
        re.compile(
            r"(?<![\w.-])(?:1[ .-])?(?:\([2-9]\d\d\) ?|[2-9]\d\d[ .-])[2-9]\d\d[ .-]\d{4}(?![\w-])"
        ),
    ),
    _Rule(
        "phone",
        re.compile(r"(?<![\w.-])(?<!\d )0\d{2,4}[ /-]{1,2}\d{3,4}[ -]?\d{3,4}(?![\w.])"),
        _is_phone,
    ),
    _Rule(
        "phone",
        re.compile(
            r"\b(?:call|phone|text|cell|mobile|whatsapp|number|reach)\b[^\d\n]{0,25}(?P<it>\d{7,13})\b",
            re.IGNORECASE,
        ),
    ),
    _Rule("social_security", re.compile(r"(?<![\d-])(?!000|666|9)\d{3}-\d{2}-\d{4}(?![\d-])")),
    _Rule(
        "ip_address",
        re.compile(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.]?\d)"),
        _is_public_address,
    ),
    _Rule(
        "address",
        re.compile(
            rf"\b\d{{1,5}}[a-z]?,? (?:{_NO_STREET}[a-z][\w'.]* ){{1,3}}(?:{_STREETS})\b",
            re.IGNORECASE,
        ),
    ),
    _Rule(
        "address", re.compile(r"\b[A-ZÄÖÜ]\w+(?:straße|strasse|str\.|weg|platz|gasse) ?\d+\w?\b")
    ),
    _Rule("address", re.compile(r"\bP\.? ?O\.? Box \d+", re.IGNORECASE)),
    _Rule("address", re.compile(r"\b[A-Z]{1,2}\d[A-Z\d]? \d[A-Z]{2}\b")),
    _Rule(
        "birth_date",
        re.compile(
            r"\b(?:born|birthday|birth|dob)\b[^\d\n]{0,20}(?P<it>"
            r"\d{1,4}[./-]\d{1,2}[./-]\d{2,4}"
            rf"|\d{{1,2}}(?:st|nd|rd|th)? (?:of )?(?:{_MONTHS})\w*,? \d{{4}}"
            rf"|(?:{_MONTHS})\w* \d{{1,2}}(?:st|nd|rd|th)?,? \d{{4}})",
            re.IGNORECASE,
        ),
    ),
    _Rule(
        "official_number",
        re.compile(
            r"\b(?:passport|licen[cs]e|social security|ssn|national insurance|tax id|account|id card)\b"
            r"(?: (?:number|no\.?|nr\.?))?(?: is)?[ :#]{1,3}(?P<it>(?=[\w-]*\d)[A-Z0-9][A-Z0-9-]{5,17})\b",
            re.IGNORECASE,
        ),
    ),
    _Rule(
        "handle",
        re.compile(
            r"\b(?:insta(?:gram)?|twitter|snap(?:chat)?|telegram|tiktok|discord|skype|kik|follow me|dm me)"
            r"\b[^\n@]{0,30}(?P<it>@\w{3,30})",
            re.IGNORECASE,
        ),
    ),
    _Rule(
        "person",
        re.compile(
            r"\bmy (?:full )?name(?:'s| is) (?P<it>[a-z]{2,20}[ ](?!(?:and|but|so|i|i'm|im|what|whats|from|"
            r"btw|by|too|also|here|nice|how|hows|the|is|as|in|or|because|though|lol|haha|by|not|with|you|"
            r"your|yours|my|it|its|to|for|that|this|are|who|what's|a|an|of|on|if|do)\b)[a-z]{2,20})"
            r"(?=\s*(?:$|[.,!?;\n]|and\b|but\b|i\b))",
            re.IGNORECASE,
        ),
    ),
)


def identifiers(text: str) -> Iterator[PersonalData]:
    """Every place that one of the forms matches, rule by rule; places may overlap."""
    for rule in _RULES:
        group = "it" if "it" in rule.form.groupindex else 0
        for match in rule.form.finditer(text):
            if rule.holds(match[group]):
                yield PersonalData(rule.kind, match.start(group), match.end(group))
