"""The linear heads as a torch module, in double precision, that Opacus can hook."""

from __future__ import annotations

import torch
from torch import nn

from everloop.contracts.datasets import Float
from synthetic.user_model.features import FeatureMap
from synthetic.user_model.weights import Weights, shapes


class LinearModule(nn.Module):
    """(P, E, F) wide, (P, E, G) shared, (P, E, N) narrow, (P, E, m, D) motion to (P, E, H) logits."""

    def __init__(self, features: FeatureMap, start: Weights) -> None:
        super().__init__()
        self._shapes = shapes(features)
        self.values = linear_layer(start.values)
        self.acceptance = linear_layer(start.acceptance[None])
        self.shared = linear_layer(start.shared[None])
        self.presences = linear_layer(start.presences) if features.presences else None
        self.end = linear_layer(start.end[None])
        self.motions = linear_layer(start.motions) if len(features.moving) else None

    def forward(
        self,
        wide: torch.Tensor,
        shared: torch.Tensor,
        narrow: torch.Tensor,
        motion: torch.Tensor,
    ) -> torch.Tensor:
        alike = self.shared(shared)
        logits = [self.values(wide) + alike, self.acceptance(wide) + alike]
        if self.presences is not None:
            logits.append(self.presences(narrow))
        logits.append(self.end(narrow))
        if self.motions is not None:
            # head j reads the features of dimension j alone: the diagonal of all heads on all of them
            logits.append(torch.diagonal(self.motions(motion), dim1=-2, dim2=-1))
        return torch.cat(logits, dim=-1)

    def fitted(self) -> Weights:
        """The parameters as they are now."""
        layers = {
            "values": self.values,
            "acceptance": self.acceptance,
            "shared": self.shared,
            "presences": self.presences,
            "end": self.end,
            "motions": self.motions,
        }
        return Weights(**{name: self._array(name, layer) for name, layer in layers.items()})

    def _array(self, name: str, layer: nn.Linear | None) -> Float:
        if layer is None:
            return torch.zeros(self._shapes[name], dtype=torch.float64).numpy()
        return layer.weight.detach().numpy().copy().reshape(self._shapes[name])


def linear_layer(weight: Float) -> nn.Linear:
    """A linear layer without bias that starts at the given weight."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight))
    return layer
