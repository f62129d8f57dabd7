"""Whether a deployment may serve everybody, whatever a trial found."""

from __future__ import annotations

from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.evaluation import Decision
from everloop.contracts.models import ModelCheckpoint
from everloop.contracts.rollouts import POLICY, VOICE_ROLES, may_serve
from everloop.rollout.places import TrialPlaces
from everloop.rollout.start import with_approval
from everloop.rollout.subject import subject_of


def problems_of(
    places: TrialPlaces, deployment_id: str, tenant: str, gated: bool = True
) -> tuple[str, ...]:
    """Why a manifest must not serve, in sentences: where it was made, its files, the gate's answer.

    Args:
        gated: whether the gate must have let it pass, by itself or with a person's approval; what served
            before may serve again without.
    """
    deployment = places.deployments.deployment(deployment_id, tenant)
    subject_of(deployment, places.deployments.head(deployment.loop, tenant))
    found: list[str] = []
    for artefact in deployment.artefacts:
        try:
            row = places.registry.checkpoint(artefact.artefact_id)
            _read_all(places, row)
        except ShouldRestoreArtefact as problem:
            found.append(f"{artefact.role} cannot be read: {problem.message}")
            continue
        if not may_serve(row.provenance, artefact.role):
            found.append(
                f"{artefact.role} {artefact.artefact_id} has provenance {row.provenance.value!r}: it "
                "may not leave the trust boundary."
            )
        by_hand = deployment.verdict is None and row.verdict == "hold"
        if gated and artefact.role in (POLICY, *VOICE_ROLES) and by_hand:
            found.append(f"{artefact.role} {artefact.artefact_id} was held by the gate.")
    verdict = None if deployment.verdict is None else with_approval(places, deployment)
    if gated and verdict is not None and verdict.decision is not Decision.CONTINUE:
        found.append(f"The gate held it: {' '.join(verdict.reasons)}".strip())
    return tuple(found)


def _read_all(places: TrialPlaces, row: ModelCheckpoint) -> None:
    """Verify every file's checksum; blobs are addressed by content, so addresses differ in it alone."""
    places.blobs.fetch(row.weights_url, row.weights_sha256)
    prefix = row.weights_url.removesuffix(row.weights_sha256)
    for sha256 in row.files.values():
        places.blobs.fetch(prefix + sha256, sha256)
