"""Argo Rollouts: an AnalysisTemplate per question, and a Rollout that asks before every weight.

The web metric provider reads the verdict. A measurement succeeds once the controller's own ramp has
come as far as the step's weight, fails on *rollback*, which aborts the rollout, and is inconclusive
otherwise; ``consecutiveSuccessLimit`` ends an analysis with its first success, and ``inconclusiveLimit``
lets it wait for as long as a trial may take. A second template watches in the background.
"""

from __future__ import annotations

import math

from everloop.contracts.episodes import Json
from everloop.rollout.manifests.terms import EngineTerms, Manifest

_ASKED_EVERY_MINUTES = 5
_ERRORS = 12
"""Measurements in a row that may find no service before an analysis errs: an hour."""


def argo_rollouts(terms: EngineTerms) -> tuple[Manifest, ...]:
    """The two AnalysisTemplates and the Rollout (``argoproj.io/v1alpha1``)."""
    reached, watch = f"{terms.name}-reached", f"{terms.name}-watch"
    return (
        _template(
            terms,
            reached,
            percent=True,
            success="result.decision == 'promote' || result.traffic_percent >= {{args.percent}}",
        ),
        _template(terms, watch, percent=False, success="result.decision != 'rollback'"),
        _rollout(terms, reached, watch),
    )


def _template(terms: EngineTerms, name: str, percent: bool, success: str) -> Manifest:
    token: dict[str, Json] = {
        "name": "token",
        "valueFrom": {"secretKeyRef": {"name": terms.secret, "key": "token"}},
    }
    most = math.ceil(terms.rollout.max_days * 24 * 60 / _ASKED_EVERY_MINUTES)
    metric: dict[str, Json] = {
        "name": "verdict",
        "interval": f"{_ASKED_EVERY_MINUTES}m",
        "successCondition": success,
        "failureCondition": "result.decision == 'rollback'",
        "failureLimit": 0,
        "consecutiveErrorLimit": _ERRORS,
        "provider": {
            "web": {
                "url": terms.verdict_url,
                "timeoutSeconds": 10,
                "headers": [{"key": "Authorization", "value": "Bearer {{args.token}}"}],
                "jsonPath": "{$}",
            }
        },
    }
    if percent:
        metric |= {"inconclusiveLimit": most, "consecutiveSuccessLimit": 1}
    asked: list[Json] = [{"name": "percent"}] if percent else []
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": terms.metadata(name),
        "spec": {"args": [*asked, token], "metrics": [metric]},
    }


def _rollout(terms: EngineTerms, reached: str, watch: str) -> Manifest:
    steps: list[Json] = []
    for weight in terms.weights:
        percent: Json = {"name": "percent", "value": str(weight)}
        steps.append({"analysis": {"templates": [{"templateName": reached}], "args": [percent]}})
        if weight < 100:
            steps.append({"setWeight": weight})
    labels: dict[str, Json] = {"app.kubernetes.io/name": terms.name}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Rollout",
        "metadata": terms.metadata(terms.name),
        "spec": {
            "replicas": terms.replicas,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [
                        {
                            "name": "everloop",
                            "image": terms.image,
                            "ports": [{"name": "http", "containerPort": terms.port}],
                        }
                    ]
                },
            },
            "strategy": {
                "canary": {
                    "analysis": {"templates": [{"templateName": watch}]},
                    "steps": steps,
                }
            },
        },
    }
