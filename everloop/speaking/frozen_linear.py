"""Products with weights that are only read.

For float32 on a CPU torch takes MKL, which leaves half of what a CPU of another maker than Intel could do
unused; oneDNN, which torch has with it, doesn't. Both sum in float32 and differ in last bits.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

_ONEDNN = bool(torch._C._has_mkldnn) and hasattr(torch.ops.mkldnn, "_linear_pointwise")  # noqa: SLF001


class FrozenLinear(nn.Module):
    """``W x + b`` of a layer whose weights take no gradient; shares them. One flows through to ``x``."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """(…, in) -> (…, out)."""
        weight, bias = self.layer.weight, self.layer.bias
        wanted = torch.is_grad_enabled() and x.requires_grad
        plain = x.device.type == "cpu" and x.dtype is weight.dtype is torch.float32
        if _ONEDNN and plain and not wanted:
            # inductor's own operator, which has no gradient: the weight stays as it is, without a copy in
            # another order
            found: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")  # noqa: SLF001
            return found
        return nn.functional.linear(x, weight, bias)
