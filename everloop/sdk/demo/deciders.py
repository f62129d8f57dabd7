"""What decides in a tour: the rules that were there before, or a policy that the gate let through."""

from __future__ import annotations

from dataclasses import dataclass

from everloop.contracts.datasets import Bool, Float
from everloop.contracts.errors import ShouldRestoreArtefact
from everloop.contracts.evaluation import Decision
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import States
from everloop.registry.loading import ACTIVE, load
from everloop.registry.promotion import promote
from everloop.sdk.demo.door import ACTOR, TENANT
from everloop.wiring import Workspace
from rl.encoders import encode_context
from rl.runtime import OnnxPolicy, load_policy
from synthetic.population import Policy, WideContexts, logging_policy
from synthetic.population.behaviour import UNIFORM_SHARE

FIRST = "companion-rules-1"
"""Version of the rules that decide until the gate lets a policy through."""


@dataclass(frozen=True, slots=True)
class Decider:
    """What decides on a day.

    Attributes:
        version: what its episodes carry as ``model_version``.
        exploration: share of uniform choice, in [0, 1]; part of the logged propensities.
        policy: (contexts, valid, rng) -> (n, A) propensities.
    """

    version: str
    exploration: float
    policy: Policy


class Deciders:
    """Finds what decides by version; each policy is loaded once."""

    def __init__(self, workspace: Workspace, spec: LoopSpec) -> None:
        self._workspace, self._spec = workspace, spec
        self._loaded: dict[str, OnnxPolicy] = {}

    def of(self, version: str, episodes: int) -> Decider:
        """What decides under a version once so many episodes were logged.

        Raises:
            ShouldRestoreArtefact: no checkpoint of the loop has this version, or it is damaged.
        """
        if version == FIRST:
            return Decider(FIRST, UNIFORM_SHARE, logging_policy)
        if version not in self._loaded:
            self._loaded = {version: self._policy(version)}
        epsilon = self._spec.serving_epsilon(episodes)
        return Decider(version, epsilon, Served(self._spec, self._loaded[version], epsilon))

    def deploy(self, version: str) -> None:
        """Make a version what serves the loop in the workspace, too; it may do so already.

        Called before a day as well as after it: a night that was killed is judged against what
        decided on its day, whatever had been deployed by then.
        """
        place, name = self._workspace, self._spec.name
        active, generation = place.registry.alias(name, ACTIVE, TENANT)
        wanted = None if version == FIRST else self._checkpoint(version)
        if active == wanted:
            return
        if wanted is None:
            place.registry.set_alias(name, ACTIVE, None, generation, "nothing serves yet", TENANT)
        else:
            reason = "the night ended in continue"
            promote(wanted, place.registry, place.blobs, place.deployments, reason, actor=ACTOR)

    def _policy(self, version: str) -> OnnxPolicy:
        model = load(self._checkpoint(version), self._workspace.registry, self._workspace.blobs)
        return load_policy(model.weights, model.checkpoint.weights_sha256, self._spec)

    def _checkpoint(self, version: str) -> str:
        for row in self._workspace.registry.checkpoints(self._spec.name, TENANT):
            if row.lineage["version"] == version and row.verdict == Decision.CONTINUE.value:
                return row.checkpoint_id
        raise ShouldRestoreArtefact(
            f"No checkpoint of loop {self._spec.name!r} that may serve has version {version}.",
            "Restore the tour's folder, or play in a new one.",
        )


@dataclass(frozen=True, slots=True)
class Served:
    """An exported policy as the service asks it: encoded contexts, the mask, and exploration."""

    spec: LoopSpec
    model: OnnxPolicy
    epsilon: float

    def __call__(self, contexts: WideContexts, valid: Bool, rng: object) -> Float:  # noqa: ARG002
        """(n, A) propensities (1 - epsilon) pi(a | s) + epsilon / |valid|."""
        states = States(encode_context(self.spec, contexts.snapshots()), valid)
        return self.model.act(states, self.epsilon).propensity
