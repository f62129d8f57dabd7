"""Great Expectations does the asking: rules become expectations, and its results become outcomes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.expectations.core import (
    ExpectColumnValuesToBeBetween,
    ExpectColumnValuesToBeInSet,
    ExpectColumnValuesToBeUnique,
    ExpectColumnValuesToNotBeNull,
    ExpectTableColumnsToMatchSet,
)
from great_expectations.expectations.expectation import Expectation

from everloop.validation.measures import Measure
from everloop.validation.rules import Ask, Between, OneOf, Present, Unique


@dataclass(frozen=True, slots=True)
class Outcome:
    """What Great Expectations found for one check.

    ``unexpected``: rows that fail, where rows were asked. ``problem``: why it could not be asked.
    """

    check: str
    success: bool
    unexpected: int | None = None
    problem: str | None = None


def expectation(check: str, ask: Ask) -> Expectation:
    """The expectation that asks it; ``check`` travels in its meta data."""
    meta = {"check": check}
    match ask:
        case Between():
            return ExpectColumnValuesToBeBetween(
                column=ask.column,
                min_value=ask.low,
                max_value=ask.high,
                strict_min=ask.strict_low,
                strict_max=ask.strict_high,
                meta=meta,
            )
        case OneOf():
            return ExpectColumnValuesToBeInSet(
                column=ask.column, value_set=[str(value) for value in ask.values], meta=meta
            )
        case Unique():
            return ExpectColumnValuesToBeUnique(column=ask.column, meta=meta)
        case Present():
            return ExpectColumnValuesToNotBeNull(column=ask.column, meta=meta)


def schema_expectations(check: str, columns: dict[str, tuple[str, ...]]) -> tuple[Expectation, ...]:
    """Of a frame with one row that holds each column's type."""
    meta = {"check": check}
    return (
        ExpectTableColumnsToMatchSet(column_set=list(columns), exact_match=False, meta=meta),
        *(
            ExpectColumnValuesToBeInSet(column=name, value_set=list(types), meta=meta)
            for name, types in columns.items()
        ),
    )


def measure_expectations(measure: Measure) -> tuple[Expectation, ...]:
    """That a measure was taken, and that it lies within its bounds."""
    asked: list[Ask] = [Present(measure.name)]
    if measure.low is not None or measure.high is not None:
        asked.append(Between(measure.name, measure.low, measure.high))
    return tuple(expectation(measure.name, ask) for ask in asked)


def ask_all(
    name: str, frame: pd.DataFrame, expectations: Sequence[Expectation]
) -> dict[str, Outcome]:
    """Validate a frame in an ephemeral context; one outcome per check, failed if any part failed."""
    context = gx.get_context(mode="ephemeral")
    context.enable_analytics(False)
    context.variables.progress_bars = ProgressBarsConfig(globally=False, metric_calculations=False)
    asset = context.data_sources.add_pandas(name).add_dataframe_asset(name)
    batch = asset.add_batch_definition_whole_dataframe(name).get_batch({"dataframe": frame})
    suite = gx.ExpectationSuite(name=name, expectations=list(expectations))
    outcomes: dict[str, Outcome] = {}
    for result in batch.validate(suite, result_format="BASIC").results:
        outcome = _outcome(result)
        if outcomes.get(outcome.check, outcome).success:
            outcomes[outcome.check] = outcome
    return outcomes


def _outcome(result: Any) -> Outcome:
    raised = result.exception_info or {}
    problem = raised.get("exception_message") if raised.get("raised_exception") else None
    if problem is None and "raised_exception" not in raised:  # keyed by metric where several raised
        problem = "; ".join(str(part.get("exception_message")) for part in raised.values()) or None
    unexpected = (result.result or {}).get("unexpected_count")
    return Outcome(
        check=str(result.expectation_config.meta["check"]),
        success=bool(result.success),
        unexpected=None if unexpected is None else int(unexpected),
        problem=problem,
    )
