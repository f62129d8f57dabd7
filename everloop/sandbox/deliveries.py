"""What of a simulated conversation arrives, and when the voice is asked: the faults of a network."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from everloop.contracts.sandboxes import Fault, ScenarioTurn
from everloop.sandbox.emotions import coloured


@dataclass(frozen=True, slots=True)
class Delivery:
    """What arrives before the answer to one turn. ``asked`` False: nothing arrives, nobody answers."""

    turn: int
    texts: tuple[str, ...]

    @property
    def asked(self) -> bool:
        return bool(self.texts)


def deliveries(turns: Sequence[ScenarioTurn], seed: str) -> tuple[Delivery, ...]:
    """One delivery a turn, in order.

    A duplicated turn arrives twice and is answered once. A delayed one arrives behind the next one, in
    the same moment; the last one has nothing behind it and arrives as it is. A truncated one loses its
    end, somewhere between a third and two thirds of its characters. A dropped one never arrives.
    """
    found = []
    late = ""
    for number, turn in enumerate(turns):
        text = coloured(turn.say, turn.emotion, f"{seed}\0{number}")
        if turn.fault is Fault.TRUNCATED:
            text = _cut(text, f"{seed}\0{number}")
        texts: tuple[str, ...] = () if turn.fault is Fault.DROPPED else (text,)
        if turn.fault is Fault.DUPLICATED:
            texts *= 2
        if turn.fault is Fault.DELAYED and number + 1 < len(turns):
            late, texts = f"{late}\n{text}" if late else text, ()
        elif late and texts:
            texts, late = (*texts, late), ""
        found.append(Delivery(number, texts))
    return tuple(found)


def unanswered(turns: Sequence[ScenarioTurn]) -> frozenset[int]:
    """Turns to which the voice says nothing: dropped, or delayed behind the next one."""
    calm = [turn.model_copy(update={"emotion": ""}) for turn in turns]
    return frozenset(each.turn for each in deliveries(calm, "") if not each.asked)


def _cut(text: str, seed: str) -> str:
    keep = random.Random(f"{seed}\0cut").uniform(1 / 3, 2 / 3)
    return text[: max(1, int(len(text) * keep))]
