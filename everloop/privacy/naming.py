"""Whether a sentence that is kept for good names the person whom it is about."""

from __future__ import annotations

import re
import unicodedata

SHORTEST_NAME = 3
"""Characters: a shorter id is a letter of ordinary words rather than a name."""


def names_person(text: str, user_id: str) -> bool:
    """Whether a product's id of a person stands in a text as a word of its own.

    Case and the ways to write a letter don't matter; ids of fewer than 3 characters are not looked for.
    """
    wanted = _folded(user_id.strip())
    if len(wanted) < SHORTEST_NAME:
        return False
    # An id may begin or end with a sign, at which no word begins or ends.
    before = r"(?<!\w)" if re.match(r"\w", wanted) else ""
    after = r"(?!\w)" if re.match(r"\w", wanted[-1]) else ""
    return re.search(f"{before}{re.escape(wanted)}{after}", _folded(text)) is not None


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
