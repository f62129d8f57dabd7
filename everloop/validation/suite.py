"""Ask Great Expectations whether a dataset version is as expected."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import Any

import pandas as pd

from everloop.contracts.contexts import ContextOpener, plain
from everloop.contracts.datasets import DatasetVersion
from everloop.contracts.evaluation import ValidationCheck, ValidationReport
from everloop.contracts.loop_spec import LoopSpec
from everloop.validation.contexts import look_into
from everloop.validation.expectations import Expected, expectations
from everloop.validation.facts import measure

with warnings.catch_warnings():
    # Great Expectations imports sre_constants, which Python deprecates.
    warnings.simplefilter("ignore", DeprecationWarning)
    gx: Any = import_module("great_expectations")


def validate(
    spec: LoopSpec, dataset: DatasetVersion, contexts: ContextOpener = plain
) -> ValidationReport:
    """Validate a version: schema, ids, actions, propensities, time, signals and contexts.

    Freshness and volume are taken relative to the logical date, so that a log of the past is as
    valid today as it was then. An empty version is a report that says no, never an error.

    Args:
        contexts: opens sealed health fields.

    Raises:
        ShouldRestoreArtefact: a file of the version is missing or damaged.
    """
    facts = measure(spec, dataset)
    found = look_into(spec, dataset, contexts) if facts.episodes else None
    wanted = expectations(spec, facts, found)
    passed = _ask(wanted)
    return ValidationReport(
        dataset_id=dataset.manifest.dataset_id,
        checks=tuple(
            ValidationCheck(
                name=expected.name,
                passed=passed[expected.name],
                observed=expected.observed,
                expected=expected.wanted,
                severity=expected.severity,
            )
            for expected in wanted
        ),
    )


def _ask(wanted: tuple[Expected, ...]) -> dict[str, bool]:
    """Name of an expectation -> whether Great Expectations finds it met; an error in it is a no.

    The figures are one row of a dataframe: a few million rows are measured in SQL at a fraction of
    what a dataframe of them costs, and the suite reads the same either way.
    """
    figures = pd.DataFrame({expected.name: [float(expected.value)] for expected in wanted})
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("dataset").add_dataframe_asset("figures")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch(
        batch_parameters={"dataframe": figures}
    )
    suite = gx.ExpectationSuite(
        name="dataset version",
        expectations=[clause for expected in wanted for clause in _clauses(expected)],
    )
    answer = dict.fromkeys((expected.name for expected in wanted), True)
    for result in batch.validate(suite).results:
        answer[result.expectation_config.meta["name"]] &= bool(result.success)
    return answer


def _clauses(expected: Expected) -> tuple[Any, ...]:
    """NaN is null to Great Expectations, and nulls pass its ranges: so both are asked."""
    meta = {"name": expected.name, "severity": expected.severity}
    return (
        gx.expectations.ExpectColumnValuesToNotBeNull(column=expected.name, meta=meta),
        gx.expectations.ExpectColumnValuesToBeBetween(
            column=expected.name, min_value=expected.low, max_value=expected.high, meta=meta
        ),
    )
