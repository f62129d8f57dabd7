"""What people write about an output, read by rules: intents with their strength, or "unclear".

English only; sarcasm is taken at its word. A text that no rule understands teaches nothing: better
silent than invented.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from everloop.contracts.feedback import AIInterpretation
from everloop.feedback.categories import CATEGORIES, CategoryTable
from everloop.feedback.clauses import Clause, clauses_of
from everloop.feedback.lexicon import ENTRIES, LONGEST
from everloop.feedback.lexicon_entry import Entry, Kind
from everloop.feedback.markers import Markers, markers_of

UNCLEAR = "unclear"
UNCLEAR_CONFIDENCE = 0.1

_SURE, _LIKELY, _GUESS = 0.8, 0.6, 0.5
_CONTRADICTED = 0.5  # factor on the confidence of a text that says two opposite things
_SHORT_OF_PRAISE = 0.5  # "not perfect" is less than "bad"
_BARE_WORDS = 3

_PEOPLE = frozenset(
    {
        *("boss", "manager", "colleague", "mother", "mum", "mom", "father", "dad", "sister"),
        *(
            "brother",
            "friend",
            "wife",
            "husband",
            "partner",
            "son",
            "daughter",
            "doctor",
            "teacher",
        ),
    }
)
_IS = frozenset({"is", "was", "are", "were", "gets", "got", "seems", "seemed"})


@dataclass(frozen=True, slots=True)
class Reading:
    """The intents of a text, strongest wording each, and how far they are to be believed in [0, 1]."""

    interpretations: tuple[AIInterpretation, ...]
    confidence: float


@dataclass(frozen=True, slots=True)
class _Said:
    """A category that a mention names; ``denied``: it says "not so"."""

    category: str
    factor: float
    confidence: float
    denied: bool = False

    @property
    def intent(self) -> str:
        return f"not_{self.category}" if self.denied else self.category


def read_free_text(text: str, categories: CategoryTable = CATEGORIES) -> Reading:
    """Read what a person wrote about an output.

    Each category is kept once, in its strongest wording. A denied complaint ("not too formal") is
    mild praise and moves no trait. Opposite complaints in one text halve the confidence.

    Args:
        text: any text; linear in its length.
        categories: what the intents mean; holds every name of the lexicon.
    """
    strongest: dict[str, _Said] = {}
    for said in _mentions(clauses_of(text)):
        known = strongest.get(said.intent)
        if known is None or (said.factor, said.confidence) > (known.factor, known.confidence):
            strongest[said.intent] = said
    if not strongest:
        return Reading((AIInterpretation(UNCLEAR),), UNCLEAR_CONFIDENCE)
    found = tuple(_interpretation(said, categories) for said in strongest.values())
    confidence = sum(said.confidence for said in strongest.values()) / len(strongest)
    return Reading(found, confidence * (_CONTRADICTED if _contradictory(found) else 1.0))


def _interpretation(said: _Said, categories: CategoryTable) -> AIInterpretation:
    category = categories[said.category]
    if not said.denied:
        return category.interpretation(said.factor)
    return AIInterpretation(said.intent, value=0.2 if category.value < 0 else -0.4)


def _contradictory(found: tuple[AIInterpretation, ...]) -> bool:
    signs: dict[str, set[bool]] = {}
    for each in found:
        if each.trait is not None:
            signs.setdefault(each.trait, set()).add(each.adjustment > 0)
    return any(len(of_trait) > 1 for of_trait in signs.values())


def _mentions(clauses: tuple[Clause, ...]) -> Iterator[_Said]:
    carried = Markers()
    for index, clause in enumerate(clauses):
        joiner = clause.joiner
        if (
            joiner == ","
            and index + 1 < len(clauses)
            and clauses[index + 1].joiner in {"or", "nor"}
        ):
            joiner = clauses[index + 1].joiner
        if not joiner:
            carried = Markers()
        newest: Markers | None = None
        if _of_somebody_else(clause.words):
            continue
        for entry, start, end in _hits(clause.words):
            markers = markers_of(clause.words, start, end)
            if markers.silent and joiner and len(clause.words) <= _BARE_WORDS:
                markers = carried.carried(joiner)
            newest = markers
            said = _READ[entry.kind](entry, markers)
            if said is not None:
                yield said
        if newest is not None:
            carried = newest


def _of_somebody_else(words: tuple[str, ...]) -> bool:
    """She is friendly, my boss was rude: not what was said to them."""
    if words[0] in {"she", "he"}:
        return bool(_IS & {*words[1:2]})
    return words[0] in {"my", "our"} and bool(_PEOPLE & {*words[1:2]}) and bool(_IS & {*words[2:3]})


def _hits(words: tuple[str, ...]) -> Iterator[tuple[Entry, int, int]]:
    """Entries in a clause from left to right, the longest first, without overlaps."""
    start = 0
    while start < len(words):
        for length in range(min(LONGEST, len(words) - start), 0, -1):
            entry = ENTRIES.get(words[start : start + length])
            if entry is not None:
                yield entry, start, start + length
                start += length - 1
                break
        start += 1


def _said(category: str, factor: float, confidence: float, denied: bool = False) -> _Said | None:
    return _Said(category, factor, confidence, denied) if category else None


def _fault(entry: Entry, at: Markers) -> _Said | None:
    if at.denied and not at.unwanted and not at.less:
        return _said(entry.category, 1.0, _LIKELY, denied=True)
    return _said(entry.category, at.factor, _SURE)


def _plain(entry: Entry, at: Markers) -> _Said | None:  # noqa: PLR0911 - one line per wording
    if at.unwanted:
        return _said(entry.category, at.factor, _SURE)
    if at.denied and at.enough:
        return _said(entry.opposite, at.factor, _SURE)
    if at.denied:
        return _said(entry.category, 1.0, _LIKELY, denied=True) if at.too else None
    if at.enough:
        return _said(entry.opposite, 1.0, _LIKELY, denied=True)
    if at.less:
        return _said(entry.category, at.factor, _SURE)
    if at.more:
        wanted = entry.category if at.compared else entry.opposite
        return _said(wanted, at.factor, _SURE if at.wish or at.compared else _LIKELY)
    if at.too:
        return _said(entry.category, at.factor, _SURE)
    if at.very or at.slight or at.strong:
        return _said(entry.category, at.factor, _LIKELY)
    return _said(entry.opposite, 1.0, _LIKELY) if at.wish else None


def _virtue(entry: Entry, at: Markers) -> _Said | None:
    if at.unwanted or (at.too and not at.denied) or (at.less and not at.denied):
        return _said(entry.category, at.factor, _SURE)
    if at.denied:
        if at.too:
            return _said(entry.category, 1.0, _LIKELY, denied=True)
        return _said(entry.opposite, at.factor, _SURE)
    if at.more or (at.wish and not at.enough):
        wanted = entry.category if at.compared else entry.opposite
        return _said(wanted, at.factor, _SURE)
    return _said("liked", 1.0, _GUESS)


def _comparative(entry: Entry, at: Markers) -> _Said | None:
    if at.compared:
        return _said(entry.opposite, at.factor, _SURE)
    if at.unwanted:
        return _said(entry.opposite, 1.0, _GUESS)
    if at.denied:
        return None
    return _said(entry.category, at.factor, _SURE if at.wish else _LIKELY)


def _verdict(entry: Entry, at: Markers) -> _Said | None:
    if at.denied:
        if entry.opposite:
            short_of = _SHORT_OF_PRAISE if entry.opposite == "disliked" else 1.0
            return _said(entry.opposite, at.factor * short_of, _SURE)
        return _said(entry.category, 1.0, _LIKELY, denied=True)
    return _said(entry.category, 1.0 if at.strong else at.factor, _SURE)


_READ: Mapping[Kind, Callable[[Entry, Markers], _Said | None]] = {
    Kind.FAULT: _fault,
    Kind.PLAIN: _plain,
    Kind.VIRTUE: _virtue,
    Kind.COMPARATIVE: _comparative,
    Kind.VERDICT: _verdict,
}
