"""What a sweep may vary: dotted settings of a loop specification, each with a range or a list.

``training.learning_rate=loguniform(1e-4,1e-2)``, ``exploration.start=uniform(0.1,0.4)``,
``training.epochs=randint(2,8)`` (both ends included), ``training.hidden=choice(32,64,128)``.
"""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.loop_spec import ExplorationSpec, LoopSpec, TrainingSpec

Value = int | float | str
"""What a setting is set to."""

_NOT_IN_TRAINING = ("iterations", "alternatives", "seed", "profiles")
"""The same for every trial, or nothing that a policy's training reads."""
TUNABLE: Mapping[str, tuple[str, ...]] = {
    "training": tuple(k for k in TrainingSpec.model_fields if k not in _NOT_IN_TRAINING),
    "exploration": tuple(k for k in ExplorationSpec.model_fields if k != "serving_floor"),
}
"""Section -> keys. No other section may vary: the releases depend on it, or the policy does not."""

FROM_THE_START = ("training.hidden", "training.head_start")
"""Settings that a training cannot change half-way."""

_FORM = re.compile(r"\s*([a-z_]+\.[a-z_]+)\s*=\s*([a-z]+)\((.*)\)\s*")
_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
KINDS = ("uniform", "loguniform", "randint", "choice")


@dataclass(frozen=True, slots=True)
class Dimension:
    """One setting and where its values come from.

    Attributes:
        setting: ``section.key``.
        kind: one of ``KINDS``.
        values: (low, high) of a range, both included; the choices of ``choice``.
    """

    setting: str
    kind: str
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ShouldFixArgument(
                f"{self.setting}={self.kind}(…): there is no {self.kind!r}.",
                f"Use {', '.join(KINDS)}.",
            )
        if self.kind == "choice":
            if len(set(self.values)) < 2:
                raise ShouldFixArgument(
                    f"{self}: a choice needs two different values.", "List them between commas."
                )
            return
        numbers = all(isinstance(v, int | float) for v in self.values)
        if (
            len(self.values) != 2
            or not numbers
            or not float(self.values[0]) < float(self.values[1])
        ):
            raise ShouldFixArgument(
                f"{self}: a range is two numbers, the lower one first.",
                f"Write {self.setting}={self.kind}(low,high).",
            )
        if self.kind == "loguniform" and float(self.values[0]) <= 0.0:
            raise ShouldFixArgument(f"{self}: a logarithmic range starts above 0.")
        if self.kind == "randint" and not all(isinstance(v, int) for v in self.values):
            raise ShouldFixArgument(f"{self}: randint's ends are whole numbers.")

    def __str__(self) -> str:
        return f"{self.setting}={self.kind}({','.join(map(str, self.values))})"

    @property
    def probes(self) -> tuple[Value, ...]:
        """Values that show whether the setting takes what the dimension gives: its ends and one between."""
        if self.kind in {"choice", "randint"}:
            return self.values
        low, high = (float(value) for value in self.values)
        return (low, high, low + _GOLDEN * (high - low))

    def nearest(self, value: Value) -> Value:
        """A value within the dimension."""
        if self.kind == "choice":
            return value if value in self.values else self.values[0]
        low, high = (float(end) for end in self.values)
        inside = min(max(float(value), low), high)
        return round(inside) if self.kind == "randint" else inside


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """All that varies, by setting."""

    dimensions: tuple[Dimension, ...]

    def __post_init__(self) -> None:
        if not self.dimensions:
            raise ShouldFixArgument(
                "The search space is empty.",
                "Give at least one --space, as in training.learning_rate=loguniform(1e-4,1e-2).",
            )
        names = [dimension.setting for dimension in self.dimensions]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ShouldFixArgument(f"{repeated[0]} is given twice.", "Give each setting once.")

    def nearest(self, settings: Mapping[str, Value]) -> dict[str, Value]:
        """The point within the space that is next to the given one."""
        return {d.setting: d.nearest(settings[d.setting]) for d in self.dimensions}


def parse_space(texts: Sequence[str], spec: LoopSpec) -> SearchSpace:
    """Read a search space, once it is known that the loop takes every value that it may give.

    Raises:
        ShouldFixArgument: naming the text, what is wrong with it and what is allowed.
    """
    space = SearchSpace(tuple(_dimension(text) for text in texts))
    for dimension in space.dimensions:
        for value in dimension.probes:
            applied(spec, {dimension.setting: value})
    return space


def applied(spec: LoopSpec, settings: Mapping[str, Value]) -> LoopSpec:
    """The specification with settings of ``TUNABLE`` in place of its own.

    Raises:
        ShouldFixArgument: naming the setting that cannot have its value.
    """
    document: dict[str, Any] = spec.model_dump(mode="json")
    for setting, value in settings.items():
        section, _, key = setting.partition(".")
        if key not in TUNABLE.get(section, ()):
            known = ", ".join(f"{s}.{k}" for s, keys in TUNABLE.items() for k in keys)
            raise ShouldFixArgument(f"{setting!r} cannot be tuned.", f"These can: {known}.")
        document[section][key] = value
    try:
        return LoopSpec.model_validate(document)
    except ValidationError as problem:
        error = problem.errors(include_url=False)[0]
        given = ", ".join(f"{setting}={value}" for setting, value in settings.items())
        raise ShouldFixArgument(
            f"{given} is not possible: {error['msg'].removeprefix('Value error, ')}.",
            "Narrow the range, or list values with choice(…).",
        ) from None


def _dimension(text: str) -> Dimension:
    found = _FORM.fullmatch(text)
    if found is None:
        raise ShouldFixArgument(
            f"{text!r} is no dimension of a search space.",
            f"Write section.key=kind(values), as in training.learning_rate=loguniform(1e-4,1e-2); "
            f"kinds: {', '.join(KINDS)}.",
        )
    setting, kind, inside = found.groups()
    values = tuple(_value(part.strip()) for part in inside.split(",") if part.strip())
    return Dimension(setting, kind, values)


def _value(text: str) -> Value:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text
