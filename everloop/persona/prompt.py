"""The prompt that a persona becomes: what it is, how it speaks, what it remembers, what was liked.

Nothing of the graph's own workings reaches the text: no number of a trait, no id, no tag, and nothing that
was told by another person.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.personas import PersonaGraph
from everloop.contracts.voice_spec import VoiceSpec
from everloop.contracts.voices import Message
from everloop.persona.exemplars import chosen
from everloop.persona.memory import relevant
from everloop.persona.words import plain

NEUTRAL = 0.1
"""Traits no farther from 0 are not spoken of."""
CLEAR = 0.5
"""From here on a trait is clear; below it is slight."""
_MOST_FACT = 300
_MOST_EXEMPLAR = 600


def prompt_of(
    spec: VoiceSpec, graph: PersonaGraph, said: Sequence[Message], user_id: str | None
) -> tuple[Message, ...]:
    """The messages that a model continues: one system turn, where there is something to say in it, and
    the conversation.

    The same arguments give the same bytes.

    Args:
        graph: a persona's, joined with the person's own where they have one.
        said: the conversation, oldest first; turns of people and the voice alone.
        user_id: pseudonym of who speaks; None shows what is nobody's alone.

    Raises:
        ShouldFixArgument: the graph is another persona's, or the conversation brings a system turn.
    """
    if graph.persona != spec.persona:
        raise ShouldFixArgument(
            f"A graph of {graph.persona!r} was given for persona {spec.persona!r}.", "Read its own."
        )
    if any(message.role == "system" for message in said):
        raise ShouldFixArgument(
            "The conversation has a system turn.", "Leave it out: the persona makes its own."
        )
    system = system_text(spec, graph, said, user_id)
    return (Message("system", system), *said) if system else tuple(said)


def system_text(
    spec: VoiceSpec, graph: PersonaGraph, said: Sequence[Message], user_id: str | None
) -> str:
    """What the system turn says; empty where there is nothing to say."""
    facts = relevant(graph, said, user_id, spec.memory_items)
    liked = chosen(graph, user_id, spec.exemplars)
    parts = [spec.system.strip(), *style_of(spec, graph)]
    if facts:
        parts.append("\n".join(["Keep in mind:", *(plain(f.text, _MOST_FACT) for f in facts)]))
    if liked:
        parts.append("Answers like these were liked:")
    parts += [
        f"Asked: {plain(each.asked, _MOST_EXEMPLAR)}\nAnswered: {plain(each.answered, _MOST_EXEMPLAR)}"
        for each in liked
    ]
    return "\n\n".join(part for part in parts if part)


def style_of(spec: VoiceSpec, graph: PersonaGraph) -> tuple[str, ...]:
    """How the voice speaks, in words: at most a sentence for what is clear and one for what is slight."""
    found = list(_leanings(spec, graph))
    clear = "; ".join(phrase for phrase, is_clear in found if is_clear)
    slight = "; ".join(phrase for phrase, is_clear in found if not is_clear)
    told: list[str] = []
    if clear:
        told.append(f"Clearly keep to this style: {clear}.")
    if slight:
        told.append(f"Slightly lean to this style: {slight}.")
    return tuple(told)


def _leanings(spec: VoiceSpec, graph: PersonaGraph) -> Iterator[tuple[str, bool]]:
    for declared in spec.traits:
        found = graph.trait(declared.name)
        value = declared.default if found is None else found.value
        if abs(value) > NEUTRAL:
            yield declared.high if value > 0 else declared.low, abs(value) >= CLEAR
