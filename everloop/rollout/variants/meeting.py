"""Which variant a person meets."""

from __future__ import annotations

from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.variants import PersonaVariant, VariantExperiment
from everloop.rollout.assignment import assign


def variant_of(experiment: VariantExperiment, user_id: str) -> PersonaVariant:
    """The variant that a person meets: sticky while the experiment runs, the winner after it was
    promoted, the base after it was stopped.

    Args:
        experiment: with shares that sum to 100.
        user_id: the person's pseudonym.

    Raises:
        ShouldFixArgument: the pseudonym is empty.
        ShouldRestoreArtefact: the winner is none of the variants.
    """
    if experiment.state == "stopped":
        return experiment.variants[0]
    if experiment.state == "promoted":
        return variant_named(experiment, experiment.winner)
    weights = [variant.traffic_percentage / 100.0 for variant in experiment.variants]
    return experiment.variants[assign(user_id, experiment.experiment_id, weights)]


def variant_named(experiment: VariantExperiment, variant_id: str) -> PersonaVariant:
    """The variant of that id; ``ShouldRestoreArtefact`` where there is none."""
    for variant in experiment.variants:
        if variant.variant_id == variant_id:
            return variant
    raise ShouldRestoreArtefact(
        f"Experiment {experiment.experiment_id} has no variant {variant_id!r}.",
        f"It has: {', '.join(v.variant_id for v in experiment.variants)}.",
    )
