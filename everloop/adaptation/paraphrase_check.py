"""Whether one text may stand for another: the same numbers, names and denials, alike but no copy."""

from __future__ import annotations

import re
from collections import Counter

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_DIGITS = re.compile(r"\d+(?:[.,:/]\d+)*")
_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
    "sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred "
    "thousand million billion first second third half quarter once twice dozen"
)
_NUMBER_WORDS = frozenset(_NUMBERS.split())
_DENYING = "not no never none nobody nothing nowhere neither nor without cannot hardly barely"
_DENIALS = frozenset(_DENYING.split())
_BEFORE_WORDS = " \t\"'“‘("
_SENTENCE_ENDS = ".!?…:\n"
ALIKE = (0.35, 0.85)
"""Similarity within which a model's paraphrase may lie: below it says something else, above it copies."""
LENGTHS = (0.5, 2.0)
"""Words of a paraphrase over those of its original."""


def numbers_in(text: str) -> Counter[str]:
    """Numbers, in digits and in words."""
    words = (word for word in _words(text) if word in _NUMBER_WORDS)
    return Counter([*_DIGITS.findall(text), *words])


def denials_in(text: str) -> int:
    """How often something is denied."""
    return sum(word in _DENIALS or word.endswith("n't") for word in _words(text))


def names_in(text: str) -> frozenset[str]:
    """Words in capitals that no sentence begins with, in lower case; "I" is none."""
    found = set()
    for match in _WORD.finditer(text):
        word = match.group().replace("’", "'")
        is_own = word == "I" or word.startswith("I'")
        before = text[: match.start()].rstrip(_BEFORE_WORDS)[-1:]
        if word[0].isupper() and not is_own and before and before not in _SENTENCE_ENDS:
            found.add(word.removesuffix("'s").casefold())
    return frozenset(found)


def keeps_meaning(original: str, other: str) -> bool:
    """Whether numbers and denials are as many, every name of one is in the other, and a question stays
    one."""
    spoken = [{word.removesuffix("'s") for word in _words(text)} for text in (original, other)]
    return (
        numbers_in(original) == numbers_in(other)
        and denials_in(original) == denials_in(other)
        and names_in(original) <= spoken[1]
        and names_in(other) <= spoken[0]
        and ("?" in original) == ("?" in other)
    )


def similarity(one: str, other: str) -> float:
    """Dice's coefficient of the texts' character trigrams, 2 |A and B| / (|A| + |B|) with multiplicity, in
    [0, 1]; case, punctuation and white space aside."""
    a, b = _trigrams(one), _trigrams(other)
    return 2.0 * (a & b).total() / (a.total() + b.total())


def is_paraphrase(original: str, other: str) -> bool:
    """Whether a model's text may stand for the original: it keeps the meaning as far as that is told
    above, its length and similarity lie within bounds, and it is one line."""
    lengths = len(_words(other)) / max(1, len(_words(original)))
    return (
        bool(other.strip())
        and "\n" not in other.strip()
        and LENGTHS[0] <= lengths <= LENGTHS[1]
        and ALIKE[0] <= similarity(original, other) <= ALIKE[1]
        and keeps_meaning(original, other)
    )


def _words(text: str) -> list[str]:
    return [word.replace("’", "'").casefold() for word in _WORD.findall(text)]


def _trigrams(text: str) -> Counter[str]:
    plain = f" {' '.join(_words(text))} "
    return Counter(plain[n : n + 3] for n in range(max(1, len(plain) - 2)))
