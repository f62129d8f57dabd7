"""An exported policy that several tests read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from everloop.contracts.loop_spec import LoopSpec
from everloop.contracts.models import States
from rl.encoders import layout
from rl.export import export_policy
from rl.module import PolicyNetwork
from tests.learning.worlds import loop_of


@dataclass(frozen=True)
class Exported:
    spec: LoopSpec
    network: PolicyNetwork
    path: Path
    error: float

    def states(self, n: int, seed: int = 0) -> States:
        rng = np.random.default_rng(seed)
        mask = rng.random((n, self.network.actions)) < 0.5
        mask[np.arange(n), rng.integers(self.network.actions, size=n)] = True
        context = rng.uniform(-1, 1, (n, self.network.width)).astype(np.float32)
        return States(context, mask)


@pytest.fixture(scope="package")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    spec = loop_of(fields=3, actions=5)
    network = PolicyNetwork(layout(spec).width, 5, 16, seed=3)
    # a fresh policy is nearly uniform; a sharper one shows differences
    network.policy[-1].weight.data *= 300.0
    path = tmp_path_factory.mktemp("export") / "policy.onnx"
    return Exported(spec, network, path, export_policy(network, spec, "tiny-0123", path))
