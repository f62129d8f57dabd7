"""Every mutant."""

from __future__ import annotations

from tests.mutation import (
    attacks,
    experiment,
    fairness_and_drift,
    gate_duties,
    gate_figures,
    off_policy,
    off_policy_support,
    people,
    serving,
    storage,
    trial_acts,
    trial_decisions,
    trial_health,
    voice,
)
from tests.mutation.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *gate_figures.MUTANTS,
    *gate_duties.MUTANTS,
    *off_policy_support.MUTANTS,
    *off_policy.MUTANTS,
    *fairness_and_drift.MUTANTS,
    *experiment.MUTANTS,
    *trial_health.MUTANTS,
    *trial_decisions.MUTANTS,
    *trial_acts.MUTANTS,
    *storage.MUTANTS,
    *serving.MUTANTS,
    *attacks.MUTANTS,
    *people.MUTANTS,
    *voice.MUTANTS,
)
