"""Models as the service holds them: verified, tried once, and behind a breaker."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np

from everloop.contracts.datasets import Float
from everloop.contracts.errors import EverloopError, ShouldFixArgument, ShouldRestoreArtefact
from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import ModelCheckpoint, ModelType, Provenance, States
from everloop.contracts.ports import BlobStore, Policy, Registry
from everloop.registry.loading import load
from everloop.serving.decisions.breaker import CircuitBreaker
from rl.encoders.context import layout
from rl.runtime import load_policy

TOLERANCE = 1e-6
"""How far a model's propensities may be from what they must be: float32's rounding."""
_FIRST_RETRY_S = 1.0
_LAST_RETRY_S = 60.0


@dataclass(frozen=True, slots=True)
class ServedModel:
    """A loaded policy with the checkpoint that it came from."""

    checkpoint_id: str
    policy: Policy
    breaker: CircuitBreaker

    @property
    def version(self) -> str:
        return self.policy.version

    def propensities(self, states: States, epsilon: float) -> Float:
        """(n, A) probabilities, exploration included; rows sum to 1, 0 on invalid actions.

        Raises:
            ShouldRestoreArtefact: the answer is no policy's.
            Exception: whatever else the runtime raises.
        """
        found = self.policy.act(states, epsilon).propensity
        if found.shape != states.mask.shape:
            raise self._broken(f"answered shape {found.shape}, not {states.mask.shape}")
        if not found.min() >= 0.0:
            raise self._broken("answered NaN or a negative probability")
        if found[~states.mask].any():
            raise self._broken("gave an invalid action a probability")
        if not np.abs(found.sum(axis=1) - 1.0).max() <= TOLERANCE:
            raise self._broken("answered probabilities that do not sum to 1")
        return found

    def _broken(self, what: str) -> ShouldRestoreArtefact:
        return ShouldRestoreArtefact(
            f"Policy {self.version} {what}.", "Roll back to another model."
        )


M = TypeVar("M")
M_co = TypeVar("M_co", covariant=True)


class Source(Protocol[M_co]):
    """Loads a checkpoint for a tenant's loop, or raises an ``EverloopError`` that says why not."""

    def __call__(self, checkpoint_id: str, tenant: str, spec: LoopSpec) -> M_co: ...


ModelSource = Source[ServedModel]


class RegisteredModels:
    """``ModelSource`` of a workspace: nothing is served whose files, origin or answers are wrong.

    Args:
        registry, blobs: where checkpoints are.
        make_breaker: a breaker for each model.
    """

    def __init__(
        self,
        registry: Registry,
        blobs: BlobStore,
        make_breaker: Callable[[], CircuitBreaker] = CircuitBreaker,
    ) -> None:
        self._registry = registry
        self._blobs = blobs
        self._make_breaker = make_breaker

    def __call__(self, checkpoint_id: str, tenant: str, spec: LoopSpec) -> ServedModel:
        """Verify every file, load the policy and let it decide once.

        Raises:
            ShouldRestoreArtefact: a file is missing or damaged, or the model answers nonsense.
            ShouldFixArgument: the checkpoint belongs to another tenant, loop, encoder or catalogue, or
                was trained on the raw log.
        """
        verified = load(checkpoint_id, self._registry, self._blobs)
        found = verified.checkpoint
        require_servable(found, ModelType.INTERVENTION, tenant, spec)
        policy = load_policy(verified.weights, found.weights_sha256, spec)
        model = ServedModel(checkpoint_id, policy, self._make_breaker())
        rehearse(model, spec)
        return model


def require_servable(
    found: ModelCheckpoint, wanted: ModelType, tenant: str, spec: LoopSpec
) -> None:
    """Refuse another kind of model, another owner's, and what may not leave the trust boundary.

    Raises:
        ShouldFixArgument: saying which of them.
    """
    if (found.tenant, found.loop, found.model_type) != (tenant, spec.name, wanted):
        raise ShouldFixArgument(
            f"Checkpoint {found.checkpoint_id} is of kind {found.model_type} and loop {found.loop!r}, "
            f"where kind {wanted} of loop {spec.name!r} and tenant {tenant!r} is wanted.",
            "Deploy one of this loop and kind.",
        )
    if found.provenance is not Provenance.PRIVATE_RELEASE:
        raise ShouldFixArgument(
            f"Checkpoint {found.checkpoint_id} has provenance {found.provenance.value!r}: it may not "
            "leave the trust boundary.",
            "Deploy one that private releases alone made.",
        )


def rehearse(model: ServedModel, spec: LoopSpec) -> None:
    """Let a model decide for a state of zeros; ``ShouldRestoreArtefact`` when it can't."""
    states = States(
        np.zeros((1, layout(spec).width), dtype=np.float32),
        np.ones((1, len(spec.actions)), dtype=np.bool_),
    )
    try:
        model.propensities(states, spec.exploration.serving_floor)
    except Exception as problem:
        raise ShouldRestoreArtefact(
            f"Model {model.version} can't decide ({brief(problem)}).", "Deploy another model."
        ) from problem


class PatientModels(Generic[M]):
    """Loaded models of one loop and tenant, and when to try again those that did not load.

    Args:
        source: loads a model.
        tenant, spec: whose.
        monotonic: seconds that never step back.
        failed: told of every load that failed: (checkpoint id, why).
    """

    def __init__(
        self,
        source: Source[M],
        tenant: str,
        spec: LoopSpec,
        monotonic: Callable[[], float],
        failed: Callable[[str, str], None],
    ) -> None:
        self._source = source
        self._tenant = tenant
        self._spec = spec
        self._now = monotonic
        self._tell = failed
        self._loaded: dict[str, M] = {}
        self._failed: dict[str, _Failure] = {}

    def get(self, checkpoint_id: str) -> tuple[M | None, str]:
        """The model, or ``None`` and why; a failed load is repeated after a doubling pause."""
        known = self._loaded.get(checkpoint_id)
        if known is not None:
            return known, ""
        failure = self._failed.get(checkpoint_id)
        if failure is not None and self._now() < failure.retry_at:
            return None, failure.reason
        try:
            model = self._source(checkpoint_id, self._tenant, self._spec)
        except Exception as problem:  # whatever is wrong with a model, decisions go on
            pause = min(failure.pause * 2.0 if failure else _FIRST_RETRY_S, _LAST_RETRY_S)
            reason = brief(problem)
            self._failed[checkpoint_id] = _Failure(reason, pause, self._now() + pause)
            self._tell(checkpoint_id, reason)
            return None, reason
        self._failed.pop(checkpoint_id, None)
        self._loaded[checkpoint_id] = model
        return model, ""

    def forget_failures(self) -> None:
        """Try everything again at once: somebody deployed."""
        self._failed.clear()

    def keep(self, checkpoint_ids: AbstractSet[str]) -> None:
        """Let go of every other model and failure."""
        for known in (self._loaded, self._failed):
            for gone in known.keys() - checkpoint_ids:
                del known[gone]


@dataclass(frozen=True, slots=True)
class _Failure:
    reason: str
    pause: float
    retry_at: float


def brief(problem: BaseException) -> str:
    """An error in one line for records and states, at most 200 characters."""
    text = problem.message if isinstance(problem, EverloopError) else repr(problem)
    return " ".join(text.split())[:200]
