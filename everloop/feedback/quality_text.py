"""Evidence from texts: the same words, or the same template, under many outputs.

Texts are compared by their beginning: the substrings of four characters of the first ``COMPARED``, each
hashed to one of ``_PLACES`` bits. How alike two are is then a count of common bits, so that fifty long
texts are compared with each other within a millisecond.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from everloop.feedback.quality_evidence import Evidence, Family
from everloop.feedback.quality_records import COMPARED, TEXT_TYPES
from everloop.feedback.quality_timeline import Event

_PLACES = 4096
_SHINGLE = 4
_FACTORS = np.array([1, 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D], dtype=np.uint64)
_SHORT = 20
"""Below it people repeat themselves: "thanks", "too long"."""
_ALIKE = 0.7
_FREE = 3
"""So many alike texts are a person's set phrase."""
_WWW = re.compile(r"www\.\w")
_CHANGING = re.compile(r"[0-9a-f]{8,}|\d+")
_NOT_WORDS = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class Outline:
    """What of a text is compared.

    Attributes:
        checksum: of the normalised beginning; the same for the same words.
        length: its characters.
        bits: one of ``_PLACES`` set per substring.
        size: how many are set.
        linked: whether a link is anywhere in the text.
    """

    checksum: int
    length: int
    bits: int = field(repr=False)
    size: int
    linked: bool = False


class Outlines:
    """The outlines of the texts of one request, each made once; not thread-safe.

    They are not kept longer: a person's words are theirs.
    """

    def __init__(self) -> None:
        self._made: dict[str, Outline] = {}
        self._alike: dict[int, dict[int, bool]] = {}

    def of(self, text: str) -> Outline:
        made = self._made.get(text)
        if made is None:
            made = self._made[text] = outline_of(text)
        return made

    def pairs(self, outlines: Sequence[Outline]) -> list[tuple[int, int]]:
        """Places (i > j) of outlines that are alike; two texts are compared once a request."""
        found = []
        for place, one in enumerate(outlines):
            compared = self._alike.setdefault(one.checksum, {})
            for before in range(place):
                other = outlines[before]
                alike = compared.get(other.checksum)
                if alike is None:
                    alike = compared[other.checksum] = are_alike(one, other, _ALIKE)
                if alike:
                    found.append((place, before))
        return found


def outline_of(text: str) -> Outline:
    """The outline of any text."""
    words = normalised(text)
    bits = _bits(words)
    return Outline(hash(words), len(words), bits, bits.bit_count(), _is_linked(text))


def normalised(text: str) -> str:
    """The beginning: lower case, numbers and identifiers as ``0``, single spaces."""
    beginning = text[:COMPARED].lower()
    return _NOT_WORDS.sub(" ", _CHANGING.sub("0", beginning)).strip()


def are_alike(one: Outline, other: Outline, least: float) -> bool:
    """Whether Jaccard's index of two outlines, in [0, 1], is at least ``least`` > 0."""
    if min(one.size, other.size) < least * max(one.size, other.size):
        return False
    common = (one.bits & other.bits).bit_count()
    return common >= least * (one.size + other.size - common)


def texts(events: Sequence[Event], outlines: Outlines | None = None) -> Iterator[Evidence]:
    """Every piece of evidence that texts give."""
    known = outlines or Outlines()
    written = [
        (event.given.log_id, known.of(event.given.text))
        for event in events
        if event.given.feedback_type in TEXT_TYPES and event.given.text
    ]
    links = sum(outline.linked for _, outline in written)
    if links:
        seen = f"{links} texts with a link"
        yield Evidence(Family.TEXT, "links", min(0.8 * links, 4.5), seen)
    if len(written) <= _FREE:
        return
    alike: list[set[str | None]] = [{log_id} for log_id, _ in written]
    for one, other in known.pairs([outline for _, outline in written]):
        alike[one].add(written[other][0])
        alike[other].add(written[one][0])
    most = max(range(len(written)), key=lambda place: len(alike[place]))
    best, example = len(alike[most]), written[most][1]
    if best > _FREE:
        same = sum(outline.checksum == example.checksum for _, outline in written)
        share = 1.0 if example.length >= _SHORT else 0.25
        weight = min(0.6 * (best - _FREE), 4.8) * share
        kind = "identical" if same >= best else "alike"
        seen = f"{best} texts that are {kind}"
        yield Evidence(Family.TEXT, "templated_text", weight, seen)


def _is_linked(text: str) -> bool:
    lower = text.lower()
    if "http://" in lower or "https://" in lower:
        return True
    return "www." in lower and _WWW.search(lower) is not None


def _bits(words: str) -> int:
    letters = np.frombuffer(words.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    padded = np.zeros(max(len(letters), _SHINGLE), dtype=np.uint64)
    padded[: len(letters)] = letters
    count = len(padded) - _SHINGLE + 1
    mixed = np.zeros(count, dtype=np.uint64)
    for place, factor in enumerate(_FACTORS):
        mixed += padded[place : place + count] * factor
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    places = np.zeros(_PLACES, dtype=np.uint8)
    places[(mixed >> np.uint64(40)) % np.uint64(_PLACES)] = 1
    return int.from_bytes(np.packbits(places).tobytes())
