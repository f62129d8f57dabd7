"""Manifests from registered checkpoints: what a candidate would serve with, and what serves now."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.evaluation import Estimate, Verdict
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance
from everloop.contracts.ports import Registry
from everloop.contracts.rollouts import (
    VOICE_ROLES,
    Artefact,
    Deployment,
    Head,
    deployment_id_of,
    part_of,
    role_of,
)
from everloop.registry.loading import active_alias

_MADE_FROM = (
    "dataset",
    "user_model_release",
    "loop_spec",
    "code",
    "encoder",
    "seed",
    "logical_date",
)
"""Lineage that the models of one night share."""


def role_of_kind(kind: ModelType) -> str:
    """The role in which models of a kind serve.

    Raises:
        ShouldFixArgument: none does.
    """
    role = role_of(active_alias(kind))
    if role is None:
        raise ShouldFixArgument(f"Models of kind {kind.value!r} serve in no role.")
    return role


def artefact_of(checkpoint: ModelCheckpoint, role: str = "") -> Artefact:
    """A checkpoint as a part of a manifest, in the role of its kind where none is named."""
    return part_of(checkpoint, role or role_of_kind(checkpoint.model_type))


def manifest_of(
    checkpoints: Sequence[ModelCheckpoint],
    made_at: datetime,
    kept: Iterable[Artefact] = (),
    verdict: Verdict | None = None,
    predicted: Estimate | None = None,
    baseline: Estimate | None = None,
    run_id: str = "",
) -> Deployment:
    """The manifest of some checkpoints, and of what serves on beside them.

    Args:
        checkpoints: one or more of one loop and tenant, each in a role of its own.
        kept: parts that serve already; those whose role one of the checkpoints takes are replaced.
        verdict, predicted, baseline, run_id: see ``Deployment``.

    Raises:
        ShouldFixArgument: there is no checkpoint, they belong to several loops or tenants, or two of them
            would serve in one role.
    """
    owners = {(checkpoint.loop, checkpoint.tenant) for checkpoint in checkpoints}
    if len(owners) != 1:
        raise ShouldFixArgument(
            f"Checkpoints of {sorted(owners)} make no deployment.",
            "Name one or more of one loop and tenant.",
        )
    ((loop, tenant),) = owners
    parts = [artefact_of(checkpoint) for checkpoint in checkpoints]
    taken = {part.role for part in parts}
    parts += [part for part in kept if part.role not in taken]
    artefacts = tuple(sorted(parts, key=lambda part: part.role))
    return Deployment(
        deployment_id=deployment_id_of(loop, tenant, artefacts),
        loop=loop,
        artefacts=artefacts,
        made_at=made_at,
        tenant=tenant,
        verdict=verdict,
        predicted=predicted,
        baseline=baseline,
        run_id=run_id,
    )


def candidate_of(
    policy: ModelCheckpoint,
    registry: Registry,
    serving: Deployment | None,
    made_at: datetime,
    verdict: Verdict | None = None,
    predicted: Estimate | None = None,
    baseline: Estimate | None = None,
    run_id: str = "",
) -> Deployment:
    """What would serve with a night's policy: its own heads that may, and for every other role what serves
    now, where that reads states as the policy does or, as a voice, reads none.

    Args:
        policy: the registered candidate.
        serving: what serves now; ``None`` where nothing does.
        verdict, predicted, baseline, run_id: see ``Deployment``.
    """
    encoder = policy.lineage.get("encoder", "")
    kept = () if serving is None else serving.artefacts
    return manifest_of(
        (policy, *heads_of(policy, registry)),
        made_at,
        [part for part in kept if part.role in VOICE_ROLES or part.encoder in ("", encoder)],
        verdict,
        predicted,
        baseline,
        run_id,
    )


def voice_candidate_of(
    adapter: ModelCheckpoint | None,
    prompt: ModelCheckpoint | None,
    serving: Deployment | None,
    made_at: datetime,
    verdict: Verdict | None = None,
    predicted: Estimate | None = None,
    baseline: Estimate | None = None,
    run_id: str = "",
) -> Deployment:
    """What would serve with a voice: its adapter and its prompt, and everything else that serves now.

    Args:
        adapter, prompt: registered checkpoints of these kinds; ``None``: what serves in the role goes on.
        serving: what serves now; ``None`` where nothing does.
        verdict, predicted, baseline, run_id: see ``Deployment``.

    Raises:
        ShouldFixArgument: both are ``None``, one is of another kind, or they belong to several loops or
            tenants.
    """
    kinds = ((adapter, ModelType.ADAPTER), (prompt, ModelType.PROMPT))
    for given, kind in kinds:
        if given is not None and given.model_type is not kind:
            raise ShouldFixArgument(
                f"Checkpoint {given.checkpoint_id} is of kind {given.model_type.value!r}, not "
                f"{kind.value!r}.",
                "Name an adapter and a prompt.",
            )
    given_ones = tuple(given for given, _ in kinds if given is not None)
    kept = () if serving is None else serving.artefacts
    return manifest_of(given_ones, made_at, kept, verdict, predicted, baseline, run_id)


def heads_of(policy: ModelCheckpoint, registry: Registry) -> tuple[ModelCheckpoint, ...]:
    """The models that were made in the policy's night and may serve beside it, one of each kind at most:
    where a night was judged again, the newest judgement counts."""
    night = [policy.lineage.get(name) for name in _MADE_FROM]
    newest: dict[ModelType, ModelCheckpoint] = {}
    for checkpoint in registry.checkpoints(policy.loop, policy.tenant):
        if [checkpoint.lineage.get(name) for name in _MADE_FROM] == night:
            newest.setdefault(checkpoint.model_type, checkpoint)
    return tuple(
        head
        for kind, head in newest.items()
        if kind not in (policy.model_type, ModelType.ADAPTER, ModelType.PROMPT)
        and head.verdict == "continue"
        and head.provenance is Provenance.PRIVATE_RELEASE
    )


def manifest_of_head(head: Head, registry: Registry, made_at: datetime) -> Deployment | None:
    """What serves, as a manifest; ``None`` where nothing does.

    Raises:
        ShouldRestoreArtefact: the registry has lost a checkpoint that should serve.
    """
    artefacts = tuple(
        artefact_of(registry.checkpoint(serves.checkpoint_id), role)
        for role, serves in sorted(head.serves.items())
        if serves.checkpoint_id is not None
    )
    if not artefacts:
        return None
    return Deployment(
        deployment_id=deployment_id_of(head.loop, head.tenant, artefacts),
        loop=head.loop,
        artefacts=artefacts,
        made_at=made_at,
        tenant=head.tenant,
    )
