"""How the columns of a user's log become episodes and signals: the values that a mapping may hold.

``everloop.intake.mapping_file`` reads the YAML form. Wherever a column is asked for, its bare name
may stand for ``{column: name}``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from everloop.contracts.episodes import Json


class TimeFormat(StrEnum):
    """How a moment is written."""

    RFC3339 = "rfc3339"
    """With its offset, as 2026-03-01T08:00:00+00:00, or a Parquet timestamp with a time zone."""
    EPOCH_S = "epoch_s"
    EPOCH_MS = "epoch_ms"


class _Value(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Source(_Value):
    """Where a value comes from: one column, or one constant for every row.

    ``values`` translates what a cell holds (as text) into what it means; a cell that it does not
    name is refused.
    """

    _one_of: ClassVar[tuple[str, ...]] = ("column", "const")

    column: Annotated[str, Field(min_length=1)] | None = None
    const: Json = None
    values: dict[str, Json] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: Any) -> Any:
        return {"column": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        given = [name for name in self._one_of if name in self.model_fields_set]
        if len(given) != 1:
            raise ValueError(f"give exactly one of {', '.join(self._one_of)}")
        return self


class MomentSource(Source):
    """A moment in time and how it is written."""

    format: TimeFormat = TimeFormat.RFC3339


class ContextSource(Source):
    """A context field; a vector may also lie in the columns ``prefix``0, ``prefix``1, ..."""

    _one_of: ClassVar[tuple[str, ...]] = ("column", "const", "prefix")

    prefix: Annotated[str, Field(min_length=1)] | None = None


class EpisodeIdSource(_Value):
    """The idempotency key: a column of UUIDs, or columns that together name one decision."""

    column: Annotated[str, Field(min_length=1)] | None = None
    key: Annotated[tuple[str, ...], Field(min_length=1)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, given: Any) -> Any:
        return {"column": given} if isinstance(given, str) else given

    @model_validator(mode="after")
    def _one_origin(self) -> Self:
        if (self.column is None) == (self.key is None):
            raise ValueError("give exactly one of column, key")
        return self


class SignalSource(_Value):
    """One signal that a row may carry; an empty cell means that there was none.

    ``latency``: seconds from the decision; or ``at``: the moment of the signal.
    """

    type: str
    column: Annotated[str, Field(min_length=1)]
    values: dict[str, Json] | None = None
    latency: Source | None = None
    at: MomentSource | None = None
    confidence: Source = Source(const=1.0)

    @model_validator(mode="after")
    def _one_time(self) -> Self:
        if (self.latency is None) == (self.at is None):
            raise ValueError("give exactly one of latency, at")
        return self

    @property
    def value(self) -> Source:
        """Where the value comes from."""
        return Source(column=self.column, values=self.values)


class ImportMapping(_Value):
    """A whole mapping. ``propensity`` and ``valid_actions`` may be left out (then: not logged; all)."""

    episode_id: EpisodeIdSource
    user_id: Source
    timestamp: MomentSource
    action: Source
    propensity: Source | None = None
    valid_actions: Source | None = None
    context: dict[str, ContextSource]
    model_version: Source
    arm: Source = Source(const="active")
    signals: tuple[SignalSource, ...]
