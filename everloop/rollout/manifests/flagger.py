"""Flagger: a Canary whose webhooks ask for the verdict.

Flagger takes a status code: 200 goes on, anything else waits, and a ``rollback`` hook that is answered
with 200 ends the canary. It sends no headers, so the credential travels in the hook's metadata: the file
holds the placeholder ``${EVERLOOP_READ_KEY}``, which whoever applies it fills in with a key of scope read
(``envsubst``, kustomize); no secret is written.
"""

from __future__ import annotations

import math

from everloop.contracts.episodes import Json
from everloop.rollout.manifests.terms import EngineTerms, Manifest

KEY_PLACEHOLDER = "${EVERLOOP_READ_KEY}"
_HOOKS = ("confirm-rollout", "confirm-traffic-increase", "confirm-promotion", "rollback")
_FAILED_CHECKS = 10


def flagger(terms: EngineTerms) -> tuple[Manifest, ...]:
    """The Canary (``flagger.app/v1beta1``) of the Deployment that has the terms' name."""
    weights: list[Json] = list(terms.weights)
    hooks: list[Json] = [
        {
            "name": f"everloop-{kind}",
            "type": kind,
            "url": f"{terms.verdict_url}/flagger/{kind}",
            "timeout": "10s",
            "metadata": {"key": KEY_PLACEHOLDER},
        }
        for kind in _HOOKS
    ]
    return (
        {
            "apiVersion": "flagger.app/v1beta1",
            "kind": "Canary",
            "metadata": terms.metadata(terms.name),
            "spec": {
                "targetRef": {
                    "apiVersion": "apps/v1",
                    "kind": "Deployment",
                    "name": terms.name,
                },
                "service": {"port": terms.port},
                "analysis": {
                    "interval": f"{_interval_minutes(terms)}m",
                    "threshold": _FAILED_CHECKS,
                    "stepWeights": weights,
                    "webhooks": hooks,
                },
            },
        },
    )


def _interval_minutes(terms: EngineTerms) -> int:
    """The shortest stay at a step: Flagger may raise the weight once in each interval."""
    return max(1, math.ceil(min(terms.rollout.dwell_hours) * 60))
