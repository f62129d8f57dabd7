"""The reward definition as a statement, and the tables that hold its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import sqlglot

from everloop.contracts.loop_spec import LoopSpec, Silence

DEFINITION = Path(__file__).with_name("aggregate.sql")
REFUSAL = "refused signal"
"""What the statement's own errors begin with."""


@dataclass(frozen=True, slots=True)
class SignalRule:
    """One row of ``signal_specs``; the fields are its columns, in order."""

    position: int
    signal_type: str
    low: float
    high: float
    two_sided: bool
    silence_is_zero: bool
    weight: float
    half_life_seconds: float


def signal_rules(spec: LoopSpec) -> tuple[SignalRule, ...]:
    """The loop's ``signal_specs``, in the order in which the specification declares them."""
    return tuple(
        SignalRule(
            position=position,
            signal_type=signal.name,
            low=signal.low,
            high=signal.high,
            two_sided=signal.two_sided,
            silence_is_zero=signal.silence is Silence.ZERO,
            weight=signal.weight,
            half_life_seconds=spec.reward.half_life_seconds,
        )
        for position, signal in enumerate(spec.signals)
    )


def statement(names: Sequence[str], dialect: str = "bigquery") -> str:
    """The definition for these signal types, as SQL of a dialect that sqlglot knows.

    ``names`` obey ``everloop.contracts.loop_spec.Name``, so none can leave its quotes.
    """
    template = jinja2.Environment(
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # noqa: S701 - the output is SQL, not HTML
    ).from_string(DEFINITION.read_text(encoding="utf-8"))
    rendered = template.render(names=list(names))
    return sqlglot.transpile(rendered, read="bigquery", write=dialect, pretty=True)[0]
