"""KServe: an InferenceService whose canary gets the share of traffic that the trial has now.

KServe keeps the revision before as long as ``canaryTrafficPercent`` is below 100, and gives it everything
back when it is 0: ``everloop rollout manifests`` is run after every step, or by the watch job.
"""

from __future__ import annotations

import math

from everloop.contracts.errors import ShouldFixArgument
from everloop.contracts.rollouts import POLICY
from everloop.rollout.manifests.terms import EngineTerms, Manifest


def kserve(terms: EngineTerms) -> tuple[Manifest, ...]:
    """The InferenceService (``serving.kserve.io/v1beta1``) of the deployment's policy.

    Raises:
        ShouldFixArgument: there is no ``storage_uri``, or no policy among the artefacts.
    """
    if not terms.storage_uri:
        raise ShouldFixArgument(
            "Manifests for KServe need storage_uri: where model servers load artefacts from.",
            "Give --storage-uri, such as gs://bucket/models/companion.",
        )
    policy = terms.deployment.artefact(POLICY)
    if policy is None:
        raise ShouldFixArgument(
            f"Deployment {terms.deployment.deployment_id} has no policy to serve.",
            "Name a deployment with a policy.",
        )
    return (
        {
            "apiVersion": "serving.kserve.io/v1beta1",
            "kind": "InferenceService",
            "metadata": terms.metadata(terms.name),
            "spec": {
                "predictor": {
                    "canaryTrafficPercent": math.floor(terms.traffic_percent),
                    "minReplicas": terms.replicas,
                    "model": {
                        "modelFormat": {"name": "onnx"},
                        "protocolVersion": "v2",
                        "storageUri": f"{terms.storage_uri.rstrip('/')}/{policy.sha256}",
                    },
                }
            },
        },
    )
