"""Whether a person's next message is glad of the answer before it.

English words and phrases with denial and strength. Sarcasm is not detected, and a message may speak of
something else than the answer: no reading is believed by more than ``MOST_CONFIDENT``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from everloop.feedback.clauses import clauses_of

MOST_CONFIDENT = 0.6
NOTHING_SEEN = 0.1
"""Confidence when no word tells."""

_LONG_REPLY = 15  # words; a longer one is more often about its own matter
_WINDOW = 3
_TURNED_GOOD, _TURNED_BAD = -0.4, -0.7
_NEGATORS = frozenset({"not", "never", "hardly", "barely", "without", "nothing"})
_STRONG = frozenset({"very", "really", "so", "extremely", "totally", "absolutely", "completely"})
_SLIGHT = frozenset({"slightly", "somewhat", "bit", "little"})

_LISTED: Mapping[float, str] = MappingProxyType(
    {
        1.0: "perfect, excellent, amazing, awesome, brilliant, fantastic, wonderful, nailed it, "
        "love it, loved it, exactly right, well done, love this, love that",
        0.8: "great, spot on, exactly, that helped, very helpful, helpful, that works, that worked, "
        "it worked, it works, useful, impressive, lovely, beautiful, makes sense, just what i needed, "
        "what i needed, correct, love, you are right, that is right, that is it",
        0.6: "thanks, thank you, thx, ty, good, nice, glad, happy, enjoyed, cheers, appreciate, "
        "appreciated, i agree, good idea, good point, true, sounds good",
        0.4: "yes, yep, yeah, cool, sure, right, haha, lol, wow, not bad, okay great, got it",
        0.0: "no problem, no worries, why not, no idea, no doubt, right now, right away, all right, "
        "alright, good morning, good evening, good night, good luck, not sure, no thanks, i would love, "
        "would love to, yes or no, no rush, true or false",
        -0.4: "no, nope, nah, hmm, never mind, nevermind, whatever, again, i meant, i mean, huh",
        -0.6: "actually, that is not it, that is not what, try again, weird, confusing, confused, "
        "stop, boring, strange, sorry but, not what i meant, error, mistake, too bad, unclear",
        -0.8: "wrong, incorrect, inaccurate, bad, annoying, frustrating, disappointed, disappointing, "
        "misunderstood, you do not understand, you did not understand, not what i asked, "
        "did not ask for, you are not listening, did not help, does not help, not helpful, unhelpful, "
        "does not work, did not work, not working, nonsense, rubbish, creepy, rude, untrue, made up, "
        "makes no sense, does not make sense, did not answer, ridiculous, not right, not true",
        -1.0: "terrible, awful, horrible, useless, hate, hate it, hate this, worst, garbage, shut up, "
        "stupid, idiot, dumb, wtf, disgusting, fuck off, waste of time",
    }
)
_WORTH: Mapping[tuple[str, ...], float] = MappingProxyType(
    {
        tuple(phrase.split()): worth
        for worth, listed in _LISTED.items()
        for phrase in listed.split(",")
    }
)
_LONGEST = max(map(len, _WORTH))


@dataclass(frozen=True, slots=True)
class Sentiment:
    """How a message sounds.

    Attributes:
        value: from -1 (displeased) to 1 (pleased); ``None`` when no word tells.
        confidence: how far that is to be believed, in [0, ``MOST_CONFIDENT``].
        hits: how many words or phrases told.
    """

    value: float | None
    confidence: float
    hits: int


def sentiment_of(text: str) -> Sentiment:
    """Read the sentiment of a reply; linear in its length.

    Each word or phrase is worth -1 to 1, denial turns it and strength moves it; the value is
    tanh(sum). Praise and blame in one message, and a long message, are believed less.
    """
    clauses = clauses_of(text)
    told = [worth for clause in clauses for worth in _worths(clause.words) if worth]
    if not told:
        return Sentiment(None, NOTHING_SEEN, 0)
    confidence = min(MOST_CONFIDENT, 0.45 + 0.05 * len(told))
    if min(told) < 0 < max(told):
        confidence /= 2
    if sum(len(clause.words) for clause in clauses) > _LONG_REPLY:
        confidence /= 2
    return Sentiment(math.tanh(sum(told)), confidence, len(told))


def _worths(words: tuple[str, ...]) -> Iterator[float]:
    start = 0
    while start < len(words):
        for length in range(min(_LONGEST, len(words) - start), 0, -1):
            worth = _WORTH.get(words[start : start + length])
            if worth is not None:
                yield _turned(worth, words[max(0, start - _WINDOW) : start])
                start += length - 1
                break
        start += 1


def _turned(worth: float, before: tuple[str, ...]) -> float:
    if _NEGATORS & set(before) or before[-1:] == ("no",):
        return worth * (_TURNED_GOOD if worth < 0 else _TURNED_BAD)
    if _STRONG & set(before):
        return max(-1.0, min(1.0, 1.3 * worth))
    return 0.5 * worth if _SLIGHT & set(before) else worth
