"""Evidence from texts: the same words, or the same template, under many outputs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from everloop.feedback.quality_evidence import Evidence, Family
from everloop.feedback.quality_records import TEXT_TYPES
from everloop.feedback.quality_timeline import Event

_SHORT = 20
"""Below it people repeat themselves: "thanks", "too long"."""
_ALIKE = 0.7
_FREE = 3
"""So many alike texts are a person's set phrase."""
_LINK = re.compile(r"https?://|www\.\w", re.IGNORECASE)
_CHANGING = re.compile(r"[0-9a-f]{8,}|\d+")
_NOT_WORDS = re.compile(r"[\W_]+")


def normalised(text: str) -> str:
    """Lower case, numbers and identifiers as ``#``, single spaces."""
    return _NOT_WORDS.sub(" ", _CHANGING.sub("0", text.lower())).strip()


def likeness(one: frozenset[str], other: frozenset[str]) -> float:
    """Jaccard's index of two sets of shingles, in [0, 1]."""
    union = len(one | other)
    return len(one & other) / union if union else 0.0


def shingles(text: str, size: int = 4) -> frozenset[str]:
    """The text's substrings of ``size`` characters."""
    return frozenset(text[i : i + size] for i in range(max(1, len(text) - size + 1)))


def texts(events: Sequence[Event]) -> Iterator[Evidence]:
    """Every piece of evidence that texts give."""
    written = [
        (event.given.log_id, normalised(event.given.text))
        for event in events
        if event.given.feedback_type in TEXT_TYPES and event.given.text
    ]
    links = sum(bool(_LINK.search(event.given.text)) for event in events if event.given.text)
    if links:
        seen = f"{links} texts with a link"
        yield Evidence(Family.TEXT, "links", min(0.8 * links, 4.5), seen)
    if len(written) <= _FREE:
        return
    made = [(log_id, text, shingles(text)) for log_id, text in written]
    best, example, same = 0, "", 0
    for _, text, parts in made:
        alike = {log for log, _, others in made if likeness(parts, others) >= _ALIKE}
        if len(alike) > best:
            best, example = len(alike), text
            same = sum(other == text for _, other, _ in made)
    if best > _FREE:
        share = 1.0 if len(example) >= _SHORT else 0.25
        weight = min(0.6 * (best - _FREE), 4.8) * share
        kind = "identical" if same >= best else "alike"
        seen = f"{best} texts that are {kind}"
        yield Evidence(Family.TEXT, "templated_text", weight, seen)
