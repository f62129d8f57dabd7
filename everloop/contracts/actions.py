"""Kinds of decision, and how people who may be suggested are described."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


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

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        if len(set(self.descriptors)) != len(self.descriptors):
            raise ValueError("candidate descriptors are named twice")
        return self
