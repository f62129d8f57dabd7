"""``/api/ml/models``, ``deploy`` and ``metrics``: which models there are, and which one serves."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, TypeAdapter

from everloop.contracts.access import Scope
from everloop.contracts.models import ModelType
from everloop.serving import bodies
from everloop.serving.models import shown
from everloop.serving.models.deploying import Deployment, deploy
from everloop.serving.models.figures import figures_of
from everloop.serving.models.finding import model_of
from everloop.serving.models.listing import models_of
from everloop.serving.openapi import body_of, problems
from everloop.serving.reading import read_body
from everloop.serving.service import Service, service_of

router = APIRouter(tags=["models"])


class Models(BaseModel):
    """Registered checkpoints of the caller's tenant, newest first within a loop."""

    models: list[shown.Model]


class DeployBody(bodies.Body):
    """Why, and from which state."""

    reason: bodies.Reason
    """Goes into the deployment log."""
    expected_generation: Annotated[bodies.Whole, Field(ge=0, le=2**63 - 1)] | None = None
    """Generation of the last deployment that the decision was made at; another one is a conflict."""


BODIES = (DeployBody,)
_DEPLOY = TypeAdapter(DeployBody)


class Deployed(BaseModel):
    """What serves from now on."""

    checkpoint_id: str
    loop: str
    version: str
    """What decisions carry as ``model_version``."""
    generation: int
    previous: str | None
    """The checkpoint that served before."""
    ended_rollout: str | None
    """The trial of this model, which ended: it serves everybody now."""


@router.get(
    "/api/ml/models",
    response_model=Models,
    responses=problems(404),
    summary="Registered models",
)
async def list_models(
    request: Request,
    loop: Annotated[str | None, Query(description="Of this loop alone.")] = None,
    kind: Annotated[
        ModelType | None, Query(alias="type", description="Of this kind alone.")
    ] = None,
) -> Models:
    """Every model of the caller's tenant with its verdict, its figures and its lineage. Scope: read."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.READ)
    service.limits.admit(caller.tenant)
    loops = tuple(service.loops) if loop is None else (service.loop(loop).name,)
    found = await run_in_threadpool(models_of, service.workspace, loops, caller.tenant, kind)
    return Models(models=found)


@router.post(
    "/api/ml/deploy/{checkpoint_id}",
    response_model=Deployed,
    responses=problems(404, 409),
    openapi_extra=body_of(DeployBody),
    summary="Deploy a model",
)
async def deploy_model(request: Request, checkpoint_id: str) -> Deployed:
    """Make a model what serves its loop; decisions follow within seconds, none is dropped. Scope: deploy.

    Refused for a model that the gate held, that was trained on the raw log, or whose files are damaged.
    Its trial, if it is on one, ends.
    """
    service = service_of(request)
    caller = await service.access.admit(request, Scope.DEPLOY)
    service.limits.admit(caller.tenant)
    body = await read_body(request, _DEPLOY)
    made = await run_in_threadpool(
        _deployed, service, checkpoint_id, caller.tenant, caller.actor, body
    )
    return Deployed(
        checkpoint_id=made.checkpoint_id,
        loop=made.loop,
        version=made.version,
        generation=made.generation,
        previous=made.previous,
        ended_rollout=made.ended_rollout.rollout_id if made.ended_rollout else None,
    )


@router.get(
    "/api/ml/metrics/{model_id}",
    response_model=shown.Metrics,
    responses=problems(404),
    summary="What was measured of a model",
)
async def model_metrics(request: Request, model_id: str) -> shown.Metrics:
    """A model's own figures, by checkpoint id or by the version that decisions carry. Scope: read.

    The evaluation, the verdict and its reasons are those of the run that made the model.
    """
    service = service_of(request)
    caller = await service.access.admit(request, Scope.READ)
    service.limits.admit(caller.tenant)
    return await run_in_threadpool(_metrics, service, model_id, caller.tenant)


def _deployed(
    service: Service, checkpoint_id: str, tenant: str, actor: str, body: DeployBody
) -> Deployment:
    return deploy(
        service.workspace, checkpoint_id, tenant, body.reason, actor, body.expected_generation
    )


def _metrics(service: Service, model_id: str, tenant: str) -> shown.Metrics:
    checkpoint = model_of(service.workspace, model_id, tenant, service.loops)
    return shown.metrics(figures_of(service.workspace, checkpoint))
