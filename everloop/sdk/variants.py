"""Experiments with personas and prompts: start one, assign people, read what their feedback says.

experiment = variants.start("companion", "guide", {"warm": {"warmth": 0.8}}, shares={"warm": 50})
variants.assign(workspace, experiment.experiment_id, "user-1")
variants.judged(workspace, experiment.experiment_id)
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np

from everloop.contracts.episodes import Json
from everloop.contracts.errors import ShouldFixArgument, ShouldResolveConflict
from everloop.contracts.variants import Exposure, PersonaVariant, VariantExperiment
from everloop.feedback.learning_signals import TEACHING, value_of
from everloop.rollout.variants.effects import VariantObservations, performance
from everloop.rollout.variants.meeting import variant_named, variant_of
from everloop.rollout.variants.winner import VariantVerdict, after, judge_variants
from everloop.wiring import Workspace


def start(
    workspace: Workspace,
    loop: str,
    base_persona: str,
    modifications: Mapping[str, Mapping[str, Json]],
    *,
    shares: Mapping[str, float],
    subject: str = "persona",
    alpha: float = 0.05,
    min_people: int = 100,
    max_days: int = 28,
    actor: str = "sdk",
    tenant: str = "default",
    experiment_id: str = "",
) -> VariantExperiment:
    """Start an experiment; the base gets what the variants' shares (in percent) leave.

    Raises:
        ShouldFixArgument: shares that do not fit, or a subject that is neither persona nor prompt.
        ShouldResolveConflict: another experiment with this persona is running.
    """
    if set(shares) != set(modifications) or not modifications:
        raise ShouldFixArgument(
            f"Variants {sorted(modifications)} have shares for {sorted(shares)}.",
            "Give every variant a share.",
        )
    total = math.fsum(shares.values())
    if not all(0.0 <= share <= 100.0 for share in shares.values()) or total > 100.0:
        given = ", ".join(f"{name}={share:g}" for name, share in shares.items())
        raise ShouldFixArgument(
            f"Variants take {total:g} % of people ({given}).",
            "Give each a share of 0 to 100, together at most 100: the base gets the rest.",
        )
    if subject not in ("persona", "prompt"):
        raise ShouldFixArgument(f"subject={subject!r}.", "Use persona or prompt.")
    base = PersonaVariant(base_persona, base_persona, {}, 100.0 - total)
    others = (
        PersonaVariant(base_persona, name, dict(changes), shares[name])
        for name, changes in modifications.items()
    )
    return workspace.variants.create(
        VariantExperiment(
            experiment_id=experiment_id or str(uuid.uuid4()),
            loop=loop,
            subject="persona" if subject == "persona" else "prompt",
            variants=(base, *others),
            started_at=datetime.now(UTC),
            alpha=alpha,
            min_people=min_people,
            tenant=tenant,
            max_days=max_days,
        ),
        actor,
    )


def assign(
    workspace: Workspace, experiment_id: str, user_id: str, tenant: str = "default"
) -> PersonaVariant:
    """The variant that a person meets, noted as met; who met one keeps it while the experiment runs.

    ``user_id``: the product's own; only its pseudonym is kept.
    """
    experiment = workspace.variants.experiment(experiment_id, tenant)
    return assigned(workspace, experiment, workspace.pseudonyms.of(user_id, tenant))


def assigned(workspace: Workspace, experiment: VariantExperiment, person: str) -> PersonaVariant:
    """``assign`` for a pseudonym."""
    if experiment.state != "running":
        return variant_of(experiment, person)
    key = (experiment.experiment_id, person, experiment.tenant)
    known = workspace.variants.met(*key)
    if known is None:
        chosen = variant_of(experiment, person).variant_id
        now = datetime.now(UTC)
        workspace.variants.expose(
            [Exposure(experiment.experiment_id, person, chosen, now, experiment.tenant)]
        )
        known = workspace.variants.met(*key) or chosen
    return variant_named(experiment, known)


def judged(
    workspace: Workspace, experiment_id: str, tenant: str = "default"
) -> tuple[VariantExperiment, VariantVerdict]:
    """The experiment with what feedback says of each variant, and what follows; nothing is changed."""
    experiment = workspace.variants.experiment(experiment_id, tenant)
    measured = replace(experiment, variants=performance(experiment, _seen(workspace, experiment)))
    return measured, judge_variants(experiment, measured.variants, datetime.now(UTC))


def settle(
    workspace: Workspace, experiment_id: str, actor: str = "sdk", tenant: str = "default"
) -> tuple[VariantExperiment, VariantVerdict]:
    """``judged``, and promote the winner or stop where one of them is established.

    One without a winner stops after ``max_days``. May be asked as often as one likes; where somebody else
    settled it meanwhile, theirs stands.
    """
    measured, verdict = judged(workspace, experiment_id, tenant)
    following = after(measured, verdict)
    if following is None:
        return measured, verdict
    try:
        stored = workspace.variants.advance(following, actor, verdict.reason)
    except ShouldResolveConflict:
        stored = workspace.variants.experiment(experiment_id, tenant)
    return replace(stored, variants=measured.variants), verdict


def stop(
    workspace: Workspace, experiment_id: str, reason: str, actor: str, tenant: str = "default"
) -> VariantExperiment:
    """End an experiment by hand: everybody meets the base."""
    return _end(workspace, experiment_id, "", reason, actor, tenant)


def promote(
    workspace: Workspace,
    experiment_id: str,
    variant_id: str,
    reason: str,
    actor: str,
    tenant: str = "default",
) -> VariantExperiment:
    """End an experiment by hand: everybody meets this variant."""
    return _end(workspace, experiment_id, variant_id, reason, actor, tenant)


def _end(
    workspace: Workspace, experiment_id: str, winner: str, reason: str, actor: str, tenant: str
) -> VariantExperiment:
    if not reason.strip():
        raise ShouldFixArgument(f"reason={reason!r} is empty.", "Say why.")
    found = workspace.variants.experiment(experiment_id, tenant)
    if winner and winner not in {v.variant_id for v in found.variants}:
        raise ShouldFixArgument(
            f"Experiment {experiment_id} has no variant {winner!r}.",
            f"It has: {', '.join(v.variant_id for v in found.variants)}.",
        )
    ended = replace(found, state="promoted" if winner else "stopped", winner=winner, reason=reason)
    return workspace.variants.advance(ended, actor, reason)


def _seen(workspace: Workspace, experiment: VariantExperiment) -> VariantObservations:
    """People who met a variant, and what they judged of this persona from then on."""
    met = workspace.variants.exposures(experiment.experiment_id, experiment.tenant)
    names = {v.variant_id: index for index, v in enumerate(experiment.variants)}
    known = [each for each in met if each.variant_id in names]
    place = {each.user_id: index for index, each in enumerate(known)}
    total, count = np.zeros(len(known)), np.zeros(len(known), dtype=np.int64)
    personas = {experiment.variants[0].base_persona_id, *names}
    now = datetime.now(UTC)
    for feedback in workspace.feedback.analysis(experiment.started_at, now, experiment.tenant):
        index = place.get(feedback.user_id)
        if index is None or feedback.persona not in personas or feedback.status not in TEACHING:
            continue
        value = value_of(feedback)
        if value is not None and feedback.timestamp >= known[index].at:
            total[index] += value
            count[index] += 1
    variant = np.array([names[each.variant_id] for each in known], dtype=np.int64)
    return VariantObservations(variant, total, count)
