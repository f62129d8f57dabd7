"""What is said of the night's intervention model."""

from __future__ import annotations

from dataclasses import replace

from everloop.contracts.evaluation import Estimate
from everloop.contracts.figures import SuccessFigure
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


def test_the_candidates_own_rates_stand_beside_those_served(full: RunEvidence) -> None:
    assert full.evaluation is not None
    rates = (
        Estimate("intervention_acceptance", 0.75, 0.71, 0.79, 0.95, 412, 300, "weighted"),
        Estimate("intervention_false_positive_rate", 0.03, 0.01, 0.06, 0.95, 410, 300, "weighted"),
    )
    rejected = SuccessFigure(
        "intervention_false_positive_rate", 0.05, 0.05, "share", None, "no", True
    )
    found = replace(
        full,
        evaluation=replace(full.evaluation, rates=rates),
        success=(*full.success, rejected),
    )
    told = rows(found)
    accepted = told["intervention acceptance, candidate's estimate"]
    assert accepted.number == "0.750 [0.710, 0.790]"
    assert accepted.rests_on == "effective n = 412 from 300 people"
    assert "as served: 0.702" in accepted.beside
    refused = told["intervention false positive rate, candidate's estimate"].beside
    assert "below 5" in refused
    assert refused.endswith("as served: not measured")
