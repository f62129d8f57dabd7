"""dp_accounting's events as JSON: class name and fields, recursively, and back.

``DpEvent`` brings no form of its own that outlives a process. The two events that ledger rows need are
written here without the library, whose import takes a second and 100 MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from everloop.contracts.canonical import Json
from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.privacy import GaussianMechanism, Mechanism

if TYPE_CHECKING:
    from dp_accounting import DpEvent

CLASS = "class"
FIELDS = "fields"


def dumped(event: DpEvent) -> dict[str, Json]:
    """``{"class": name, "fields": {name: value}}``; values are events, lists, numbers, text or None.

    Raises:
        ShouldFixArgument: a field holds something else.
    """
    import attr  # noqa: PLC0415

    fields = {field.name: _plain(getattr(event, field.name)) for field in attr.fields(type(event))}
    return {CLASS: type(event).__name__, FIELDS: fields}


def loaded(text: Mapping[str, Json]) -> DpEvent:
    """The event that ``dumped`` wrote.

    Raises:
        ShouldFixArgument: there is no such event, or it has other fields.
    """
    import dp_accounting  # noqa: PLC0415

    name = str(text.get(CLASS))
    kind = getattr(dp_accounting, name, None)
    if not (isinstance(kind, type) and issubclass(kind, dp_accounting.DpEvent)):
        raise ShouldFixArgument(
            f"dp_accounting has no event {name!r}.", "Install the version that the row names."
        )
    fields = text.get(FIELDS)
    if not isinstance(fields, Mapping):
        raise ShouldFixArgument(f"The event {name} has no fields.")
    try:
        return kind(**{field: _event_value(value) for field, value in fields.items()})
    except TypeError as problem:
        raise ShouldFixArgument(f"The event {name} does not load: {problem}.") from problem


def event_of(mechanism: Mechanism) -> dict[str, Json]:
    """What ``dumped`` writes of a mechanism's event: its steps, composed."""
    step: dict[str, Json] = {
        CLASS: "GaussianDpEvent",
        FIELDS: {"noise_multiplier": mechanism.sigma},
    }
    if not isinstance(mechanism, GaussianMechanism):
        step = {
            CLASS: "PoissonSampledDpEvent",
            FIELDS: {"sampling_probability": mechanism.sampling_rate, "event": step},
        }
    return {CLASS: "SelfComposedDpEvent", FIELDS: {"event": step, "count": mechanism.steps}}


def _plain(value: Any) -> Json:
    import attr  # noqa: PLC0415

    if attr.has(type(value)):
        return dumped(value)
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, str | bool | int | float):
        return value
    raise ShouldFixArgument(f"A field of an event holds {value!r}, which has no form in JSON.")


def _event_value(value: Json) -> Any:
    if isinstance(value, Mapping):
        return loaded(value)
    if isinstance(value, list | tuple):
        return [_event_value(item) for item in value]
    return value
