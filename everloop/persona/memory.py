"""Facts that a voice remembers, each with its source, and which of them matter to a conversation."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.personas import MemoryItem, PersonaGraph
from everloop.contracts.voices import Message
from everloop.persona.words import words_of

KEPT = 200
"""Facts that a graph holds; the oldest goes first."""
HEARD = 3
"""What a person said last, in turns, decides what is looked for."""


def remembered(graph: PersonaGraph, item: MemoryItem, most: int = KEPT) -> PersonaGraph:
    """The graph with one more fact, newest last; one of the same source is replaced.

    Raises:
        ShouldFixArgument: the text or the source is empty, or ``most`` is below 1.
    """
    if not (item.text.strip() and item.source_id):
        raise ShouldFixArgument(
            f"Memory {item.source_id!r} lacks its text or its source.", "Give both."
        )
    if most < 1:
        raise ShouldFixArgument(f"most={most} is below 1.", "Keep one at least.")
    kept = [each for each in graph.memory if each.source_id != item.source_id]
    return replace(graph, memory=(*kept, item)[-most:])


def forgotten(graph: PersonaGraph, source_id: str) -> PersonaGraph:
    """The graph without what a source gave."""
    kept = tuple(each for each in graph.memory if each.source_id != source_id)
    return graph if len(kept) == len(graph.memory) else replace(graph, memory=kept)


def relevant(
    graph: PersonaGraph, said: Sequence[Message], user_id: str | None, most: int
) -> tuple[MemoryItem, ...]:
    """The facts that share words with what was said last, the likest first, of equals the newer.

    Cosine of TF-IDF vectors over words; idf = 1 + ln((1 + n) / (1 + df)) over the n facts that may be seen:
    those of nobody and of that person. One that shares no word is never among them.
    """
    seen = [m for m in reversed(graph.memory) if m.user_id is None or m.user_id == user_id]
    heard = [message.content for message in said if message.role == "user"][-HEARD:]
    counts = [Counter(words_of(item.text)) for item in seen]
    known = Counter(word for count in counts for word in count)
    rarity = {word: 1.0 + math.log((1 + len(seen)) / (1 + n)) for word, n in known.items()}
    asked = _vector(Counter(w for text in heard for w in words_of(text)), rarity)
    scores = [_cosine(asked, _vector(count, rarity)) for count in counts]
    ranked = sorted(range(len(seen)), key=lambda place: (-scores[place], place))
    return tuple(seen[place] for place in ranked if scores[place] > 0.0)[:most]


def _vector(counts: Mapping[str, int], rarity: Mapping[str, float]) -> Mapping[str, float]:
    return {word: n * rarity[word] for word, n in counts.items() if word in rarity}


def _cosine(one: Mapping[str, float], other: Mapping[str, float]) -> float:
    shared = math.fsum(value * other[word] for word, value in one.items() if word in other)
    return shared / (_length(one.values()) * _length(other.values())) if shared else 0.0


def _length(values: Iterable[float]) -> float:
    return math.sqrt(math.fsum(value * value for value in values))
