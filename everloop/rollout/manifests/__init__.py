"""Manifests with which traffic engines follow a trial: Argo Rollouts, Flagger and KServe.

Engines split traffic between pods; who meets a candidate stays assigned by everloop, in whichever pod
answers. Each module makes the documents of one engine, as plain values for a YAML file: the engine's
weights wait for the controller's verdict on the deployment and go back when it rolls back.
"""

from everloop.rollout.manifests.argo import argo_rollouts
from everloop.rollout.manifests.flagger import flagger
from everloop.rollout.manifests.kserve import kserve
from everloop.rollout.manifests.terms import EngineTerms, Manifest

ENGINES = {"argo": argo_rollouts, "flagger": flagger, "kserve": kserve}
"""Name of an engine -> what makes its documents from the terms."""

__all__ = ["ENGINES", "EngineTerms", "Manifest", "argo_rollouts", "flagger", "kserve"]
