"""Requests about trials of personas and prompts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from everloop.sdk.client.answers.variants import MetVariant, VariantTrial, VariantTrials
from everloop.sdk.client.call import Call, body_of, params_of, path_of
from everloop.sdk.client.reading import read_as

_ALL = "/api/ml/variants"
_ONE = "/api/ml/variants/{experiment_id}"


def start_trial(body: Mapping[str, Any]) -> Call[VariantTrial]:
    """``POST /api/ml/variants``; the body names the experiment, so that it may be repeated."""
    return Call("POST", _ALL, _ALL, read_as(VariantTrial), body=body_of(dict(body)))


def trials(loop: str | None) -> Call[VariantTrials]:
    """``GET /api/ml/variants``."""
    return Call("GET", _ALL, _ALL, read_as(VariantTrials), params_of(loop=loop))


def trial(experiment_id: str) -> Call[VariantTrial]:
    """``GET /api/ml/variants/{experiment_id}``."""
    path = path_of(_ONE, experiment_id=experiment_id)
    return Call("GET", _ONE, path, read_as(VariantTrial))


def meet(experiment_id: str, user_id: str) -> Call[MetVariant]:
    """``POST /api/ml/variants/{experiment_id}/assignment``; a person keeps the variant met first."""
    route = f"{_ONE}/assignment"
    path = path_of(route, experiment_id=experiment_id)
    return Call("POST", route, path, read_as(MetVariant), body=body_of({"user_id": user_id}))


def end_trial(experiment_id: str, reason: str, winner: str | None) -> Call[VariantTrial]:
    """``POST /api/ml/variants/{experiment_id}/end``."""
    route = f"{_ONE}/end"
    path = path_of(route, experiment_id=experiment_id)
    body = body_of({"reason": reason, "winner": winner})
    return Call("POST", route, path, read_as(VariantTrial), body=body)
