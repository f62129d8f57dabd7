"""Every mutant."""

from __future__ import annotations

from tests.mutation import (
    experiment,
    gate_duties,
    gate_figures,
    off_policy,
    people,
    serving,
    trial_acts,
    trial_decisions,
)
from tests.mutation.mutant import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *gate_figures.MUTANTS,
    *gate_duties.MUTANTS,
    *off_policy.MUTANTS,
    *experiment.MUTANTS,
    *trial_decisions.MUTANTS,
    *trial_acts.MUTANTS,
    *serving.MUTANTS,
    *people.MUTANTS,
)
