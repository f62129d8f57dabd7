"""Webhooks of traffic engines that understand status codes alone: may the canary go on?

Flagger posts what it is about to do and takes 200 for yes. It sends no headers, so that its key travels in
the metadata of the hook, as the manifests of ``everloop rollout manifests`` write it. It does not say which
weight is next either: the manifest's weights end at the traffic that the trial has, and a yes allows those.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, TypeAdapter

from everloop.contracts.access import Scope
from everloop.contracts.errors import ShouldResolveConflict
from everloop.contracts.evaluation import Decision
from everloop.rollout.standing import StandingVerdict, standing_verdict
from everloop.serving.models import trials
from everloop.serving.models.finding import deployment_of
from everloop.serving.openapi import body_of, problems
from everloop.serving.reading import read_body
from everloop.serving.service import service_of

router = APIRouter(tags=["deployments"])

Hook = Literal["confirm-rollout", "confirm-traffic-increase", "confirm-promotion", "rollback"]
_YES: Mapping[str, frozenset[Decision]] = {
    "confirm-rollout": frozenset({Decision.CONTINUE, Decision.PROMOTE}),
    "confirm-traffic-increase": frozenset({Decision.CONTINUE, Decision.PROMOTE}),
    "confirm-promotion": frozenset({Decision.PROMOTE}),
    "rollback": frozenset({Decision.ROLLBACK}),
}
"""Which decisions a hook is answered yes for."""
_NEEDS_TRAFFIC = ("confirm-rollout", "confirm-traffic-increase")
"""Hooks that are answered no while nobody meets the candidate, in shadow above all."""


class HookMetadata(BaseModel):
    """What the manifest gave the hook; ``key`` is an API key with the scope read."""

    key: Annotated[str, Field(max_length=500)] = ""


class HookBody(BaseModel):
    """Flagger's payload; what it says of the canary decides nothing."""

    name: Annotated[str, Field(max_length=500)] = ""
    namespace: Annotated[str, Field(max_length=500)] = ""
    phase: Annotated[str, Field(max_length=100)] = ""
    checksum: Annotated[str, Field(max_length=500)] = ""
    metadata: HookMetadata = HookMetadata()


BODIES: tuple[type[BaseModel], ...] = (HookBody,)
_HOOK: TypeAdapter[Any] = TypeAdapter(HookBody)
HOOK_BYTES = 16 * 1024
"""Bytes that are read before the caller is known: the credential is among them."""


@router.post(
    "/api/ml/deployments/{deployment_id}/verdict/flagger/{hook}",
    response_model=trials.VerdictAnswer,
    responses=problems(404, 409),
    openapi_extra=body_of(HookBody),
    summary="Flagger asks whether the canary may go on",
)
async def ask(
    request: Request,
    deployment_id: Annotated[str, Path(description="The deployment's id.")],
    hook: Annotated[Hook, Path(description="What Flagger is about to do.")],
) -> trials.VerdictAnswer:
    """200 where the verdict on the deployment allows it, 409 with the reasons where it does not: a
    rollback's 200 makes Flagger go back. Nothing is changed. Scope: read."""
    service = service_of(request)
    body: HookBody = await read_body(request, _HOOK, HOOK_BYTES)
    caller = await service.access.admit_key(request, body.metadata.key, Scope.READ)
    service.limits.admit(caller.tenant)

    def read() -> StandingVerdict:
        found = deployment_of(service.workspace, deployment_id, caller.tenant)
        spec, now = service.loop(found.loop), datetime.now(UTC)
        return standing_verdict(spec, service.workspace, deployment_id, now, caller.tenant)

    found = await run_in_threadpool(read)
    if found.decision not in _YES[hook]:
        raise ShouldResolveConflict(
            f"The verdict is {found.decision}: {' '.join(found.reasons)}", "Wait."
        )
    if hook in _NEEDS_TRAFFIC and found.traffic_percent <= 0.0:
        raise ShouldResolveConflict(
            f"Nobody meets the candidate yet: it is {found.state} at 0 %.",
            "Wait for its first step.",
        )
    return trials.verdict_answer(found)
