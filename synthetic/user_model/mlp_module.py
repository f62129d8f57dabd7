"""The heads on one hidden layer as a torch module, in double precision, that Opacus can hook."""

from __future__ import annotations

import torch
from torch import nn

from synthetic.user_model.features import FeatureMap
from synthetic.user_model.linear_module import LinearModule, linear_layer
from synthetic.user_model.mlp import SHARED_GAIN, MlpWeights


class MlpModule(nn.Module):
    """As ``LinearModule``, plus the hidden layer's part of every logit."""

    def __init__(self, features: FeatureMap, start: MlpWeights) -> None:
        super().__init__()
        self.linear = LinearModule(features, start.linear)
        self.inner = linear_layer(start.inner)
        self.outer = linear_layer(start.outer)

    def forward(
        self,
        wide: torch.Tensor,
        shared: torch.Tensor,
        narrow: torch.Tensor,
        motion: torch.Tensor,
    ) -> torch.Tensor:
        hidden = torch.tanh(self.inner(torch.cat([shared * SHARED_GAIN, wide], dim=-1)))
        logits: torch.Tensor = self.linear(wide, shared, narrow, motion) + self.outer(hidden)
        return logits

    def fitted(self) -> MlpWeights:
        """The parameters as they are now."""
        layers = (self.inner, self.outer)
        inner, outer = (layer.weight.detach().numpy().copy() for layer in layers)
        return MlpWeights(self.linear.fitted(), inner, outer)
