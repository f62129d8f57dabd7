"""``/api/ml/variants``: personas and prompts on trial."""

from __future__ import annotations

import math
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, Field, TypeAdapter

from everloop.contracts.access import Scope
from everloop.contracts.errors import ShouldNameKnownId
from everloop.contracts.evaluation import Estimate
from everloop.contracts.rollouts import SampleRatio
from everloop.contracts.variants import PersonaVariant, VariantExperiment
from everloop.rollout.variants.winner import VariantVerdict
from everloop.sdk import variants
from everloop.serving.bodies import Body, Person, Reason, Word
from everloop.serving.consents import SERVE
from everloop.serving.models.finding import refuse_foreign
from everloop.serving.openapi import body_of, problems
from everloop.serving.reading import read_body
from everloop.serving.service import Service, service_of

router = APIRouter(tags=["variants"])


class VariantBody(Body):
    """What a variant changes of the base persona, and its share of people in percent."""

    variant_id: Word
    modifications: dict[str, Any]
    traffic_percentage: Annotated[float, Field(gt=0, lt=100)]


class ExperimentBody(Body):
    """A trial of variants of one persona or prompt; the base gets the share that they leave."""

    base_persona_id: Word
    variants: Annotated[list[VariantBody], Field(min_length=1, max_length=20)]
    loop: Word | None = None
    subject: Literal["persona", "prompt"] = "persona"
    experiment_id: Word | None = None
    """A UUID made once, so that the request may be repeated; made by the service when left out."""
    alpha: Annotated[float, Field(gt=0, lt=0.5)] = 0.05
    min_people: Annotated[int, Field(ge=2, le=10_000_000)] = 100
    max_days: Annotated[int, Field(ge=1, le=3650)] = 28
    """After so many days without a winner the trial stops as undecided."""


class AssignBody(Body):
    user_id: Person


class EndBody(Body):
    """``winner`` left out: everybody meets the base."""

    reason: Reason
    winner: Word | None = None


BODIES = (ExperimentBody, AssignBody, EndBody)
_CREATE, _ASSIGN, _END = TypeAdapter(ExperimentBody), TypeAdapter(AssignBody), TypeAdapter(EndBody)


class Figure(BaseModel):
    """An estimate; bounds are null where nothing is known."""

    value: float | None
    low: float | None
    high: float | None
    confidence: float
    people: int
    method: str


class VariantRow(BaseModel):
    """A variant with what people's feedback says of it."""

    base_persona_id: str
    variant_id: str
    modifications: dict[str, Any]
    traffic_percentage: float
    people: int
    feedback: int
    rating: Figure | None
    difference: Figure | None
    """To the base; holds however often it is looked at."""
    response: Figure | None = None
    """Share of the people who met it who judged anything."""
    response_difference: Figure | None = None
    """To the base's; holds however often it is looked at, and keeps a variant from being promoted."""


class SharesMet(BaseModel):
    """Whether people met the variants in the shares asked for, by variant."""

    expected: dict[str, float]
    observed: dict[str, int]
    mismatch: bool


class ExperimentRow(BaseModel):
    """An experiment; the first variant is the base."""

    experiment_id: str
    loop: str
    subject: str
    state: str
    winner: str
    reason: str
    generation: int
    alpha: float
    min_people: int
    started_at: datetime
    variants: list[VariantRow]
    verdict: str | None = None
    """What the figures say now; null in lists."""
    max_days: int = 28
    sample_ratio: SharesMet | None = None
    """Null in lists."""


class Experiments(BaseModel):
    experiments: list[ExperimentRow]


class Assigned(BaseModel):
    """Whom a person meets."""

    experiment_id: str
    variant_id: str
    base_persona_id: str
    modifications: dict[str, Any]
    state: str


@router.post(
    "/api/ml/variants",
    status_code=201,
    response_model=ExperimentRow,
    responses=problems(404, 409),
    openapi_extra=body_of(ExperimentBody),
    summary="Try variants of a persona",
)
async def create(request: Request) -> ExperimentRow:
    """Start a trial; at most one runs per persona. Scope: deploy."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.DEPLOY)
    service.limits.admit(caller.tenant)
    body = await read_body(request, _CREATE)
    loop = service.loop(body.loop).name

    def made() -> VariantExperiment:
        if body.experiment_id is not None:
            refuse_foreign(service.workspace, "experiment", body.experiment_id, caller.tenant)
        return variants.start(
            service.workspace,
            loop,
            body.base_persona_id,
            {v.variant_id: v.modifications for v in body.variants},
            shares={v.variant_id: v.traffic_percentage for v in body.variants},
            subject=body.subject,
            alpha=body.alpha,
            min_people=body.min_people,
            max_days=body.max_days,
            actor=caller.actor,
            tenant=caller.tenant,
            experiment_id=body.experiment_id or "",
        )

    return _row(await run_in_threadpool(made))


@router.get(
    "/api/ml/variants",
    response_model=Experiments,
    responses=problems(404),
    summary="Trials of variants",
)
async def list_experiments(
    request: Request,
    loop: Annotated[str | None, Query(description="Of this loop alone.")] = None,
) -> Experiments:
    """Experiments of the caller's tenant, newest first. Scope: read."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.READ)
    service.limits.admit(caller.tenant)
    name = None if loop is None else service.loop(loop).name
    found = await run_in_threadpool(service.workspace.variants.experiments, name, caller.tenant)
    return Experiments(experiments=[_row(each) for each in found])


