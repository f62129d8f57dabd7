"""Requests about deployments and trials."""

from __future__ import annotations

from everloop.sdk.client.answers.trials import (
    Manifest,
    Manifests,
    Rollout,
    RolloutAction,
    TrialVerdict,
)
from everloop.sdk.client.call import Call, body_of, params_of, path_of
from everloop.sdk.client.reading import read_as


def deployments(loop: str, limit: int) -> Call[Manifests]:
    """``GET /api/ml/deployments``."""
    route = "/api/ml/deployments"
    return Call("GET", route, route, read_as(Manifests), params_of(loop=loop, limit=limit))


def deployment(deployment_id: str) -> Call[Manifest]:
    """``GET /api/ml/deployments/{deployment_id}``."""
    route = "/api/ml/deployments/{deployment_id}"
    return Call("GET", route, path_of(route, deployment_id=deployment_id), read_as(Manifest))


def verdict(deployment_id: str) -> Call[TrialVerdict]:
    """``GET /api/ml/deployments/{deployment_id}/verdict``."""
    route = "/api/ml/deployments/{deployment_id}/verdict"
    return Call("GET", route, path_of(route, deployment_id=deployment_id), read_as(TrialVerdict))


def approve_rollout(rollout_id: str, reason: str) -> Call[Rollout]:
    """``POST /api/ml/rollouts/{rollout_id}/approve``; a lost answer may have begun it: not repeated."""
    route = "/api/ml/rollouts/{rollout_id}/approve"
    return Call(
        "POST",
        route,
        path_of(route, rollout_id=rollout_id),
        read_as(Rollout),
        body=body_of({"reason": reason}),
        repeatable=False,
    )


def change_rollout(rollout_id: str, action: RolloutAction, reason: str) -> Call[Rollout]:
    """``POST /api/ml/rollouts/{rollout_id}/{action}``."""
    route = "/api/ml/rollouts/{rollout_id}/{action}"
    return Call(
        "POST",
        route,
        path_of(route, rollout_id=rollout_id, action=action),
        read_as(Rollout),
        body=body_of({"reason": reason}),
        repeatable=False,
    )
