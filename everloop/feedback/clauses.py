"""English text as clauses of plain words, ready for rules."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

_QUOTES = str.maketrans({"’": "'", "‘": "'", "`": "'", "“": '"', "”": '"', "–": ",", "—": ","})

_BARE_CONTRACTIONS: Mapping[str, str] = MappingProxyType(
    {
        "dont": "do not",
        "doesnt": "does not",
        "didnt": "did not",
        "isnt": "is not",
        "wasnt": "was not",
        "arent": "are not",
        "wont": "will not",
        "wouldnt": "would not",
        "couldnt": "could not",
        "shouldnt": "should not",
        "cant": "can not",
        "cannot": "can not",
        "havent": "have not",
        "hasnt": "has not",
        "thats": "that is",
        "im": "i am",
        "ive": "i have",
        "kinda": "slightly",
        "sorta": "slightly",
        "waaay": "way",
        "waay": "way",
        "wayy": "way",
        "tooo": "too",
        "soo": "so",
        "sooo": "so",
        "toooo": "too",
        "ur": "your",
        "u": "you",
    }
)

_REWRITES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern), replacement)
    for pattern, replacement in (
        (r"\bcan't\b", "can not"),
        (r"\bwon't\b", "will not"),
        (r"n't\b", " not"),
        (r"\b(it|that|this|he|she|what|there|here|where|who)'s\b", r"\1 is"),
        (r"'d\b", " would"),
        (r"'re\b", " are"),
        (r"'m\b", " am"),
        (r"'ve\b", " have"),
        (r"'ll\b", " will"),
        (r"\bi?d say\b", "i would say"),
        (r"\b(a|an) (little )?(bit|tad|touch|little)( of)?( an?)?\b", "slightly"),
        (r"\b(kind|sort) of\b", "slightly"),
        (r"\b(far from|anything but|less than|nowhere near)\b", "not"),
        (r"\bno more\b", "stop"),
        (r"\b(no|any) longer\b", "not"),
        (r"\bas long as\b", "if"),
        (r"\bto be honest\b", ""),
    )
)

_EMOJI: Mapping[str, str] = MappingProxyType(
    {
        "\N{THUMBS UP SIGN}": "great",
        "\N{THUMBS DOWN SIGN}": "bad",
        "\N{HEAVY BLACK HEART}": "love it",
        "\N{PERSON WITH FOLDED HANDS}": "thanks",
        "\N{POUTING FACE}": "terrible",
        "\N{ANGRY FACE}": "terrible",
    }
)
_SHADE = r"[\s\ufe0f\U0001f3fb-\U0001f3ff]*"
_AN_EMOJI = re.compile(rf"([{''.join(_EMOJI)}]){_SHADE}(?:\1{_SHADE})*")
"""One of them with its skin tone; the same one several times says no more than once."""

_IDIOM = re.compile(r"\b(?:on and on|over and over|short and sweet|again and again)\b")
"""Phrases whose "and" joins nothing."""

_TOKEN = re.compile(r"[^\W_]+(?:['_-][^\W_]+)*|[.!?;:,()\n\"/&]")
_ENDS = frozenset('.!?;:()\n"')
_CONTRASTS = frozenset(
    {"but", "however", "though", "although", "yet", "otherwise", "except", "because", "since"}
)
_JOINERS = frozenset({",", "and", "or", "nor", "plus", "/", "&", "also"})


@dataclass(frozen=True, slots=True)
class Clause:
    """Words between two boundaries.

    Attributes:
        words: lower-case, contractions spelled out.
        joiner: what ties it to the clause before: a comma, and, or, nor, plus, also; "" when nothing
            does (a new sentence, or a contrast).
    """

    words: tuple[str, ...]
    joiner: str = ""


def plain(text: str) -> str:
    """Lower case, compatibility forms folded, contractions and emoji spelled out. Linear in the text."""
    spelled = _AN_EMOJI.sub(lambda found: f"\n{_EMOJI[found[1]]}\n", text)
    folded = unicodedata.normalize("NFKC", spelled).translate(_QUOTES).casefold()
    for pattern, replacement in _REWRITES:
        folded = pattern.sub(replacement, folded)
    return _IDIOM.sub(lambda found: found[0].replace(" ", "_"), folded)


def words_of(text: str) -> tuple[str, ...]:
    """The words of a text, as clauses have them, without punctuation."""
    return tuple(word for clause in clauses_of(text) for word in clause.words)


def clauses_of(text: str) -> tuple[Clause, ...]:
    """The clauses of a text in their order, none of them empty."""
    return tuple(_split(plain(text)))


def _split(text: str) -> Iterator[Clause]:
    words: list[str] = []
    joiner = ""
    for token in _TOKEN.findall(text):
        if token in _ENDS or token in _CONTRASTS or token in _JOINERS:
            if words:
                yield Clause(tuple(words), joiner)
                words, joiner = [], ""
            if token not in _JOINERS:
                joiner = ""
            elif joiner in {"", ","}:
                joiner = token
            continue
        words.extend(_BARE_CONTRACTIONS.get(token, token).split())
    if words:
        yield Clause(tuple(words), joiner)
