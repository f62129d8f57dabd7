"""Kinds of decision, and how people who may be suggested are described."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

USER_IDS = "user_ids"
"""Argument of a pairing: pseudonyms of the people whom it suggests, in order."""
DESCRIPTORS = "descriptors"
"""Argument of a pairing: one list of numbers for each of them, in the same order."""
SLATE_PROPENSITY = "slate_propensity"
"""Argument of a pairing: P(these people in this order | the action)."""
SLATE = "slate"
"""Argument of a pairing whose people the service drew: what recomputes their propensity."""


class ActionKind(StrEnum):
    """The four kinds of decision of the product specification."""

    SUGGEST_PAIRING = "suggest_pairing"
    RECOMMEND_HIVE = "recommend_hive"
    INTERVENTION = "intervention"
    NO_ACTION = "no_action"


class CandidateSpec(BaseModel):
    """How people who may be suggested in a pairing are described.

    ``descriptors``: names of numbers within [-1, 1], 0 being an average person. They must be public or
    come from a private release (a released profile's traits): the clip that protects the person who
    decides does not protect the person who is suggested.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    descriptors: Annotated[tuple[str, ...], Field(min_length=1, max_length=64)]
    most: Annotated[int, Field(ge=1, le=1000)] = 200
    """Most candidates that one question may name."""
    sharpness: Annotated[float, Field(gt=0, le=1000)] = 20.0
    """How sharply slates prefer who scores better: expected rewards are multiplied by it before the
    softmax, so at 20 whoever promises .05 more is e times as likely to come next."""

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.descriptors)) != len(self.descriptors):
            raise ValueError("candidate descriptors are named twice")
        return self

    def numbers(self, given: object) -> tuple[float, ...]:
        """One person's descriptors: a list of one number within [-1, 1] for each name, in their order.

        Raises:
            ValueError: a clause that shows the value and says what is wrong with it.
        """
        width = len(self.descriptors)
        if not isinstance(given, list | tuple) or len(given) != width:
            raise ValueError(
                f"{_shown(given)} is not a list of {width} numbers ({', '.join(self.descriptors)})"
            )
        for value in given:  # almost always floats that fit: questions name hundreds of people
            if type(value) is not float or not -1.0 <= value <= 1.0:
                break
        else:
            return tuple(given)
        for name, value in zip(self.descriptors, given, strict=True):
            if type(value) not in (int, float) or not math.isfinite(value):
                raise ValueError(f"{name}={_shown(value)} is not a finite number")
            if not -1 <= value <= 1:
                raise ValueError(f"{name}={_shown(value)} is outside [-1, 1]")
        return tuple(float(value) for value in given)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
