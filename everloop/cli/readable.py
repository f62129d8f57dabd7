"""Texts of others on a terminal: what would move its cursor, colour it or reach its clipboard is shown."""

from __future__ import annotations

import unicodedata

_KEPT = frozenset("\n\t\u200c\u200d")
"""Line ends and tabs, and what joins or parts letters and emoji."""
_ACTING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of Unicode: control, format (direction marks among them), surrogates, line separators."""


def readable(text: str) -> str:
    """The text with U+FFFD for each character that acts on a terminal; it may be a part of a longer one."""
    if text.isascii() and text.replace("\n", " ").replace("\t", " ").isprintable():
        return text
    return "".join(
        "\ufffd" if each not in _KEPT and unicodedata.category(each) in _ACTING else each
        for each in text
    )
