"""What the controller of trials reads and writes."""

from __future__ import annotations

from typing import Protocol

from everloop.contracts.ports import BlobStore, Registry
from everloop.contracts.rollout_ports import (
    DeploymentStore,
    OversightStore,
    RolloutStore,
    TallyStore,
)


class TrialPlaces(Protocol):
    """The stores that a trial needs; a ``Workspace`` has them all."""

    @property
    def rollouts(self) -> RolloutStore: ...

    @property
    def deployments(self) -> DeploymentStore: ...

    @property
    def tallies(self) -> TallyStore: ...

    @property
    def oversights(self) -> OversightStore: ...

    @property
    def registry(self) -> Registry: ...

    @property
    def blobs(self) -> BlobStore: ...