@router.get(
    "/api/ml/variants/{experiment_id}",
    response_model=ExperimentRow,
    responses=problems(404),
    summary="What feedback says of variants",
)
async def read_experiment(request: Request, experiment_id: str) -> ExperimentRow:
    """The experiment with its figures and what they decide; reading changes nothing. Scope: read."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.READ)
    service.limits.admit(caller.tenant)
    found, verdict = await run_in_threadpool(
        _of_tenant, service, experiment_id, caller.tenant, variants.judged
    )
    return _row(found, verdict)


@router.post(
    "/api/ml/variants/{experiment_id}/assignment",
    response_model=Assigned,
    responses=problems(404),
    openapi_extra=body_of(AssignBody),
    summary="Which variant does a person meet?",
)
async def assign(request: Request, experiment_id: str) -> Assigned:
    """The person's variant, which stays theirs while the trial runs; the meeting is noted.
    Scope: decide."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.DECIDE)
    service.limits.admit(caller.tenant)
    body = await read_body(request, _ASSIGN)
    person = service.workspace.pseudonyms.of(body.user_id, caller.tenant)
    service.consents.require(caller.tenant, person, SERVE)

    def meet(workspace: Any, wanted: str, tenant: str) -> tuple[VariantExperiment, PersonaVariant]:
        experiment = workspace.variants.experiment(wanted, tenant)
        return experiment, variants.assigned(workspace, experiment, person)

    experiment, met = await run_in_threadpool(
        _of_tenant, service, experiment_id, caller.tenant, meet
    )
    return Assigned(
        experiment_id=experiment.experiment_id,
        variant_id=met.variant_id,
        base_persona_id=met.base_persona_id,
        modifications=dict(met.modifications),
        state=experiment.state,
    )


@router.post(
    "/api/ml/variants/{experiment_id}/end",
    response_model=ExperimentRow,
    responses=problems(404, 409),
    openapi_extra=body_of(EndBody),
    summary="End a trial of variants",
)
async def end(request: Request, experiment_id: str) -> ExperimentRow:
    """Everybody meets the winner that is named, or the base. Scope: deploy."""
    service = service_of(request)
    caller = await service.access.admit(request, Scope.DEPLOY)
    service.limits.admit(caller.tenant)
    body = await read_body(request, _END)

    def done(workspace: Any, wanted: str, tenant: str) -> VariantExperiment:
        if body.winner is None:
            return variants.stop(workspace, wanted, body.reason, caller.actor, tenant)
        return variants.promote(workspace, wanted, body.winner, body.reason, caller.actor, tenant)

    return _row(await run_in_threadpool(_of_tenant, service, experiment_id, caller.tenant, done))


def _of_tenant(service: Service, experiment_id: str, tenant: str, asked: Any) -> Any:
    try:
        return asked(service.workspace, experiment_id, tenant)
    except ShouldNameKnownId:
        refuse_foreign(service.workspace, "experiment", experiment_id, tenant)
        raise


def _row(experiment: VariantExperiment, verdict: VariantVerdict | None = None) -> ExperimentRow:
    return ExperimentRow(
        experiment_id=experiment.experiment_id,
        loop=experiment.loop,
        subject=experiment.subject,
        state=experiment.state,
        winner=experiment.winner,
        reason=experiment.reason,
        generation=experiment.generation,
        alpha=experiment.alpha,
        min_people=experiment.min_people,
        started_at=experiment.started_at,
        variants=[_variant(each) for each in experiment.variants],
        verdict=None if verdict is None else verdict.reason,
        max_days=experiment.max_days,
        sample_ratio=None if verdict is None else _shares(verdict.ratio),
    )


def _shares(ratio: SampleRatio | None) -> SharesMet | None:
    if ratio is None:
        return None
    return SharesMet(
        expected=dict(ratio.expected), observed=dict(ratio.observed), mismatch=ratio.mismatch
    )


def _variant(variant: PersonaVariant) -> VariantRow:
    return VariantRow(
        base_persona_id=variant.base_persona_id,
        variant_id=variant.variant_id,
        modifications=dict(variant.modifications),
        traffic_percentage=variant.traffic_percentage,
        people=variant.metrics.people,
        feedback=variant.metrics.feedback,
        rating=_figure(variant.metrics.rating),
        difference=_figure(variant.metrics.difference),
        response=_figure(variant.metrics.response),
        response_difference=_figure(variant.metrics.response_difference),
    )


def _figure(found: Estimate | None) -> Figure | None:
    if found is None:
        return None
    low, value, high = (
        x if math.isfinite(x) else None for x in (found.low, found.value, found.high)
    )
    return Figure(
        value=value,
        low=low,
        high=high,
        confidence=found.confidence,
        people=found.clusters,
        method=found.method,
    )
