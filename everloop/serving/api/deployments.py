"""``/api/ml/deployments`` and ``/api/ml/rollouts``: manifests, their verdicts, and what a person may do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, TypeAdapter

from everloop.contracts.access import Caller, Scope
from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.rollouts import RolloutRecord
from everloop.rollout import by_hand
from everloop.rollout.places import TrialPlaces
from everloop.rollout.standing import rollout_of, standing_verdict
from everloop.serving.bodies import Body, ShortReason
from everloop.serving.models import trials
from everloop.serving.models.finding import deployment_of, refuse_foreign
from everloop.serving.openapi import body_of, problems
from everloop.serving.reading import read_body
from everloop.serving.service import Service, service_of

router = APIRouter(tags=["deployments"])

LARGEST_PAGE = 500
Action = Literal["pause", "resume", "promote", "rollback", "end"]
Doing = Callable[[LoopSpec, TrialPlaces, str, str, str, datetime, str], RolloutRecord]
_ACTIONS: Mapping[str, Doing] = {
    "approve": by_hand.approve,
    "pause": by_hand.pause,
    "resume": by_hand.resume,
    "promote": by_hand.promote,
    "rollback": by_hand.rollback,
    "end": by_hand.end,
}
DeploymentId = Annotated[str, Path(description="The deployment's id.")]
RolloutId = Annotated[str, Path(description="The rollout's id.")]


class RolloutBody(Body):
    """Why; kept with the event, so it must name nobody."""

    reason: ShortReason


BODIES = (RolloutBody,)
_BODY = TypeAdapter(RolloutBody)


class Deployments(BaseModel):
    """Deployments of the caller's tenant, newest first."""

    deployments: list[trials.DeploymentAnswer]


@router.get(
    "/api/ml/deployments",
    response_model=Deployments,
    responses=problems(404),
    summary="Deployments of a loop",
)
async def list_deployments(
    request: Request,
    loop: Annotated[str, Query(description="Of this loop.")],
    limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE, description="Deployments at most.")] = 50,
) -> Deployments:
    """Manifests with the gate's verdict, what was predicted and what the trial measured. Scope: read."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.READ)
    service.limits.admit(caller.tenant)
    name = service.loop(loop).name

    def read() -> Deployments:
        place = service.workspace
        head = place.deployments.head(name, caller.tenant)
        found = place.deployments.deployments(name, limit, caller.tenant)
        newest: dict[str, RolloutRecord] = {}
        for record in place.rollouts.rollouts(name, caller.tenant):
            known = newest.get(record.deployment_id)
            if known is None or (record.live and not known.live):
                newest[record.deployment_id] = record
        return Deployments(
            deployments=[
                trials.deployment_answer(each, head, newest.get(each.deployment_id))
                for each in found
            ]
        )

    return await run_in_threadpool(read)


@router.get(
    "/api/ml/deployments/{deployment_id}",
    response_model=trials.DeploymentAnswer,
    responses=problems(404),
    summary="A deployment",
)
async def read_deployment(request: Request, deployment_id: DeploymentId) -> trials.DeploymentAnswer:
    """What serves together, why it was let on trial, and what became of it. Scope: read."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.READ)
    service.limits.admit(caller.tenant)

    def read() -> trials.DeploymentAnswer:
        found = deployment_of(service.workspace, deployment_id, caller.tenant)
        head = service.workspace.deployments.head(found.loop, caller.tenant)
        return trials.deployment_answer(found, head, rollout_of(service.workspace, found))

    return await run_in_threadpool(read)


@router.get(
    "/api/ml/deployments/{deployment_id}/verdict",
    response_model=trials.VerdictAnswer,
    responses=problems(404),
    summary="The verdict on a deployment",
)
async def read_verdict(request: Request, deployment_id: DeploymentId) -> trials.VerdictAnswer:
    """Whether it goes on, waits, goes back or serves everybody, as known now; nothing is changed.

    What a traffic engine polls, such as the web metric provider of Argo Rollouts. Scope: read.
    """
    service = service_of(request)
    caller = await service.access.admit(request, Scope.READ)
    service.limits.admit(caller.tenant)

    def read() -> trials.VerdictAnswer:
        found = deployment_of(service.workspace, deployment_id, caller.tenant)
        spec = service.loop(found.loop)
        now = datetime.now(UTC)
        return trials.verdict_answer(
            standing_verdict(spec, service.workspace, found.deployment_id, now, caller.tenant)
        )

    return await run_in_threadpool(read)


@router.post(
    "/api/ml/rollouts/{rollout_id}/approve",
    response_model=trials.RolloutAnswer,
    responses=problems(404, 409),
    openapi_extra=body_of(RolloutBody),
    summary="Approve a start or a promotion",
)
async def approve_rollout(request: Request, rollout_id: RolloutId) -> trials.RolloutAnswer:
    """Agree to what waits for a person; the caller is who agrees. Scope: review."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.REVIEW)
    service.limits.admit(caller.tenant)
    body = await read_body(request, _BODY)
    return await run_in_threadpool(_do, service, caller, rollout_id, "approve", body.reason)


@router.post(
    "/api/ml/rollouts/{rollout_id}/{action}",
    response_model=trials.RolloutAnswer,
    responses=problems(404, 409),
    openapi_extra=body_of(RolloutBody),
    summary="Pause, resume, promote, roll back or end a trial",
)
async def change_rollout(
    request: Request,
    rollout_id: RolloutId,
    action: Annotated[Action, Path(description="What to do.")],
) -> trials.RolloutAnswer:
    """Every worker follows with its next decision. Scope: deploy.

    Promotion passes over statistics, and never over where a model was made, damaged files or what the gate
    held. A rollback is possible at any time, also of a promoted deployment: the one before returns.
    """
    service = service_of(request)
    caller = await service.access.admit(request, Scope.DEPLOY)
    service.limits.admit(caller.tenant)
    body = await read_body(request, _BODY)
    return await run_in_threadpool(_do, service, caller, rollout_id, action, body.reason)


def _do(
    service: Service, caller: Caller, rollout_id: str, action: str, reason: str
) -> trials.RolloutAnswer:
    place = service.workspace
    try:
        record = place.rollouts.rollout(rollout_id, caller.tenant)
    except ShouldNameKnownId:
        refuse_foreign(place, "rollout", rollout_id, caller.tenant)
        raise
    done = _ACTIONS[action](
        service.loop(record.loop),
        place,
        record.rollout_id,
        caller.actor,
        reason,
        datetime.now(UTC),
        caller.tenant,
    )
    return trials.rollout_answer(done)
