"""More wordings of a scenario, by rules: what is meant stays, how it is typed changes."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.sandboxes import TestScenario
from everloop.sandbox.emotions import EMOTIONS, coloured

_PARAPHRASES = (
    (r"\bHow do I\b", ("What's the way to", "Can you tell me how to")),
    (r"\bhow do i\b", ("what's the way to", "can you tell me how to")),
    (r"\bWhat is\b", ("Can you tell me what is", "What's")),
    (r"\bExplain\b", ("Please explain", "Help me understand")),
    (r"\bTell me\b", ("Let me know", "I'd like to hear")),
    (r"\bWrite\b", ("Please write", "Could you write")),
    (r"\bI'm\b", ("I am",)),
    (r"\bcan't\b", ("cannot",)),
    (r"\bdon't\b", ("do not",)),
    (r"\bI want to\b", ("I'd like to",)),
    (r"\breally\b", ("very", "so")),
    (r"\bproblem\b", ("issue",)),
)
_RELAXED = (
    (r"\b[Yy]ou are\b", "ur"),
    (r"\b[Gg]oing to\b", "gonna"),
    (r"\b[Ww]ant to\b", "wanna"),
    (r"\bplease\b", "pls"),
    (r"\b[Dd]o not know\b", "dunno"),
    (r"\b[Hh]ow do I\b", "how do i"),
    (r"\bI'm\b", "im"),
)


def _paraphrase(text: str, rng: random.Random) -> str:
    for pattern, others in _PARAPHRASES:
        text = re.sub(pattern, rng.choice(others), text)
    return text


def _typos(text: str, rng: random.Random) -> str:
    """Two neighbours change places in about every sixth longer word."""
    words = text.split(" ")
    long = [n for n, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    for n in rng.sample(long, min(len(long), max(1, len(long) // 6))):
        at = rng.randrange(1, len(words[n]) - 2)
        word = words[n]
        words[n] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)


def _emotion(text: str, rng: random.Random) -> str:
    return coloured(text, rng.choice(sorted(EMOTIONS)), str(rng.random()))


def _formal(text: str, rng: random.Random) -> str:
    opening = rng.choice(("Good day. ", "Excuse me, please. "))
    return opening + text.replace("can't", "cannot").replace("don't", "do not").replace(
        "I'm", "I am"
    )


def _relaxed(text: str, rng: random.Random) -> str:
    for pattern, other in _RELAXED:
        text = re.sub(pattern, other, text)
    return rng.choice(("hey ", "yo, ", "")) + text[:1].lower() + text[1:].rstrip(".")


KINDS: Mapping[str, Callable[[str, random.Random], str]] = MappingProxyType(
    {
        "paraphrase": _paraphrase,
        "typos": _typos,
        "emotion": _emotion,
        "formal": _formal,
        "relaxed": _relaxed,
    }
)
"""Name of a variation -> the rule."""


def variants_of(
    scenario: TestScenario, seed: int, kinds: Sequence[str] = tuple(KINDS)
) -> tuple[TestScenario, ...]:
    """The scenario once more for each kind that changes it, named ``<id>.<kind>``.

    Args:
        seed: the same scenario, kinds and seed give the same variants.

    Raises:
        ShouldFixArgument: a kind is unknown.
    """
    if unknown := [kind for kind in kinds if kind not in KINDS]:
        raise ShouldFixArgument(
            f"There is no variation {unknown[0]!r}.", f"Variations: {', '.join(KINDS)}."
        )
    found = []
    for kind in kinds:
        rng = random.Random(f"{seed}\0{scenario.id}\0{kind}")
        turns = tuple(
            turn.model_copy(update={"say": KINDS[kind](turn.say, rng)}) for turn in scenario.turns
        )
        if turns != scenario.turns:
            told = {
                "id": f"{scenario.id}.{kind}"[:120],
                "turns": turns,
                "source": f"variant of {scenario.id}",
            }
            found.append(scenario.model_copy(update=told))
    return tuple(found)
