"""A feedback's value as learning signals: the specification's ``AIInterpretation``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from everloop.contracts.episodes import Json, canonical_json
from everloop.contracts.feedback import (
    AIInterpretation,
    FeedbackType,
    Interaction,
    TargetElement,
)
from everloop.contracts.loop_spec import FeedbackSpec
from everloop.feedback.categories import CATEGORIES, CategoryTable
from everloop.feedback.change import share_changed
from everloop.feedback.free_text import UNCLEAR, Reading, read_free_text
from everloop.feedback.sentiment import sentiment_of

DWELL_SECONDS = FeedbackSpec().dwell_seconds
"""Dwell time that counts as a whole, where no loop says otherwise."""

BEHAVIOUR_CONFIDENCE = 0.5
"""Of a click, a scroll and a dwell: a click may be a slip and a long look an absence."""


@dataclass(frozen=True, slots=True)
class Given:
    """A value within its declared range, and what it speaks of.

    Attributes:
        kind: the feedback type.
        value: from ``everloop.feedback.declared``.
        interaction: ``None`` for a trust survey alone.
        element, target: which part of the output; the sentence or word itself.
        categories: what categories mean.
        dwell_seconds: dwell time that counts as 1.
    """

    kind: FeedbackType
    value: Json
    interaction: Interaction | None = None
    element: TargetElement = TargetElement.ENTIRE_RESPONSE
    target: Json = None
    categories: CategoryTable = CATEGORIES
    dwell_seconds: float = DWELL_SECONDS


def interpret(given: Given) -> Reading:
    """What a feedback teaches, and how far that is to be believed.

    Of a behaviour (conversion, click, scroll, dwell) the interpretation's value is the share of
    engagement in [0, 1]: not clicking says nothing bad.
    """
    return _RULES[given.kind](given)


def text_of(output: Json) -> str:
    """The words of an output: the text itself, the ``text`` or ``content`` of an object, or its JSON."""
    if isinstance(output, str):
        return output
    if isinstance(output, Mapping):
        for name in ("text", "content"):
            if isinstance(output.get(name), str):
                return str(output[name])
    return canonical_json(output)


def _rating(given: Given) -> Reading:
    return _one(AIInterpretation("rating", value=(given.value - 3.0) / 2.0), 1.0)


def _thumb(given: Given) -> Reading:
    up = bool(given.value)
    return _one(
        AIInterpretation("thumbs_up" if up else "thumbs_down", value=1.0 if up else -1.0), 1.0
    )


def _category(given: Given) -> Reading:
    return _one(given.categories.named(given.value).interpretation(), 1.0)


def _free_text(given: Given) -> Reading:
    return read_free_text(given.value, given.categories)


def _reply(given: Given) -> Reading:
    found = sentiment_of(given.value)
    if found.value is None:
        return _one(AIInterpretation(UNCLEAR), found.confidence)
    mood = "pleased" if found.value > 0 else "displeased"
    return _one(AIInterpretation(f"reply_{mood}", value=found.value), found.confidence)


def _correction(given: Given) -> Reading:
    if given.interaction is None:
        return _one(AIInterpretation("correction"), 1.0)
    shown, wanted = text_of(given.interaction.output_data), str(given.value)
    part = given.target if given.element is not TargetElement.ENTIRE_RESPONSE else None
    if isinstance(part, str) and part:
        shown, wanted = (shown, shown.replace(part, wanted, 1)) if part in shown else (part, wanted)
    changed = share_changed(shown, wanted)
    if changed == 0.0:
        return _one(AIInterpretation("unchanged"), 1.0)
    return _one(AIInterpretation("correction", value=-changed, preference=(wanted, shown)), 1.0)


def _comparison(given: Given) -> Reading:
    """``a`` is the output that the interaction logged (its ``a`` where it logged two), ``b`` the other."""
    output = None if given.interaction is None else given.interaction.output_data
    if "winner" not in given.value:
        pair = (str(given.value["chosen"]), str(given.value["rejected"]))
        shown = None if output is None else text_of(output).strip()
        side = {pair[0].strip(): 1.0, pair[1].strip(): -1.0}
        value = 0.0 if len(side) == 1 else side.get(shown) if shown is not None else None
        return _one(AIInterpretation("preferred", value=value, preference=pair), 1.0)
    winner = given.value["winner"]
    if winner == "tie":
        return _one(AIInterpretation("tie", value=0.0), 1.0)
    value = 1.0 if winner == "a" else -1.0
    preference = None
    if isinstance(output, Mapping) and {"a", "b"} <= set(output):
        texts = text_of(output["a"]), text_of(output["b"])
        preference = texts if winner == "a" else (texts[1], texts[0])
    return _one(AIInterpretation(f"preferred_{winner}", value=value, preference=preference), 1.0)


def _voice(given: Given) -> Reading:
    found = [
        AIInterpretation(
            f"voice_{name}_{'up' if given.value[name] > 0 else 'down'}",
            trait=f"voice_{name}",
            adjustment=given.value[name],
        )
        for name in ("pitch", "speed")
        if given.value.get(name)
    ]
    if "sample_url" in given.value:
        found.append(AIInterpretation("voice_sample"))
    return Reading(tuple(found) or (AIInterpretation("unchanged"),), 1.0)


def _behaviour(intent: str, confidence: float) -> Callable[[Given], Reading]:
    def read(given: Given) -> Reading:
        unit = given.dwell_seconds if given.kind is FeedbackType.DWELL else 1.0
        share = min(1.0, given.value / unit)
        name = intent if share > 0 else f"not_{intent}"
        return _one(AIInterpretation(name, value=share), confidence)

    return read


def _trust(_: Given) -> Reading:
    return _one(AIInterpretation("trust"), 1.0)


def _one(interpretation: AIInterpretation, confidence: float) -> Reading:
    return Reading((interpretation,), confidence)


_RULES: Mapping[FeedbackType, Callable[[Given], Reading]] = MappingProxyType(
    {
        FeedbackType.RATING: _rating,
        FeedbackType.THUMB: _thumb,
        FeedbackType.CORRECTION: _correction,
        FeedbackType.CATEGORICAL_CHOICE: _category,
        FeedbackType.COMPARISON: _comparison,
        FeedbackType.FREE_TEXT: _free_text,
        FeedbackType.VOICE_ADJUSTMENT: _voice,
        FeedbackType.IMPLICIT_REPLY: _reply,
        FeedbackType.CONVERSION: _behaviour("converted", 1.0),
        FeedbackType.CLICK: _behaviour("clicked", BEHAVIOUR_CONFIDENCE),
        FeedbackType.SCROLL: _behaviour("scrolled", BEHAVIOUR_CONFIDENCE),
        FeedbackType.DWELL: _behaviour("dwelt", BEHAVIOUR_CONFIDENCE),
        FeedbackType.TRUST_SURVEY: _trust,
    }
)
