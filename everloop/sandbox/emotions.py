"""How a text looks when somebody types it in a mood: the simulated emotional state of a scenario."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

_SHORT = {
    "you": "u",
    "are": "r",
    "please": "pls",
    "because": "bc",
    "about": "abt",
    "with": "w/",
    "tomorrow": "tmrw",
    "thanks": "thx",
}
_WORD = re.compile(r"[A-Za-z']+")


def _angry(text: str, rng: random.Random) -> str:
    words = text.rstrip(".?! ").split(" ")
    long = [n for n, word in enumerate(words) if len(word) > 3] or [0]
    for n in rng.sample(long, max(1, len(long) // 3)):
        words[n] = words[n].upper()
    return " ".join(words) + rng.choice(("!!", "!!!", "?!"))


def _sad(text: str, rng: random.Random) -> str:
    return rng.choice(("", "i don't know... ")) + text.lower().rstrip(".?! ") + "..."


def _anxious(text: str, rng: random.Random) -> str:
    opening = rng.choice(("Sorry to bother you, but ", "I can't stop thinking about this. "))
    return opening + text.rstrip(".?! ") + rng.choice(("??", "? Please?"))


def _happy(text: str, rng: random.Random) -> str:
    return text.rstrip(". ") + rng.choice((" :)", " 😊", "!"))


def _tired(text: str, rng: random.Random) -> str:
    return re.sub(r"[,.!?;]", "", text.lower()) + rng.choice(("", " sorry long day"))


def _hurried(text: str, rng: random.Random) -> str:
    shorter = _WORD.sub(lambda m: _SHORT.get(m.group().lower(), m.group()), text)
    return shorter.rstrip(".?! ") + rng.choice((" - quick!", " asap"))


def _confused(text: str, rng: random.Random) -> str:
    return rng.choice(("Wait, ", "Hmm, I'm lost. ")) + text.rstrip(".?! ") + "???"


EMOTIONS: dict[str, Callable[[str, random.Random], str]] = {
    "angry": _angry,
    "anxious": _anxious,
    "confused": _confused,
    "happy": _happy,
    "hurried": _hurried,
    "sad": _sad,
    "tired": _tired,
}
"""Emotion of a turn -> how it colours the text."""


def coloured(text: str, emotion: str, seed: str) -> str:
    """The text as somebody in that mood types it; unchanged for ``""``.

    Args:
        emotion: a key of ``EMOTIONS``.
        seed: the same text, emotion and seed give the same result.
    """
    if not emotion:
        return text
    return EMOTIONS[emotion](text, random.Random(f"{seed}\0{emotion}\0{text}"))
