"""The reward definition as a statement, and the tables that hold its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2
import sqlglot
from sqlglot import exp

from everloop.contracts.loop_spec import LoopSpec, Silence

DEFINITION = Path(__file__).with_name("aggregate.sql")
REFUSAL = "refused signal"
"""What the statement's own errors begin with."""


@dataclass(frozen=True, slots=True)
class SignalRule:
    """One row of ``signal_specs``; the fields are its columns."""

    position: int
    signal_type: str
    low: float
    high: float
    slope: float
    intercept: float
    silence_is_zero: bool
    weight: float
    half_life_seconds: float


@dataclass(frozen=True, slots=True)
class RewardRule:
    """The one row of ``reward_rule``."""

    success_at: float
    failure_at: float


def reward_rule(spec: LoopSpec) -> RewardRule:
    """Where the loop's outcomes begin."""
    return RewardRule(spec.reward.success_at, spec.reward.failure_at)


def signal_rules(spec: LoopSpec) -> tuple[SignalRule, ...]:
    """The loop's ``signal_specs``, in the order in which the specification declares them."""
    return tuple(
        SignalRule(
            position=position,
            signal_type=signal.name,
            low=signal.low,
            high=signal.high,
            slope=2.0 if signal.two_sided else 1.0,
            intercept=-1.0 if signal.two_sided else 0.0,
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
    tree = sqlglot.parse_one(template.render(names=list(names)), read="bigquery")
    if dialect == "duckdb":
        tree = tree.transform(_filtered)
    return tree.sql(dialect, pretty=True)


def _filtered(node: exp.Expr) -> exp.Expr:
    """f(IF(p, x, NULL)) as f(x) FILTER (WHERE p): the same, and DuckDB only touches rows of p."""
    if isinstance(node, exp.Sum | exp.Count) and isinstance(choice := node.this, exp.If):
        otherwise = choice.args.get("false")
        if isinstance(otherwise, exp.Null):
            aggregate = node.copy()
            aggregate.set("this", choice.args["true"])
            return exp.Filter(this=aggregate, expression=exp.Where(this=choice.this.copy()))
    return node
