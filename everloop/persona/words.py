"""Words of texts, for telling how alike two of them are, and texts in one plain line."""

from __future__ import annotations

import re

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")
_MARKS = re.compile(r"<\|[^<>|]*\|>|</?s>|\[/?INST\]|<</?SYS>>", re.IGNORECASE)
"""What chat templates mark turns with: nobody's text may begin a turn of its own."""

_COMMON = frozenset(
    re.findall(
        r"\S+",
        """a about am an and any are as at be been but by can could did do does for from get had has have he
        her him his how i i'm if in into is it it's its just like me my no not of on or our out she so some
        than that the their them then there they this to too up us was we were what when where which who why
        will with would you your""",
    )
)


def words_of(text: str) -> tuple[str, ...]:
    """Lower-case words that say something, in order; where all are common ones, these."""
    found = tuple(match.group().lower() for match in _WORD.finditer(text))
    return tuple(word for word in found if word not in _COMMON) or found


def likeness(one: str, other: str) -> float:
    """Jaccard similarity of two texts' words, in [0, 1]; two texts without any are alike."""
    mine, theirs = set(words_of(one)), set(words_of(other))
    both = mine | theirs
    return len(mine & theirs) / len(both) if both else 1.0


def plain(text: str, most: int) -> str:
    """A text in one line without a chat template's marks, at most ``most`` characters."""
    previous = ""
    while previous != text:  # what a removal joins may be a mark itself
        previous, text = text, _MARKS.sub(" ", text)
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"
