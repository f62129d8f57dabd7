"""The words around a mention that turn it: degree, denial, wish."""

from __future__ import annotations

from dataclasses import dataclass, replace

_WINDOW = 5
"""How many words before a mention can speak of it."""

_NEGATORS = frozenset({"not", "never", "nothing", "nobody", "none", "hardly", "barely", "without"})
_NOT_ONLY = frozenset({"only", "just", "merely", "simply", "sure"})
_TOO = frozenset({"too", "overly", "excessively", "unnecessarily", "needlessly"})
_VERY = frozenset(
    {"so", "very", "really", "quite", "pretty", "rather", "fairly", "such", "lots", "all"}
)
_STRONG = frozenset(
    {
        "way",
        "far",
        "much",
        "extremely",
        "incredibly",
        "insanely",
        "ridiculously",
        "super",
        "totally",
        "absolutely",
        "horribly",
        "painfully",
        "hugely",
        "completely",
        "terribly",
        "awfully",
    }
)
_SLIGHT = frozenset({"slightly", "little", "bit", "somewhat", "mildly", "tad", "touch"})
_LESS = frozenset(
    {"less", "fewer", "stop", "avoid", "quit", "cut", "drop", "reduce", "skip", "lose"}
)
_MORE = frozenset({"more"})
_WISH = frozenset(
    {"should", "could", "must", "needs", "need", "make", "keep", "be", "want", "wish"}
)
_COMPARED_WITH = frozenset({"i", "me", "my", "needed", "necessary", "usual", "expected", "it"})

_FILLERS = frozenset({"please", "just", "maybe", "so", "next", "time", "and", "you", "again"})
_DISLIKE = frozenset({"like", "want", "need", "enjoy", "appreciate", "love"})
_BELIEF = frozenset(
    {
        *("think", "find", "feel", "believe", "mind", "say", "see", "consider", "call", "get"),
        *("thought", "found", "felt", "got", "was", "am", "been", "bored", "offended"),
    }
)
_OUGHT = frozenset({"should", "must", "need", "needs"})


@dataclass(frozen=True, slots=True)
class Markers:
    """What the words around a mention say of it.

    Attributes:
        denied: "it is not formal".
        unwanted: "do not be formal", "I don't like the formality": the denial is of wanting it.
        too, very, strong, slight: "too", "very", "way", "a bit".
        less, more: "less formal", "more formal".
        enough: "formal enough".
        wish: "it should be formal".
        compared: "shorter than I would have liked".
    """

    denied: bool = False
    unwanted: bool = False
    too: bool = False
    very: bool = False
    strong: bool = False
    slight: bool = False
    less: bool = False
    more: bool = False
    enough: bool = False
    wish: bool = False
    compared: bool = False

    @property
    def factor(self) -> float:
        """How strong the wording is: 0.5 a bit, 1 plain, 1.5 way too."""
        if self.slight:
            return 0.5
        return 1.5 if self.strong else 1.0

    @property
    def silent(self) -> bool:
        """Nothing around the mention says anything of it."""
        return self == Markers()

    def carried(self, joiner: str) -> Markers:
        """What of these holds for a bare word tied to the mention by ``joiner``: "too long and dry"."""
        denied = self.denied and (joiner in {"or", "nor"} or (joiner == "and" and self.too))
        if self.denied and not denied:
            return Markers()
        return replace(self, denied=denied, compared=False, enough=False)


def markers_of(words: tuple[str, ...], start: int, end: int) -> Markers:
    """The markers of the mention ``words[start:end]`` within its clause."""
    first = max(0, start - _WINDOW)
    before = words[first:start]
    near = frozenset(before)
    nearest = frozenset(before[-3:])
    after = words[end : end + 3]
    denial = _denial(words, first, start)
    return Markers(
        denied=denial is not None,
        unwanted=denial is not None and _unwanted(words, denial),
        too=bool(near & _TOO),
        very=bool(near & _VERY),
        strong=bool(near & _STRONG),
        slight=bool(near & _SLIGHT),
        less=bool(near & _LESS),
        more=bool(nearest & _MORE),
        enough="enough" in after or "enough" in nearest,
        wish=bool(near & _WISH),
        compared="than" in after and bool(_COMPARED_WITH & frozenset(words[end : end + 5])),
    )


def _denial(words: tuple[str, ...], first: int, start: int) -> int | None:
    """Where the word stands that denies the mention at ``start``."""
    for position in range(start - 1, first - 1, -1):
        word = words[position]
        if word in _NEGATORS and words[position + 1] not in _NOT_ONLY:
            return position
        if word == "no" and start - position <= 2:
            return position
    return None


def _unwanted(words: tuple[str, ...], denial: int) -> bool:
    before = [word for word in words[:denial] if word not in _FILLERS]
    following = words[denial + 1]
    if words[denial + 1 : denial + 3] == ("a", "fan"):
        return True
    if before == ["do"] or (before and before[-1] in _OUGHT) or following in _DISLIKE:
        return following not in _BELIEF
    habit = "i" in before and before[-1] not in {"am", "was"}
    return habit and following not in _BELIEF
