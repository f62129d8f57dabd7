"""Flagger: a Canary whose weights end at the traffic that the trial has now, and whose webhooks ask.

A webhook is not told which weight is next, so it could not keep Flagger behind the trial. The weights do:
those of the ramp up to the trial's traffic; none while it has too little, so that Flagger stays at 0. At
the last one Flagger waits for ``confirm-promotion``, and goes on once ``everloop rollout manifests``, run
after every step, has written the next. Between two runs it is behind the trial, never ahead of it.

Flagger takes a status code: 200 goes on, anything else waits, and a ``rollback`` hook that is answered
with 200 ends the canary. It sends no headers, so the credential travels in the hook's metadata: the file
holds the placeholder ``${EVERLOOP_READ_KEY}``, which whoever applies it fills in with a key of scope read
(``envsubst``, kustomize); no secret is written.
"""

from __future__ import annotations

from everloop.contracts.episodes import Json
from everloop.rollout.manifests.terms import EngineTerms, Manifest

KEY_PLACEHOLDER = "${EVERLOOP_READ_KEY}"
_HOOKS = ("confirm-rollout", "confirm-traffic-increase", "confirm-promotion", "rollback")
_FAILED_CHECKS = 10
_ASKED_EVERY_MINUTES = 5


def flagger(terms: EngineTerms) -> tuple[Manifest, ...]:
    """The Canary (``flagger.app/v1beta1``) of the Deployment that has the terms' name."""
    weights: list[Json] = [w for w in terms.weights if w <= terms.traffic_percent]
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
                    "interval": f"{_ASKED_EVERY_MINUTES}m",
                    "threshold": _FAILED_CHECKS,
                    "stepWeights": weights,
                    "webhooks": hooks,
                },
            },
        },
    )
