"""Requests about training and models."""

from __future__ import annotations

from datetime import date

from everloop.sdk.client.answers.learning import Job, Jobs
from everloop.sdk.client.answers.models import Deployment, Metrics, Models
from everloop.sdk.client.call import Call, body_of, params_of, path_of
from everloop.sdk.client.reading import read_as


def train(loop: str | None, day: date | None) -> Call[Job]:
    """``POST /api/ml/train``; the open job is answered where there is one."""
    route = "/api/ml/train"
    return Call("POST", route, route, read_as(Job), body=body_of({"loop": loop, "date": day}))


def training_job(job_id: str) -> Call[Job]:
    """``GET /api/ml/train/{job_id}``."""
    route = "/api/ml/train/{job_id}"
    return Call("GET", route, path_of(route, job_id=job_id), read_as(Job))


def training_jobs(loop: str | None, limit: int) -> Call[Jobs]:
    """``GET /api/ml/train``."""
    route = "/api/ml/train"
    return Call("GET", route, route, read_as(Jobs), params_of(loop=loop, limit=limit))


def models(loop: str | None, model_type: str | None) -> Call[Models]:
    """``GET /api/ml/models``."""
    route = "/api/ml/models"
    asked = params_of(loop=loop, type=model_type)
    return Call("GET", route, route, read_as(Models), asked)


def deploy(checkpoint_id: str, reason: str, expected_generation: int | None) -> Call[Deployment]:
    """``POST /api/ml/deploy/{checkpoint_id}``.

    With an expected generation, a request whose answer was lost would meet the generation that it made.
    """
    route = "/api/ml/deploy/{checkpoint_id}"
    return Call(
        "POST",
        route,
        path_of(route, checkpoint_id=checkpoint_id),
        read_as(Deployment),
        body=body_of({"reason": reason, "expected_generation": expected_generation}),
        repeatable=expected_generation is None,
    )


def metrics(model_id: str) -> Call[Metrics]:
    """``GET /api/ml/metrics/{model_id}``."""
    route = "/api/ml/metrics/{model_id}"
    return Call("GET", route, path_of(route, model_id=model_id), read_as(Metrics))
