"""Small feedback on a voice's answers for tests: read by the same rules as the service reads it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from everloop.contracts.feedback import FeedbackType, TargetElement
from everloop.contracts.voice_ports import SpokenFeedback
from everloop.feedback.declared import declared
from everloop.feedback.interpretation import Given, interpret
from everloop.feedback.sources import source_of, weight_of
from tests.feedback_records import feedback, interaction
from tests.log_records import NOON

ANSWER = "I would be delighted to assist you."


def person(number: int) -> str:
    """A pseudonym."""
    return f"{number:064x}"


def spoken(
    number: int,
    kind: FeedbackType,
    raw: Any,
    *,
    of: int | None = None,
    by: int = 1,
    asked: Any = None,
    answered: Any = ANSWER,
    at: datetime | None = None,
    element: TargetElement = TargetElement.ENTIRE_RESPONSE,
    target: Any = None,
    disputed: bool = False,
    about: dict[str, Any] | None = None,
    **changes: Any,
) -> SpokenFeedback:
    """One feedback with quality 1; ``number`` names it, ``of`` its interaction (by default the same)."""
    talk = number if of is None else of
    told = {
        "user_id": person(by),
        "input_data": f"What about topic {talk}?" if asked is None else asked,
        "output_data": answered,
    }
    spoke = interaction(talk, **(told | (about or {})))
    value = declared(kind, raw).value
    reading = interpret(Given(kind, value, spoke, element, target))
    values: dict[str, Any] = {
        "user_id": person(by),
        "feedback_type": kind,
        "source": source_of(kind),
        "raw_value": raw,
        "value": value,
        "interpretations": reading.interpretations,
        "weight": weight_of(kind),
        "confidence": reading.confidence,
        "quality": 1.0,
        "target_element": element,
        "target": target,
    }
    when = NOON + timedelta(minutes=number) if at is None else at
    return SpokenFeedback(feedback(number, talk, when, **(values | changes)), spoke, disputed)
