"""What was said to a voice and what it answered, read from a logged interaction."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import orjson

from everloop.contracts.episodes import Json
from everloop.contracts.feedback import Interaction, OutputType
from everloop.contracts.voices import Message, Role

_TEXT_FIELDS = ("text", "content", "message", "query")
_TURNS_FIELDS = ("previous_turns", "previousTurns", "messages", "history", "turns")
_ASSISTANT = frozenset({"assistant", "ai", "bot", "agent", "echo", "persona", "model", "voice"})
_USER = frozenset({"user", "human", "person", "customer"})
_MOST_TURNS = 50


def text_of(value: Json) -> str:
    """The words of a text or of an object that names them (``text``, ``content``, ``message`` or
    ``query``), trimmed; "" where there are none: other JSON was not said by anybody."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, Mapping):
        for name in _TEXT_FIELDS:
            if isinstance(value.get(name), str):
                return str(value[name]).strip()
    return ""


def answered(interaction: Interaction) -> str:
    """What the voice said; "" where it acted, or showed two answers to be compared."""
    if interaction.output_type is OutputType.ACTION:
        return ""
    return text_of(interaction.output_data)


def asked(interaction: Interaction) -> tuple[Message, ...]:
    """The conversation up to the answer: earlier turns, and what was said; () where nothing was.

    Earlier turns stand in the context (``previous_turns``), or before the last one of a list in
    ``input_data``; either may be JSON in a text. Turns up to one of an unknown speaker are left out, and
    so are system turns: what the product told the voice is not what a person said. Turns of one speaker
    in a row become one.
    """
    names = (interaction.agent_id, interaction.persona)
    said = _json(interaction.input_data)
    if isinstance(said, list):
        turns = _known(said, names)
    else:
        last = text_of(said)
        turns = (*_known(_earlier(interaction.context), names), Message("user", last))
        if not last:
            return ()
    merged = tuple(_merged(turns))
    return merged if merged and merged[-1].role == "user" else ()


def _earlier(context: Mapping[str, Json]) -> Sequence[Json]:
    for name in _TURNS_FIELDS:
        found = _json(context.get(name))
        if isinstance(found, list):
            return found
    return ()


def _known(turns: Sequence[Json], names: tuple[str, ...]) -> tuple[Message, ...]:
    kept: list[Message] = []
    for turn in turns[-_MOST_TURNS:]:
        speaker = str(turn.get("role", "")).strip() if isinstance(turn, Mapping) else ""
        role = _role(speaker, names)
        text = text_of(turn)
        if speaker.casefold() == "system":
            continue
        if role is None:
            kept.clear()
        elif text:
            kept.append(Message(role, text))
    return tuple(kept)


def _role(speaker: str, names: tuple[str, ...]) -> Role | None:
    if speaker.casefold() in _ASSISTANT or speaker in names:
        return "assistant"
    return "user" if speaker.casefold() in _USER else None


def _merged(turns: Sequence[Message]) -> Iterator[Message]:
    held: Message | None = None
    for turn in turns:
        if held is not None and held.role == turn.role:
            held = Message(held.role, f"{held.content}\n{turn.content}")
            continue
        if held is not None:
            yield held
        held = turn
    if held is not None:
        yield held


def _json(value: Json) -> Json:
    """What a text of JSON holds; the value itself where it is no list or object in a text."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            return orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
    return value
