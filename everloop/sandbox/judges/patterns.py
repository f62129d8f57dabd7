"""Whether a regular expression of somebody's own can take a time without end."""

from __future__ import annotations

import re

OPEN = 50
"""Times from which on a repeat counts as one without end."""
MOST = 2
"""Repeats without end that one expression may have."""
LONGEST = 4_000
"""Characters of a text that an expression is looked for in."""

_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?(?:P<\w+>|P=\w+|<?[=!]|[:>]|#[^)]*|[aiLmsux-]+:?)?|[()|]"
    r"|(?P<repeat>[*+?]|\{(?P<low>\d*)(?P<to>,(?P<high>\d*))?\})[?+]?|.",
    re.DOTALL,
)


def problem_of_pattern(pattern: str) -> str:
    """Why an expression may take a time that grows without bound with the text, and the fix; empty: none.

    A repeat of what has a repeat or a choice in it may take exponential time; ``n`` repeats without end one
    after the other the ``n + 1``-th power of the text's length.
    """
    inner, varies, opened = [False], False, 0
    for token in _TOKEN.finditer(pattern):
        text = token.group()
        if token["repeat"]:
            low, high = _times(token)
            if varies and high > 1:
                return f"{pattern!r} repeats what repeats or chooses itself (take one of the repeats out)"
            opened += high >= OPEN
            inner[-1] |= low != high
            continue
        varies = False
        if text.startswith("(") and not text.startswith("(?#"):
            inner.append(False)
        elif text == ")" and len(inner) > 1:
            varies = inner.pop()
            inner[-1] |= varies
        elif text == "|":
            inner[-1] = True
    if opened > MOST:
        return (
            f"{pattern!r} has {opened} repeats without end, at most {MOST} (write {{0,{OPEN - 1}}})"
        )
    return ""


def _times(token: re.Match[str]) -> tuple[int, float]:
    """How often at least and at most."""
    if token["low"] is None:
        return {"*": (0, float("inf")), "+": (1, float("inf")), "?": (0, 1)}[token["repeat"]]
    low = int(token["low"] or 0)
    if token["to"] is None:
        return low, low
    return low, int(token["high"]) if token["high"] else float("inf")
