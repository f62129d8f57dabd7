"""What is said of the night's intervention model."""

from __future__ import annotations

from dataclasses import replace

from everloop.reporting.evidence import RunEvidence
from everloop.reporting.night_models import ModelRow, night_models


def rows(found: RunEvidence) -> dict[str, ModelRow]:
    policy = next(model for model in night_models(found) if model.kind == "intervention")
    return {row.name: row for row in policy.rows}


def test_decisions_that_flags_exclude_are_told(full: RunEvidence) -> None:
    name = "logged decisions that today's flags exclude"
    assert full.evaluation is not None
    assert name not in rows(full)
    overlap = replace(full.evaluation.overlap, excluded_share=0.031, kept_as_logged=7)
    told = rows(replace(full, evaluation=replace(full.evaluation, overlap=overlap)))[name]
    assert told.number.startswith("3.1")
    assert told.rests_on == "n = 5,012"
    assert told.beside == "7 judged as logged, since flags leave nothing there"
